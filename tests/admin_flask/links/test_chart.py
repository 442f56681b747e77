"""The line of a report: pure."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from babel import Locale
from hypothesis import given
from hypothesis import strategies as st

from admin_flask.links.chart import axis, buckets_of, closed_values, open_bucket, place_of

EN = Locale("en")
BRAZIL = ZoneInfo("America/Sao_Paulo")
START = datetime(2026, 11, 27, 3, 0, tzinfo=UTC)


def hours(count: int, start: datetime = START) -> list[datetime]:
    """Starts of so many hours."""
    return [start + timedelta(hours=n) for n in range(count)]


def test_it_labels_one_day_by_the_clock() -> None:
    buckets = buckets_of(hours(24), START + timedelta(hours=24))
    texts = axis(buckets, interval="hour", zone=BRAZIL, locale=EN)
    assert texts.labels[:3] == ["00:00", "01:00", "02:00"]
    assert texts.titles[14] == "Fri 27 Nov, 14:00–15:00"
    assert texts.lines == []


def test_it_names_days_in_their_middle_with_a_line_between_them() -> None:
    buckets = buckets_of(hours(72), START + timedelta(hours=72))
    texts = axis(buckets, interval="hour", zone=BRAZIL, locale=EN)
    assert {at: text for at, text in enumerate(texts.labels) if text} == {
        12: "Fri 27",
        36: "Sat 28",
        60: "Sun 29",
    }
    assert texts.lines == [24, 48]


def test_it_counts_a_day_that_lost_an_hour_as_one_day() -> None:
    zone = ZoneInfo("Europe/Lisbon")
    start = datetime(2026, 3, 28, 0, 0, tzinfo=UTC)
    buckets = buckets_of(hours(71, start), start + timedelta(hours=71))
    assert axis(buckets, interval="hour", zone=zone, locale=EN).lines == [24, 47]


@pytest.mark.parametrize(
    ("interval", "label", "title"),
    [
        ("day", "Fri 27", "Friday 27 November"),
        ("week", "27 Nov", "Friday 27 November"),
        ("month", "Nov 2026", "November 2026"),
    ],
)
def test_it_labels_longer_buckets(interval: str, label: str, title: str) -> None:
    texts = axis(buckets_of([START], START + timedelta(days=1)), interval=interval, zone=BRAZIL, locale=EN)
    assert (texts.labels, texts.titles) == ([label], [title])


@pytest.mark.parametrize(
    ("minutes", "count", "value", "is_pace"),
    [(30, 10, 20, True), (5, 10, 10, False), (30, 4, 4, False), (0, 0, 0, False), (45, 30, 40, True)],
)
def test_it_projects_a_running_bucket_only_when_enough_is_known(
    minutes: int, count: int, value: int, is_pace: bool
) -> None:
    buckets = buckets_of(hours(2), START + timedelta(hours=2))
    found = open_bucket(buckets, [7, count], now=START + timedelta(hours=1, minutes=minutes))
    assert found is not None
    assert (found.at, found.value, found.is_pace) == (1, value, is_pace)


def test_it_has_no_running_bucket_in_the_past_or_future() -> None:
    buckets = buckets_of(hours(2), START + timedelta(hours=2))
    for now in (START - timedelta(seconds=1), START + timedelta(hours=2)):
        assert open_bucket(buckets, [1, 1], now=now) is None
        assert place_of(buckets, now) is None


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=60), st.integers(-100, 4000))
def test_it_never_draws_what_is_not_over(values: list[int], minutes: int) -> None:
    buckets = buckets_of(hours(len(values)), START + timedelta(hours=len(values)))
    now = START + timedelta(minutes=minutes)
    drawn = closed_values(buckets, values, now=now)
    running = open_bucket(buckets, values, now=now)
    over = [value for value in drawn if value is not None]
    assert drawn == over + [None] * (len(values) - len(over))
    assert running is None or running.at == len(over)
    assert running is None or running.value >= values[running.at]
