"""What was typed is kept: when the session ended in the middle of a form, and when the page was too old."""

import html
import json
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
import redis
from flask import Flask
from sqlalchemy import delete, select
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from core.config import Settings
from core.db.models import Domain, User
from core.db.models import Session as SessionRow
from tests.admin_flask.browser import Browser
from tests.admin_flask.conftest import PASSWORD, MakeApp

Sit = Callable[..., Browser]
TYPED = {"host": "ofertas.aroeira.example", "brand": "Casa “Aroeira” & <filhos>", "case_sensitive": "y"}


def kept_in(page: TestResponse) -> str:
    found = re.search(r'name="kept" value="([^"]+)"', page.text)
    assert found, page.text
    return html.unescape(found[1])


def test_it_gives_back_what_was_typed_after_signing_in(sit_down: Sit, db: Session) -> None:
    browser = sit_down("admin")
    token = browser.token()
    db.execute(delete(SessionRow))
    db.commit()

    door = browser.post("/settings/domains/new", {**TYPED, "csrf_token": token}, token=False)
    assert door.status_code == 401
    assert "Your session ended" in door.text
    wrong = browser.post(
        "/login", {"email": "admin@aroeira.example", "password": "no", "kept": kept_in(door)}
    )
    assert wrong.status_code == 422
    answer = browser.post(
        "/login", {"email": "admin@aroeira.example", "password": PASSWORD, "kept": kept_in(wrong)}
    )

    form = browser.follow(answer)
    assert form.status_code == 200
    assert answer.location.startswith("/settings/domains/new?draft=")
    assert "Nothing was saved yet" in form.text
    assert 'value="ofertas.aroeira.example"' in form.text
    assert html.escape(TYPED["brand"], quote=False).replace('"', "&#34;") in form.text
    assert re.search(r"<input checked[^>]+case_sensitive", form.text)
    assert db.scalars(select(Domain)).all() == []
    assert browser.post("/settings/domains/new", TYPED).status_code == 303
    assert db.scalars(select(Domain.host)).all() == ["ofertas.aroeira.example"]


def test_it_carries_no_password(sit_down: Sit, db: Session) -> None:
    browser = sit_down("admin")
    db.execute(delete(SessionRow))
    db.commit()
    door = browser.post("/account/password", {"old_password": "secret-1", "new_password": "secret-2"})
    assert door.status_code == 401
    assert "secret-" not in door.text
    assert json.loads(kept_in(door))["fields"] == []


def test_it_gives_back_what_was_typed_on_a_page_that_was_too_old(sit_down: Sit, db: Session) -> None:
    browser = sit_down("admin")
    page = browser.post("/settings/domains/new", {**TYPED, "csrf_token": "of yesterday"}, token=False)
    assert page.status_code == 419
    assert "What you typed is kept" in page.text
    form = browser.follow(browser.post("/again", {"kept": kept_in(page)}))
    assert 'value="ofertas.aroeira.example"' in form.text
    assert db.scalars(select(Domain)).all() == []


def test_it_does_a_button_never_by_itself(sit_down: Sit, db: Session) -> None:
    browser = sit_down("admin")
    browser.post("/settings/domains/new", {"host": "a.example"})
    browser.post("/settings/domains/new", {"host": "b.example"})
    other = db.scalars(select(Domain.id).where(Domain.host == "b.example")).one()
    db.execute(delete(SessionRow))
    db.commit()
    door = browser.post(
        f"/settings/domains/{other}/default", headers={"Referer": browser.base_url + "/settings/domains"}
    )
    assert door.status_code == 401
    answer = browser.post(
        "/login", {"email": "admin@aroeira.example", "password": PASSWORD, "kept": kept_in(door)}
    )
    assert answer.location == "/settings/domains"
    assert "nothing was changed" in browser.follow(answer).text
    db.expire_all()
    assert db.scalars(select(Domain.host).where(Domain.is_default)).all() == ["a.example"]


def test_it_shows_a_draft_to_its_person_alone(sit_down: Sit, person: Callable[..., User]) -> None:
    marina, bruno = sit_down("admin"), sit_down(user=person("admin", email="bruno@aroeira.example"))
    page = marina.post("/settings/domains/new", TYPED, token=False)
    address = marina.post("/again", {"kept": kept_in(page)}).location
    assert "ofertas" in marina.get(address).text
    assert "ofertas" not in bruno.get(address).text


def test_it_shows_what_was_typed_when_redis_can_not_hold_it(
    settings: Settings, sit_down: Sit, make_app: MakeApp
) -> None:
    browser = sit_down("admin")
    page = browser.post("/settings/domains/new", TYPED, token=False)
    kept = kept_in(page)
    gone = redis.Redis.from_url("redis://127.0.0.1:1/0")
    lonely = Browser(make_app(settings, redis=gone), settings.admin_url)
    lonely.client.set_cookie("rastro_sid", browser.cookie("rastro_sid") or "", domain="localhost")
    answer = lonely.post("/again", {"kept": kept})
    assert answer.status_code == 200
    assert "ofertas.aroeira.example" in answer.text


def test_it_brings_the_door_to_a_page_that_htmx_asked_for(sit_down: Sit, db: Session) -> None:
    browser = sit_down("admin")
    db.execute(delete(SessionRow))
    db.commit()
    door = browser.post("/settings/domains/new", TYPED, htmx=True)
    assert door.status_code == 401
    assert door.headers["HX-Retarget"] == "body"
    assert kept_in(door)


@pytest.mark.parametrize(
    "kept",
    [
        "",
        "{",
        "[]",
        '{"path": "//evil.example", "shown_at": "/", "fields": []}',
        '{"path": "https://evil.example/", "shown_at": "/", "fields": []}',
        '{"path": "/account", "shown_at": "//evil.example", "fields": []}',
        '{"path": "/account", "shown_at": "/", "fields": [["a", 1]]}',
    ],
)
def test_it_leads_nowhere_else(sit_down: Sit, kept: str) -> None:
    answer = sit_down("admin").post("/again", {"kept": kept})
    assert (answer.status_code, answer.location) == (303, "/")


def test_it_forgets_a_draft_within_the_hour(sit_down: Sit, valkey: "redis.Redis") -> None:
    browser = sit_down("admin")
    page = browser.post("/settings/domains/new", TYPED, token=False)
    browser.post("/again", {"kept": kept_in(page)})
    (key,) = valkey.keys("{rastro}:draft:*")
    assert 0 < valkey.ttl(key) <= timedelta(hours=1).total_seconds()


def test_a_draft_that_names_nothing_gives_an_empty_form(sit_down: Sit, app: Flask) -> None:
    page = sit_down("admin").get("/settings/domains/new?draft=nothing")
    assert page.status_code == 200
