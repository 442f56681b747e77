"""Filters of the list as they stand in an address: pure."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin_flask.links.forms import ListFilter, split_tags

SINCE = datetime(2026, 11, 21, tzinfo=UTC)
_words = st.text(max_size=20)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "view": st.sampled_from(["all", "mine", "archive", "x"]),
            "q": _words,
            "state": st.sampled_from(["live", "paused", "archived", ""]),
            "domain": _words | st.integers(0, 2**70).map(str),
            "campaign": st.integers(-5, 5).map(str),
            "tag": _words,
            "owner": st.integers(0, 9).map(str),
            "sort": st.sampled_from(["created", "clicks", "title", "updated", "x"]),
            "order": st.sampled_from(["up", "down", "x"]),
            "page": _words,
        },
    )
)
def test_it_reads_any_address_and_writes_the_same_filters(args: dict[str, str]) -> None:
    first = ListFilter.from_query(args)
    again = ListFilter.from_query({**dict(first.carried()), "q": first.q, "page": str(first.page)})
    assert again == first
    assert first.page >= 1


@pytest.mark.parametrize(
    ("view", "state", "states"),
    [
        ("all", "", ("live", "paused")),
        ("all", "paused", ("paused",)),
        ("archive", "", ("archived",)),
        ("archive", "live", ("archived",)),
    ],
)
def test_it_shows_archived_links_in_the_archive_alone(view: str, state: str, states: tuple[str, ...]) -> None:
    wanted = ListFilter(view=view, state=state).as_service(person_id=7, since=SINCE)
    assert (wanted.states, wanted.owner_id) == (states, None)


def test_it_shows_one_s_own() -> None:
    assert ListFilter(view="mine", owner=3).as_service(person_id=7, since=SINCE).owner_id == 7


@pytest.mark.parametrize(
    ("sort", "up", "pressed", "order"),
    [
        ("created", False, "created", "up"),
        ("created", True, "created", "down"),
        ("created", False, "title", "up"),
        ("title", True, "clicks", "down"),
    ],
)
def test_it_turns_the_order_of_the_head_that_is_pressed_again(
    sort: str, up: bool, pressed: str, order: str
) -> None:
    assert ListFilter.from_query({"sort": sort, "order": "up" if up else "down"}).next_order(pressed) == order


@pytest.mark.parametrize(
    ("text", "tags"), [("", []), (" , ,", []), ("tv", ["tv"]), ("a b , c,,d", ["a b", "c", "d"]), (None, [])]
)
def test_it_parts_tags_by_commas(text: str | None, tags: list[str]) -> None:
    assert split_tags(text) == tags
