"""Which click a conversion is credited to, and how long one waits for its click."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from core.domain.attribution import Touch, choose, is_within, next_try, time_of

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def touch(days_ago: float, link_id: int) -> Touch:
    return Touch(uuid.UUID(int=link_id), link_id, 0, 0, NOW - days_ago * DAY)


TOUCHES = (touch(20, 1), touch(5, 2), touch(2, 3), touch(-1, 4))


@pytest.mark.parametrize(
    ("model", "window_days", "link_id"),
    [
        ("last", 30, 3),
        ("first", 30, 1),
        ("first", 10, 2),
        ("first", 0, 1),
        ("last", 1, None),
        ("first", 2, 3),
    ],
)
def test_it_chooses_a_touch_within_the_window(model: str, window_days: int, link_id: int | None) -> None:
    chosen = choose(TOUCHES, at=NOW, window_days=window_days, model=model)
    assert (chosen.link_id if chosen else None) == link_id


def test_it_chooses_the_same_of_two_at_one_moment_in_any_order() -> None:
    both = (touch(1, 7), touch(1, 8))
    assert choose(both, at=NOW, window_days=3) == choose(both[::-1], at=NOW, window_days=3)


def test_it_is_within_the_window_to_its_last_moment() -> None:
    assert is_within(NOW - 30 * DAY, NOW, 30)
    assert not is_within(NOW - 30 * DAY - timedelta(seconds=1), NOW, 30)
    assert is_within(NOW - 3000 * DAY, NOW, 0)


def test_it_looks_again_later_and_later() -> None:
    clicked = NOW - timedelta(minutes=1)
    waits = [
        (found - NOW).total_seconds() if found else None
        for found in (next_try(clicked, received=NOW, attempts=attempts, now=NOW) for attempts in range(8))
    ]
    assert waits == [2, 10, 60, 300, 1800, 3600, 3600, 3600]


@pytest.mark.parametrize(
    ("clicked", "received"),
    [(NOW - 3 * DAY, NOW), (NOW + 1.01 * DAY, NOW), (NOW - 2 * DAY, NOW - DAY)],
)
def test_it_gives_up_on_a_click_that_will_not_come(clicked: datetime, received: datetime) -> None:
    assert next_try(clicked, received=received, attempts=0, now=NOW) is None


def test_it_knows_when_a_click_was_made() -> None:
    assert time_of(uuid.UUID(int=(int(NOW.timestamp() * 1000) << 80) + 5)) == NOW
    assert time_of(uuid.UUID(int=2**128 - 1)).year == 9999
