"""Ranges of time and their buckets."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.periods import (
    INTERVALS,
    QUARTER_MS,
    Period,
    PeriodError,
    bucket_starts,
    day_of_quarter,
    fitting_interval,
    midnight,
    parse_period,
    preset,
)

SAO_PAULO = ZoneInfo("America/Sao_Paulo")
BERLIN = ZoneInfo("Europe/Berlin")
KOLKATA = ZoneInfo("Asia/Kolkata")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")
SANTIAGO = ZoneInfo("America/Santiago")
NOW = datetime(2026, 11, 23, 1, 30, tzinfo=UTC)  # 22 November, 22:30 in São Paulo


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "start", "end"),
    [
        ("today", "2026-11-22T03:00", "2026-11-23T03:00"),
        ("7d", "2026-11-16T03:00", "2026-11-23T03:00"),
        ("28d", "2026-10-26T03:00", "2026-11-23T03:00"),
    ],
)
def test_it_ends_a_preset_with_today(name: str, start: str, end: str) -> None:
    assert preset(name, now=NOW, zone=SAO_PAULO) == Period(utc(start), utc(end))


@pytest.mark.parametrize(
    ("since", "until", "start", "end"),
    [
        ("", "", "2026-11-16T03:00", "2026-11-23T03:00"),
        ("2026-11-01", "2026-11-08", "2026-11-01T03:00", "2026-11-08T03:00"),
        ("2026-11-20", "", "2026-11-20T03:00", "2026-11-23T03:00"),
        ("", "2026-11-20", "2026-11-13T03:00", "2026-11-20T03:00"),
        ("2026-11-01T10:15:30Z", "2026-11-01T10:15:31Z", "2026-11-01T10:15:30", "2026-11-01T10:15:31"),
        (
            "2026-11-01t00:00:00-03:00",
            "2026-11-02T00:00:00.5+02:00",
            "2026-11-01T03:00",
            "2026-11-01T22:00:00.500",
        ),
        ("2026-11-01T00:00Z", "2026-11-02", "2026-11-01T00:00", "2026-11-02T03:00"),
    ],
)
def test_it_reads_a_range(since: str, until: str, start: str, end: str) -> None:
    assert parse_period(since, until, now=NOW, zone=SAO_PAULO) == Period(utc(start), utc(end))


@pytest.mark.parametrize(
    ("since", "until", "says"),
    [
        ("2026-11-08", "2026-11-01", "ends before it begins"),
        ("2026-11-08", "2026-11-08", "ends before it begins"),
        ("2027-01-01", "", "ends before it begins"),
        ("yesterday", "", "`from` is not a date"),
        ("", "2026-02-30", "`to` is not a date"),
        ("2026-11-01T25:00:00Z", "", "`from` is not a date"),
        ("2026-W01-1", "", "`from` is not a date"),
        ("20261101", "", "`from` is not a date"),
        ("2026-11-01T10:00:00", "", "needs an offset"),
        ("0001-01-01", "", "between 2000 and 2199"),
        ("", "9999-12-31T23:59:59Z", "between 2000 and 2199"),
        ("٢٠٢٦-١١-٠١", "", "`from` is not a date"),
    ],
)
def test_it_says_what_is_wrong_with_a_range(since: str, until: str, says: str) -> None:
    with pytest.raises(PeriodError, match=says):
        parse_period(since, until, now=NOW, zone=SAO_PAULO)


@pytest.mark.parametrize(
    ("zone", "start", "end", "interval", "expected"),
    [
        (KOLKATA, "2026-11-01T10:40", "2026-11-01T12:10", "hour", ["10:30", "11:30"]),
        (KOLKATA, "2026-11-01T10:30", "2026-11-01T11:30", "hour", ["10:30"]),
        # Half an hour is repeated: the hour before it is one of 90 minutes. In October half an hour is skipped.
        (LORD_HOWE, "2026-04-04T14:00", "2026-04-04T16:30", "hour", ["14:00", "15:30"]),
        (LORD_HOWE, "2026-10-03T14:30", "2026-10-03T17:00", "hour", ["14:30", "15:30", "16:00"]),
    ],
)
def test_it_cuts_local_hours(
    zone: ZoneInfo, start: str, end: str, interval: str, expected: list[str]
) -> None:
    found = bucket_starts(Period(utc(start), utc(end)), interval=interval, zone=zone)
    assert [f"{at:%H:%M}" for at in found] == expected


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        (BERLIN, date(2026, 3, 29), 23),
        (BERLIN, date(2026, 10, 25), 25),
        (SANTIAGO, date(2026, 9, 6), 23),  # midnight itself is skipped
        (SANTIAGO, date(2026, 4, 4), 25),
        (SAO_PAULO, date(2026, 11, 1), 24),
    ],
)
def test_it_gives_a_day_the_hours_it_has(zone: ZoneInfo, day: date, hours: int) -> None:
    period = Period(midnight(day, zone), midnight(day + timedelta(days=1), zone))
    assert period.end - period.start == timedelta(hours=hours)
    assert len(bucket_starts(period, interval="hour", zone=zone)) == hours
    assert bucket_starts(period, interval="day", zone=zone) == [period.start]
    assert period.days(zone) == (day, day)


def test_it_begins_weeks_on_monday_and_months_on_the_first() -> None:
    period = Period(utc("2026-10-29T12:00"), utc("2026-11-10T12:00"))
    weeks = bucket_starts(period, interval="week", zone=SAO_PAULO)
    assert weeks == [utc("2026-10-26T03:00"), utc("2026-11-02T03:00"), utc("2026-11-09T03:00")]
    months = bucket_starts(period, interval="month", zone=SAO_PAULO)
    assert months == [utc("2026-10-01T03:00"), utc("2026-11-01T03:00")]


@given(
    zone=st.sampled_from([SAO_PAULO, BERLIN, KOLKATA, LORD_HOWE, SANTIAGO, ZoneInfo("America/Havana")]),
    start=st.datetimes(datetime(2024, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),
    hours=st.integers(1, 24 * 40),
    interval=st.sampled_from(INTERVALS),
)
def test_it_covers_the_range_with_buckets_that_begin_on_quarter_hours(
    zone: ZoneInfo, start: datetime, hours: int, interval: str
) -> None:
    period = Period(start, start + timedelta(hours=hours))
    starts = bucket_starts(period, interval=interval, zone=zone)
    assert starts[0] <= period.start < (starts[1] if len(starts) > 1 else period.end)
    assert starts[-1] < period.end
    assert all(earlier < later for earlier, later in pairwise(starts))
    for at in starts:
        assert at.timestamp() * 1000 % QUARTER_MS == 0
        local = at.astimezone(zone)
        assert day_of_quarter(int(at.timestamp()) // 900, zone) == local.date()
        if interval == "week":
            assert local.weekday() == 0
        if interval == "month":
            assert local.day == 1


@pytest.mark.parametrize(
    ("years", "interval", "fine"),
    [(5, "hour", True), (6, "hour", False), (100, "day", True), (199, "day", False)],
)
def test_it_refuses_more_points_than_anybody_can_read(years: int, interval: str, fine: bool) -> None:
    period = Period(utc("2000-01-01"), utc(f"{2000 + years}-01-01"))
    if fine:
        assert len(bucket_starts(period, interval=interval, zone=SAO_PAULO)) > 300 * years
        return
    with pytest.raises(PeriodError, match="too long"):
        bucket_starts(period, interval=interval, zone=SAO_PAULO)


@pytest.mark.parametrize(
    ("days", "interval"), [(1, "hour"), (2, "hour"), (3, "day"), (92, "day"), (180, "week"), (800, "month")]
)
def test_it_chooses_an_interval_that_fits(days: int, interval: str) -> None:
    assert fitting_interval(Period(NOW, NOW + timedelta(days=days))) == interval


def test_it_refuses_names_that_it_does_not_know() -> None:
    with pytest.raises(PeriodError, match=r"'fortnight'.*today, 7d, 28d"):
        preset("fortnight", now=NOW, zone=SAO_PAULO)
    with pytest.raises(PeriodError, match=r"'minute'.*hour, day, week, month"):
        bucket_starts(Period(NOW, NOW + timedelta(days=1)), interval="minute", zone=SAO_PAULO)
