"""Click ids in all the spellings that come back."""

import uuid
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.click_ref import BAD, EMPTY, MACRO, PREFIXED, ClickRef, is_macro, read_click_ref

ID = "0190f3a0-7c1e-7abc-8def-0123456789ab"
BARE = ID.replace("-", "")


@pytest.mark.parametrize(
    "text",
    [
        *(
            ID,
            ID.upper(),
            BARE,
            BARE.upper(),
            f"{{{ID}}}",
            f" {ID}\n",
            f"'{ID}'",
            f'"{ID}"',
            f"({ID})",
            f"[{ID}]",
        ),
        *(f"urn:uuid:{ID}", quote(f"{{{ID}}}"), quote(quote(f"{{{ID}}}")), f"%20{ID}%20", f"<{ID}>"),
    ],
)
def test_it_reads_a_click_id(text: str) -> None:
    assert read_click_ref(text) == ClickRef(ID)


@pytest.mark.parametrize("prefix", ["click_", "cid:", "rastro-", "SUB1=", "a."])
def test_it_leaves_a_prefix_out(prefix: str) -> None:
    assert read_click_ref(prefix + ID) == ClickRef(ID, note=PREFIXED)


@pytest.mark.parametrize("text", ["", "  ", "null", "None", "undefined", "0", "-", "%20"])
def test_it_says_that_nothing_was_sent(text: str) -> None:
    assert read_click_ref(text).problem == EMPTY


@pytest.mark.parametrize(
    "text",
    [
        *("{clickid}", "{{clickid}}", "${clickid}", "[clickid]", "[[click_id]]", "##clickid##", "#clickid#"),
        *(
            "%clickid%",
            "%%CLICK_ID%%",
            "<clickid>",
            "$clickid",
            "__CLICKID__",
            "@clickid@",
            "{click id}",
            "{}",
        ),
        *("%7Bclickid%7D", "%5Bclickid%5D", "%ad_id%", "{#clickid}", "{data.click.id}"),
    ],
)
def test_it_knows_a_macro_that_nobody_filled_in(text: str) -> None:
    assert read_click_ref(text).problem == MACRO
    assert is_macro(text)


@pytest.mark.parametrize(
    "text", ["#1001", "[", "A-17", "$5", "50%", "__x", "ana@example.com", "order {7", "", ID]
)
def test_it_takes_no_other_value_for_a_macro(text: str) -> None:
    assert not is_macro(text)


@pytest.mark.parametrize(
    "text",
    [
        *("hello", ID[:-1], f"{ID}0", f"{ID}-1", ID.replace("7abc", "4abc"), ID.replace("8def", "cdef")),
        *(
            *("(" * 900 + "x" + ")" * 900 + "y", f"{ID:>1000}{ID}"),
            "0190f3a0-7c1e-7abc-8def-0123456789ag",
            f"{ID},{ID}",
            "00000000-0000-0000-0000-000000000000",
            f"x y {ID}",
        ),
    ],
)
def test_it_takes_no_other_id_for_ours(text: str) -> None:
    assert read_click_ref(text) == ClickRef(problem=BAD)


@given(st.text())
def test_it_reads_any_text(text: str) -> None:
    found = read_click_ref(text)
    assert bool(found.id) != bool(found.problem)
    if found.id:
        assert uuid.UUID(found.id).version == 7
