"""One id for a request, from whoever sent it to the workers that finish it."""

import dataclasses
from collections.abc import Callable

import pytest
import redis
from flask import Flask
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from core.config import Settings
from core.db.work import Outbox
from core.observe import current_request
from core.services import accounts, domains
from core.services.actor import COMMAND
from tests.admin_flask.browser import Browser
from tests.admin_flask.conftest import MORNING

Sit = Callable[..., Browser]


def test_it_gives_each_request_an_id_of_its_own(browser: Browser) -> None:
    first, second = (browser.get("/login").headers["X-Request-ID"] for _ in range(2))
    assert len(first) == len(second) == 16
    assert first != second
    assert current_request() == ""


@pytest.mark.parametrize("sent", ["Root=1-67891233-abcdef", "a b", "ü", "x" * 65, "<b>"])
def test_it_makes_one_where_what_was_sent_may_not_stand_in_a_log(browser: Browser, sent: str) -> None:
    answer = browser.get("/login", headers={"X-Request-ID": sent.encode().decode("latin-1")})
    assert len(answer.headers["X-Request-ID"]) == 16


def test_it_keeps_the_id_that_was_sent_and_names_it_when_something_breaks(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def fail(*_: object, **__: object) -> None:
        seen.append(current_request())
        raise ZeroDivisionError

    monkeypatch.setattr(accounts, "reset_password", fail)
    answer = browser.post(
        "/reset/token", {"password": "three short words"}, headers={"X-Request-ID": "from-the-balancer.7"}
    )
    assert answer.status_code == 500
    assert seen == [answer.headers["X-Request-ID"]] == ["from-the-balancer.7"]
    assert "from-the-balancer.7" in answer.text


def test_it_leaves_the_id_to_the_worker_that_publishes_later(
    app: Flask, settings: Settings, sit_down: Sit, db: Session
) -> None:
    browser = sit_down("marketer")
    domains.add_domain(db, host="go.example.com", actor=COMMAND, now=MORNING)
    db.execute(delete(Outbox))
    db.commit()
    nobody = redis.Redis(host="127.0.0.1", port=1, socket_connect_timeout=0.2)
    app.extensions["rastro"] = dataclasses.replace(app.extensions["rastro"], redis=nobody)
    answer = browser.post("/links/new", {"url": "https://loja.example/"}, headers={"X-Request-ID": "r-12"})
    assert answer.status_code == 303
    assert set(db.scalars(select(Outbox.request))) == {"r-12"}
