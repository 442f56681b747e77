"""The dot in the top bar: fresh, behind, not known."""

from collections.abc import Callable
from datetime import timedelta

import pytest
import redis
from flask import Flask

from admin_flask.freshness.reading import read_freshness
from core.contracts import keys
from tests.admin_flask.browser import Browser
from tests.admin_flask.conftest import MORNING, Clock


@pytest.mark.parametrize(
    ("age", "tone", "text"),
    [
        (timedelta(seconds=2), "", "Reports up to date"),
        (timedelta(seconds=45), "busy", "Reports 45 s behind"),
        (timedelta(minutes=5), "busy", "Reports 5 min behind"),
    ],
)
def test_it_says_how_far_reports_are_behind(
    app: Flask, valkey: "redis.Redis", age: timedelta, tone: str, text: str
) -> None:
    at = int((MORNING - age).timestamp() * 1000)
    for number in range(3):
        valkey.xadd(keys.stream("track"), {keys.EVENT_FIELD: b"x"}, id=f"{at}-{number + 1}")
    with app.test_request_context("/"):
        dot = read_freshness(valkey, now=MORNING)
    assert (dot.tone, dot.text) == (tone, text)
    if tone:
        assert dot.detail == "3 clicks wait. None is lost."


def test_it_is_fresh_when_nothing_waits(app: Flask, valkey: "redis.Redis") -> None:
    with app.test_request_context("/"):
        assert read_freshness(valkey, now=MORNING).text == "Reports up to date"


def test_it_counts_clicks_that_a_pause_holds_back(app: Flask, valkey: "redis.Redis") -> None:
    at = int((MORNING - timedelta(seconds=45)).timestamp() * 1000)
    valkey.xadd(keys.held("track"), {keys.EVENT_FIELD: b"x"}, id=f"{at}-1")
    with app.test_request_context("/"):
        assert read_freshness(valkey, now=MORNING).text == "Reports 45 s behind"


def test_it_does_not_know_without_redis(app: Flask) -> None:
    with app.test_request_context("/"):
        dot = read_freshness(redis.Redis.from_url("redis://127.0.0.1:1/0"), now=MORNING)
    assert dot.tone == "away"


def test_it_is_on_every_page_and_alone_for_htmx(sit_down: Callable[..., Browser]) -> None:
    browser = sit_down("viewer")
    assert "Reports up to date" in browser.get("/account").text
    alone = browser.get("/freshness", htmx=True)
    assert "Reports up to date" in alone.text
    assert "<html" not in alone.text


def test_it_leaves_a_page_alone_whose_session_has_ended(browser: Browser) -> None:
    answer = browser.get("/freshness", htmx=True)
    assert answer.status_code == 200
    assert "Signed out" in answer.text
    assert "HX-Redirect" not in answer.headers


def test_a_tab_that_is_only_open_keeps_no_session_alive(
    sit_down: Callable[..., Browser], clock: Clock
) -> None:
    browser = sit_down("viewer")
    for _ in range(13):
        clock.pass_by(timedelta(hours=1))
        browser.get("/freshness", htmx=True)
    assert browser.get("/account").status_code == 303
