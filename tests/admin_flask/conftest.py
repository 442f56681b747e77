"""The manager over the test servers, people with a role each, and browsers they sit at."""

import dataclasses
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import redis
from flask import Flask
from sqlalchemy.orm import Session

from admin_flask.app import create_app
from admin_flask.held import db as database
from core.config import Settings
from core.db.models import User
from core.services import accounts
from core.services.actor import COMMAND
from tests.admin_flask.browser import Browser

PASSWORD = "three short words"
MakeApp = Callable[..., Flask]
MORNING = datetime(2026, 11, 27, 12, 0, 0, tzinfo=UTC)


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = MORNING

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, time: timedelta) -> None:
        self.now += time


@pytest.fixture
def clock() -> Clock:
    """Stands still in the morning of 27 November 2026 unless moved."""
    return Clock()


class Box:
    """Mails that were sent, instead of sending them."""

    def __init__(self) -> None:
        self.mails: list[dict[str, str]] = []

    def send(self, *, to: str, subject: str, text: str) -> None:
        self.mails.append({"to": to, "subject": subject, "text": text})


@pytest.fixture
def box() -> Box:
    """An empty box."""
    return Box()


@pytest.fixture
def make_app(clean_database: None, valkey: "redis.Redis", clock: Clock, box: Box) -> Iterator[MakeApp]:
    """Make a manager over other settings; its connections are closed when the test ends."""
    made: list[Flask] = []

    def make(settings: Settings, **kwargs: Any) -> Flask:
        made.append(create_app(settings, clock=clock, mailer=box, **{"later": lambda run: run(), **kwargs}))
        return made[-1]

    yield make
    for app in made:
        with app.app_context():
            database.engine.dispose()
        app.extensions["rastro"].redis.close()


@pytest.fixture
def app(settings: Settings, make_app: MakeApp) -> Flask:
    """The manager over an empty database and an empty Redis."""
    return make_app(settings)


@pytest.fixture
def app_in_brazil(settings: Settings, make_app: MakeApp) -> Flask:
    """The manager of an organisation in São Paulo."""
    return make_app(dataclasses.replace(settings, tz_default=ZoneInfo("America/Sao_Paulo")))


@pytest.fixture
def browser(app: Flask, settings: Settings) -> Browser:
    """Nobody is signed in here."""
    return Browser(app, settings.admin_url)


@pytest.fixture
def person(db: Session) -> Callable[..., User]:
    """Make a person: `person("marketer")`. Each has a name, an address and PASSWORD."""

    def make(role: str = "admin", *, name: str = "Marina Costa", email: str = "") -> User:
        return accounts.create_user(
            db,
            email=email or f"{role}@aroeira.example",
            name=name,
            role=role,
            password=PASSWORD,
            actor=COMMAND,
            now=MORNING,
        )

    return make


@pytest.fixture
def sit_down(
    app: Flask, db: Session, settings: Settings, person: Callable[..., User]
) -> Callable[..., Browser]:
    """A browser that somebody with this role is signed in at: `sit_down("viewer")`."""

    def make(role: str = "admin", *, user: User | None = None) -> Browser:
        browser = Browser(app, settings.admin_url)
        token = accounts.open_session(
            db,
            user=user or person(role),
            now=MORNING,
            ip="127.0.0.1",
            agent="Firefox/130 (Windows)",
            keep=False,
        )
        db.commit()
        browser.client.set_cookie("rastro_sid", token, domain="localhost")
        return browser

    return make
