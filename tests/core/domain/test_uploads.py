"""Uploads: tables and lines become rows of parameters, and what can not be read is named by its line."""

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.uploads import LONGEST, MOST_ROWS, UploadRefused, parse_upload

CLICK = "0199b1c4-6f4e-7c0e-9b52-5f0c3a1d77e4"


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (
            "subid,payout\na,1\nb,2\n",
            [(2, {"subid": "a", "payout": "1"}), (3, {"subid": "b", "payout": "2"})],
        ),
        ("subid;payout\r\na;1,50\r\n", [(2, {"subid": "a", "payout": "1,50"})]),
        ("subid\tpayout\na\t1.234,50", [(2, {"subid": "a", "payout": "1.234,50"})]),
        ("\ufeffsubid,payout\n\n , \na,1", [(4, {"subid": "a", "payout": "1"})]),
        (
            'subid,note\na,"one, two"\nb,"a\nb"\nc,x',
            [
                (2, {"subid": "a", "note": "one, two"}),
                (3, {"subid": "b", "note": "a\nb"}),
                (5, {"subid": "c", "note": "x"}),
            ],
        ),
        ("subid,payout,\na,1,", [(2, {"subid": "a", "payout": "1"})]),
        ("subid,payout\na", [(2, {"subid": "a"})]),
        (CLICK, [(1, {"click_id": CLICK})]),
        (
            f"{CLICK}:payout=12.50:status=sale\n\n{CLICK.upper()} : status=rejected",
            [
                (1, {"click_id": CLICK, "payout": "12.50", "status": "sale"}),
                (3, {"click_id": CLICK.upper(), "status": "rejected"}),
            ],
        ),
        (
            f"{CLICK}:time=2026-11-27T12:30:00Z:note=a=b",
            [(1, {"click_id": CLICK, "time": "2026-11-27T12:30:00Z", "note": "a=b"})],
        ),
    ],
)
def test_it_reads_tables_and_lines(text: str, rows: list[tuple[int, dict[str, str]]]) -> None:
    found = parse_upload(text)
    assert [(row.line, dict(row.pairs)) for row in found] == rows
    assert all(not row.problem for row in found)
    assert [dict(parse_qsl(row.query)) for row in found] == [pairs for _, pairs in rows]


def test_it_names_a_row_with_more_cells_than_the_head() -> None:
    good, bad = parse_upload("a,b\n1,2\n1,2,3")
    assert (good.problem, bad.line, bad.problem) == ("", 3, "It has 3 cells, and the head has 2.")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "nothing in it"),
        (" \n\t\n", "nothing in it"),
        ("subid,payout\n", "no row below it"),
        ("subid,SUBID\na,b", "names subid twice"),
        (",".join(f"c{n}" for n in range(101)) + "\n1", "101 columns"),
        ("a\n" + "1\n" * (MOST_ROWS + 1), "5,001 rows"),
        ("x" * (LONGEST + 1), "400,000 characters"),
    ],
)
def test_it_says_why_nothing_can_be_read(text: str, why: str) -> None:
    with pytest.raises(UploadRefused, match=why):
        parse_upload(text)


@given(st.text(max_size=300))
def test_it_reads_or_refuses_whatever_comes(text: str) -> None:
    try:
        rows = parse_upload(text)
    except UploadRefused:
        return
    assert all(row.line >= 1 and isinstance(row.query, str) for row in rows)
