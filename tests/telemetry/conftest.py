"""Receivers, and programs that send to them."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis
from sqlalchemy.orm import Session

from core.services import api_keys, domains
from core.services.actor import COMMAND
from tests.telemetry.programs import Program
from tests.telemetry.receivers import Collector, Sentry

Start = Callable[..., Program]


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


@pytest.fixture
def sentry() -> Iterator[Sentry]:
    made = Sentry()
    yield made
    made.close()


@pytest.fixture
def start(environment: dict[str, str], tmp_path: Path, valkey: redis.Redis) -> Iterator[Start]:
    """`start(module, *words, SETTING=value)`: a program that works by the time this returns, with an empty Redis."""
    made: list[Program] = []

    def begin(module: str, *words: str, before: str = "", waits: bool = True, **settings: str) -> Program:
        told = {**environment, "OTEL_BSP_SCHEDULE_DELAY": "100", **settings}
        folder = tmp_path / str(len(made))
        folder.mkdir()
        made.append(Program(module, *words, environment=told, folder=folder, before=before))
        if waits:
            made[-1].wait_until_ready()
        return made[-1]

    yield begin
    for program in made:
        program.close()


@pytest.fixture
def key(db: Session) -> dict[str, str]:
    """The headers of a program that may make links of the one domain."""
    now = datetime.now(UTC)
    domains.add_domain(db, host="go.example.com", actor=COMMAND, now=now)
    _, plain = api_keys.create_key(db, name="tests", role="marketer", actor=COMMAND, now=now)
    return {"Authorization": f"Bearer {plain}"}
