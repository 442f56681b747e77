"""Error reports, from programs that fail to a Sentry that reads them."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from core.contracts import keys, task_message
from core.contracts.task_message import TaskMessage
from core.error_reports import Throttle
from core.observe import without_private
from core.release import VERSION
from tests.faults.programs import until
from tests.telemetry.conftest import Start
from tests.telemetry.receivers import Sentry, closed_port, silent_port
from tests.tracker_quart.conftest import Publisher

NOBODY = "redis://127.0.0.1:1"
SECRETS = ("hunter2", "alice", "203.0.113", "shop.example", "Bearer", "rst_")
SENT = {"event_id", "timestamp", "platform", "level", "exception", "tags", "contexts", "release"}
SENT |= {"environment", "server_name", "sdk"}


@contextmanager
def without(engine: Engine, table: str) -> Iterator[None]:
    """A table is missing, as where a migration was forgotten."""
    with engine.begin() as connection:
        connection.execute(text(f"alter table {table} rename to {table}_away"))
    try:
        yield
    finally:
        with engine.begin() as connection:
            connection.execute(text(f"alter table {table}_away rename to {table}"))


def kinds(event: dict[str, Any]) -> list[str]:
    return [value["type"] for value in event["exception"]["values"]]


def test_it_reports_an_error_of_the_manager_once_and_nothing_that_was_sent(
    start: Start, sentry: Sentry, key: dict[str, str], engine: Engine
) -> None:
    manager = start("admin_flask", SENTRY_DSN=sentry.dsn)
    with without(engine, "links"):
        for _ in range(3):
            status, _ = manager.ask(
                "/api/v1/links?token=hunter2",
                body={"url": "https://shop.example/?mail=alice@example.com", "slug": "hunter2"},
                headers={
                    **key,
                    "Cookie": "rastro=hunter2",
                    "X-Request-ID": "from-the-balancer.7",
                    "X-Forwarded-For": "203.0.113.9",
                },
            )
            assert status == 500
    assert manager.stop() == 0
    (event,) = sentry.events()
    assert set(event) <= SENT
    assert "ProgrammingError" in kinds(event)
    assert event["release"] == f"rastro@{VERSION}"
    assert event["tags"] == {
        "program": "manager",
        "event": "api_failed",
        "logger": "admin_flask.api.problems",
        "request": "from-the-balancer.7",
    }
    assert 'relation "links" does not exist' in event["exception"]["values"][-1]["value"]
    frames = event["exception"]["values"][-1]["stacktrace"]["frames"]
    assert not any("vars" in frame for frame in frames)
    assert [word for word in SECRETS if word in sentry.text()] == []
    assert manager.log().count("api_failed") == 3  # the log goes on as it was


def test_it_reports_a_task_that_failed_for_good(
    start: Start, sentry: Sentry, db: Session, valkey: redis.Redis
) -> None:
    """With an argument too few, as from a program of another release."""
    message = TaskMessage(
        id=str(uuid.uuid4()), task="publish.link", args=("alice@example.com",), attempts=10, request="r-12"
    )
    valkey.xadd(keys.stream("publish"), {keys.field_of("publish"): task_message.encode(message)})
    worker = start("tasks", "--pool", "default", SENTRY_DSN=sentry.dsn)
    until(sentry.events)
    until(lambda: valkey.xlen(keys.dead("publish")))
    assert worker.stop() == 0
    (event,) = sentry.events()
    assert kinds(event) == ["TypeError"]
    assert event["tags"] == {
        "program": "worker",
        "event": "worker.dead_letter",
        "request": "r-12",
        "queue": "publish",
        "task": "publish.link",
        "task_id": message.id,
    }
    assert [word for word in SECRETS if word in sentry.text()] == []


@pytest.mark.parametrize("lane", ["0", "1"])
def test_it_reports_an_error_of_the_tracker_once_however_many_meet_it(
    start: Start, sentry: Sentry, valkey: redis.Redis, lane: str
) -> None:
    """A fault of ours in the decision, met by the fast lane and behind Quart."""
    Publisher(valkey).world()
    name = {"1": "begin", "0": "redirect"}[lane]
    fail = "def fail(*_, **__): raise ZeroDivisionError('by 203.0.113.9?t=hunter2')"
    tracker = start(
        "tracker_quart",
        before=f"from tracker_quart import redirect\n{fail}\nredirect.Redirector.{name} = fail",
        SENTRY_DSN=sentry.dsn,
        FAST_LANE=lane,
    )
    headers = {"X-Forwarded-For": "203.0.113.9", "Cookie": "hunter2", "Referer": "https://shop.example/"}
    for _ in range(20):
        assert tracker.ask("/sale?token=hunter2", headers=headers)[0] == 500
    assert tracker.stop() == 0
    (event,) = sentry.events()
    assert kinds(event) == ["ZeroDivisionError"]
    assert event["tags"]["program"] == "tracker"
    assert event["exception"]["values"][0]["value"] == "by 203.0.113.0?…"
    assert [word for word in ("hunter2", "203.0.113.9", "shop.example") if word in sentry.text()] == []


def test_it_reports_an_error_that_ends_a_program(start: Start, sentry: Sentry, valkey: redis.Redis) -> None:
    with closed_port() as port:
        before = "from tasks import main\ndef fail(*_, **__): raise ZeroDivisionError\nmain.make_redis = fail"
        worker = start(
            "tasks",
            "--pool",
            "track",
            before=before,
            waits=False,
            SENTRY_DSN=sentry.dsn,
            METRICS_PORT=str(port),
        )
        assert worker.wait() == 1
    (event,) = sentry.events()
    assert kinds(event) == ["ZeroDivisionError"]
    assert event["tags"] == {"program": "worker"}


def test_it_makes_one_report_of_a_database_that_is_away(
    start: Start, sentry: Sentry, key: dict[str, str]
) -> None:
    with closed_port() as port:
        url = f"postgresql://rastro:hunter2@127.0.0.1:{port}/rastro"
        manager = start("admin_flask", SENTRY_DSN=sentry.dsn, DATABASE_URL=url, REDIS_URL=NOBODY)
        worker = start("tasks", "--pool", "default", SENTRY_DSN=sentry.dsn, DATABASE_URL=url)
        for _ in range(10):
            assert manager.ask("/api/v1/links", headers=key)[0] == 503
        until(lambda: "worker.waits" in worker.log() or "chore.failed" in worker.log())
        assert manager.stop() == worker.stop() == 0
    (event,) = sentry.events()  # a worker waits for its servers, and says so in its log alone
    assert event["tags"]["program"] == "manager"
    assert event["tags"]["event"] == "postgres_away"
    assert "hunter2" not in sentry.text()


@pytest.mark.parametrize("nobody", [closed_port, silent_port])
def test_it_works_and_ends_as_ever_while_no_sentry_answers(
    start: Start, key: dict[str, str], engine: Engine, nobody: Any
) -> None:
    with nobody() as port:
        manager = start("admin_flask", SENTRY_DSN=f"http://public@127.0.0.1:{port}/7")
        with without(engine, "links"):
            assert manager.ask("/api/v1/links", headers=key)[0] == 500
        assert manager.ask("/api/v1/links", headers=key)[0] == 200
        assert manager.stop() == 0


def test_it_leaves_the_same_error_out_for_a_while_and_others_when_there_are_many() -> None:
    now = 0.0
    throttle = Throttle(every=300, most=3, clock=lambda: now)
    assert [throttle.admits("a"), throttle.admits("a"), throttle.admits("b")] == [True, False, True]
    now = 200.0
    assert [throttle.admits(word) for word in "acd"] == [False, True, False]
    now = 300.0
    assert [throttle.admits(word) for word in "abcd"] == [True, True, False, False]
    now = 500.0
    assert [throttle.admits(word) for word in "abcd"] == [False, False, True, False]


@pytest.mark.parametrize(
    ("said", "leaves"),
    [
        ('relation "links" does not exist\nLINE 1: select hunter2', 'relation "links" does not exist'),
        (
            'duplicate key value violates unique constraint "ix_users_email"\nDETAIL:  Key (email)=(alice@x.example)',
            'duplicate key value violates unique constraint "ix_users_email"',
        ),
        ("no user alice@shop.example here", "no user … here"),
        ("redis://:hunter2@redis:6379/0 does not answer", "… does not answer"),
        ("GET https://go.example/sale?token=hunter2 failed", "GET https://go.example/sale?… failed"),
        ("203.0.113.9 and 2001:db8:1:2::7 were refused", "203.0.113.0 and 2001:db8:1:: were refused"),
        ("password=hunter2", "password=…"),
        ("'NoneType' object has no attribute 'url'", "'NoneType' object has no attribute 'url'"),
    ],
)
def test_it_lets_of_an_errors_text_only_its_harmless_part_leave(said: str, leaves: str) -> None:
    assert without_private(said) == leaves
