"""Numbers, times and names as people read them."""

from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask, g

from admin_flask import filters

NOW = datetime(2026, 11, 27, 17, 20, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "–"), (0, "0"), (48216, "48,216"), (-3, "−3"), (1234567, "1,234,567")],
)
def test_it_writes_numbers(app: Flask, value: int | None, text: str) -> None:
    with app.test_request_context("/"):
        assert filters.number(value) == text


@pytest.mark.parametrize(
    ("share", "decimals", "text"),
    [(None, 1, "–"), (0.1234, 1, "12.3%"), (1, 0, "100%"), (-0.031, 1, "−3.1%"), (0.0411, 2, "4.11%")],
)
def test_it_writes_shares(app: Flask, share: float | None, decimals: int, text: str) -> None:
    with app.test_request_context("/"):
        assert filters.percent(share, decimals) == text


@pytest.mark.parametrize(
    ("now", "before", "text"),
    [(269, 100, "+169%"), (97, 100, "−3%"), (100, 100, "0%"), (1000, 1001, "0%"), (5, 0, "new"), (0, 0, "–")],
)
def test_it_says_how_much_a_number_changed(app: Flask, now: int, before: int, text: str) -> None:
    with app.test_request_context("/"):
        assert filters.change(now, before) == text


@pytest.mark.parametrize(
    ("age", "text"),
    [
        (timedelta(seconds=-5), "now"),
        (timedelta(seconds=2), "2 s ago"),
        (timedelta(minutes=38, seconds=59), "38 min ago"),
        (timedelta(hours=3), "3 h ago"),
        (timedelta(hours=20), "yesterday"),
        (timedelta(days=10), "17 Nov"),
        (timedelta(days=400), "23 Oct 2025"),
    ],
)
def test_it_says_how_old_something_is(app: Flask, age: timedelta, text: str) -> None:
    with app.test_request_context("/"):
        g.moment = NOW
        assert filters.ago(NOW - age) == text


def test_it_writes_times_in_the_zone_of_the_organisation(app_in_brazil: Flask) -> None:
    with app_in_brazil.test_request_context("/"):
        g.moment = NOW
        assert filters.when(NOW) == "27 Nov, 14:20"
        assert filters.exact(NOW).startswith("2026-11-27 14:20:03")
        assert filters.when(None) == "–"


@pytest.mark.parametrize(
    ("code", "text"), [("BR", "Brazil"), ("br", "Brazil"), (None, "Unknown"), ("ZZZ", "ZZZ")]
)
def test_it_names_countries(app: Flask, code: str | None, text: str) -> None:
    with app.test_request_context("/"):
        assert filters.country(code) == text


@pytest.mark.parametrize(("zone", "text"), [("UTC", "UTC"), ("America/Sao_Paulo", "São Paulo time")])
def test_it_names_zones_by_their_city(app: Flask, zone: str, text: str) -> None:
    with app.test_request_context("/"):
        assert filters.zone_name(zone) == text


def test_it_draws_a_line_from_zero() -> None:
    assert filters.spark([0, 5, 10], width=20, height=24) == "0.0,22.0 10.0,12.0 20.0,2.0"
    assert filters.spark([]) == ""
    assert filters.spark([0, 0], width=10, height=10) == "0.0,8.0 10.0,8.0"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0, "0 s"),
        (1.94, "1.9 s"),
        (60, "1 min"),
        (90, "90 s"),
        (200, "3 min"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (86_400, "1 d"),
        (532_800, "6 d 4 h"),
    ],
)
def test_it_says_how_long_something_takes(app: Flask, seconds: float | None, text: str) -> None:
    with app.test_request_context("/"):
        assert filters.duration(seconds) == text


def test_it_says_how_much_memory(app: Flask) -> None:
    with app.test_request_context("/"):
        assert (filters.memory(181_400_000), filters.memory(1_120_000_000)) == ("181 MB", "1.1 GB")


def test_it_says_the_day_only_where_it_is_another(app_in_brazil: Flask) -> None:
    with app_in_brazil.test_request_context("/"):
        g.moment = NOW
        assert filters.clock(NOW) == "14:20"
        assert filters.clock(NOW - timedelta(days=2)) == "25 Nov, 14:20"
        assert filters.clock(None) == "–"
