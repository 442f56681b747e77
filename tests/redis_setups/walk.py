"""What all programs do with Redis, from an edit to a report: the same walk over every set-up of Redis."""

import http.client
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flask import Flask
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session

from admin_flask.app import create_app
from admin_flask.held import db as database
from core.config import Settings
from core.contracts import keys
from core.db.tracking import Click
from core.services import accounts, books, domains
from core.services.actor import COMMAND
from core.services.redis_client import make_redis
from tests.admin_flask.api.conftest import Caller
from tests.admin_flask.browser import Browser
from tests.faults.programs import Workers, until
from tests.tracker_quart.rig import Trackers, wait_until

URL, PHONE, AGAIN = "https://shop.example/sale", "https://shop.example/m", "https://shop.example/again"
PASSWORD = "three short words"


@dataclass(frozen=True, slots=True)
class Urls:
    """REDIS_URL of each program."""

    tracker: str
    manager: str
    worker: str


def walk(urls: Urls, *, environment: dict[str, str], engine: Engine, db: Session, folder: Path) -> None:
    """Links are made, followed, changed and followed anew; clicks are stored; queues are looked at, paused and cleared
    of what failed; the books balance."""
    environment = {**environment, "LOGIN_RATE": "5", "API_RATE": "600"}
    now = datetime.now(UTC)
    domains.add_domain(db, host="go.example.com", actor=COMMAND, now=now)
    accounts.create_user(
        db, email="a@aroeira.example", name="Ana", role="admin", password=PASSWORD, actor=COMMAND, now=now
    )
    _, key = accounts.create_key(db, name="shop", role="admin", actor=COMMAND, now=now)
    settings = Settings.from_env({**environment, "REDIS_URL": urls.manager})
    with manager(settings) as app, programs(urls, environment, folder) as trackers:
        api = Caller(app.test_client(), settings.admin_url, key)
        sale = made(api, slug="sale", url=URL)
        made(api, slug="once", url=URL, click_cap=1, fallback_url=PHONE)
        made(api, slug="secret", url=URL, password="abacaxi")
        rule = {"conditions": [{"kind": "returning"}], "url": AGAIN}
        made(api, slug="back", url=URL, rules=[rule])
        wait_until(lambda: trackers.get("/never-seen")[0] == 404, "all is published")
        wait_until(lambda: trackers.get("/sale") == (302, URL), "followed")
        assert trackers.get("/once")[1] == URL
        wait_until(lambda: trackers.get("/once")[1] == PHONE, "one was enough")
        assert trackers.get("/back")[1] == URL
        wait_until(lambda: trackers.get("/back")[1] == AGAIN, "known again")
        wait_until(lambda: trackers.send_password("/secret", "banana") == 423, "wrong")
        wait_until(lambda: trackers.send_password("/secret", "abacaxi") == 303, "right")
        assert api.patch(f"/links/{sale['id']}", url=PHONE).status_code == 200
        wait_until(lambda: trackers.get("/sale") == (302, PHONE), "changed")
        assert trackers.logged("changes.heard") == 1
        look_at_queues(app, settings, engine)
        until(lambda: _is_balanced(db, settings))
        assert _stored(engine) >= 8


def look_at_queues(app: Flask, settings: Settings, engine: Engine) -> None:
    """A person signs in, pauses a queue and lets it go on, and discards what failed."""
    browser = Browser(app, settings.admin_url)
    wrong = {"email": "a@aroeira.example", "password": "no"}
    assert browser.post("/login", wrong).status_code == 422
    assert browser.post("/login", {**wrong, "password": PASSWORD}).status_code == 303
    home = make_redis(settings.redis_url, timeout=5)
    try:
        home.xadd(keys.stream("track"), {keys.EVENT_FIELD: b"\xc1"})
        until(lambda: home.xlen(keys.dead("track")) == 1)
        for path in ("/queues", "/queues/live", "/queues/books", "/queues/schedule", "/queues/entries"):
            assert browser.get(path).status_code == 200, path
        for state in ("waiting", "running", "later", "dead"):
            assert browser.get(f"/queues/entries?state={state}&q=sale").status_code == 200
        assert browser.post("/queues/pause/track").status_code == 303
        assert home.smembers(keys.PAUSED) == {b"track"}
        assert browser.post("/queues/resume/track").status_code == 303
        (letter,) = re.findall(r"track/(\d+-\d+)", browser.get("/queues/entries?state=dead").text)[:1]
        browser.post("/queues/letters", {"letter": [f"track/{letter}"], "do": "retry"})
        until(lambda: home.xlen(keys.dead("track")) == 1)
        (entry, _), *_ = home.xrange(keys.dead("track"))
        browser.post("/queues/letters", {"letter": [f"track/{entry.decode()}"], "do": "discard"})
        assert home.xlen(keys.dead("track")) == 0
    finally:
        home.close()


@contextmanager
def manager(settings: Settings) -> Iterator[Flask]:
    """The manager in this process."""
    app = create_app(settings)
    try:
        yield app
    finally:
        with app.app_context():
            database.engine.dispose()
        app.extensions["rastro"].redis.close()


@contextmanager
def programs(urls: Urls, environment: dict[str, str], folder: Path) -> "Iterator[People]":
    """A tracker and a worker, as processes."""
    workers = Workers({**environment, "REDIS_URL": urls.worker, "WORKER_LEASE": "5"}, folder)
    try:
        workers.start("default")
        trackers = People(folder, urls.tracker)
        try:
            yield trackers
        finally:
            trackers.close()
            print(workers.log()[-4000:])
    finally:
        workers.end_all()


class People(Trackers):
    """A tracker and who comes to it."""

    def send_password(self, path: str, word: str) -> int:
        """The status of the answer to a link's form."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            headers = {
                "Content-Type": "application/x-www-form-urlencoded",
                "User-Agent": "Mozilla/5.0 Firefox/130",
            }
            connection.request("POST", path, body=f"password={word}", headers=headers)
            return connection.getresponse().status
        finally:
            connection.close()


def made(api: Caller, **fields: Any) -> dict[str, Any]:
    answer = api.post("/links", **fields)
    assert answer.status_code == 201, answer.get_json()
    return dict(answer.get_json())


def _stored(engine: Engine) -> int:
    with engine.connect() as connection:
        return connection.scalar(select(func.count()).select_from(Click)) or 0


def _is_balanced(db: Session, settings: Settings) -> bool:
    client = make_redis(settings.redis_url, timeout=5)
    try:
        found = books.read_books(db, client, now=datetime.now(UTC), hours=2, fresh_answers=True)
        db.rollback()
        total = found.total
        return total.answered == total.accepted == total.stored + total.dead and total.answered >= 8
    finally:
        client.close()
