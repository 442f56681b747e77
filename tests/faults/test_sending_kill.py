"""A worker dies while it sends conversions on: another sends what was not written down, under the same ids."""

import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import redis
from sqlalchemy import Engine, update

from core.db.conversions import WebhookDelivery
from tests.core.db.sending_rows import deliveries, make_due, make_source, make_webhook
from tests.faults.programs import Workers, until
from tests.tasks.receiver import answer, hang, receiving

pytestmark = [pytest.mark.faults, pytest.mark.timeout(120)]


@pytest.fixture
def workers(
    environment: dict[str, str], tmp_path: Path, valkey: redis.Redis, clean_database: None
) -> Iterator[Workers]:
    made = Workers({**environment, "SENDING_NETWORKS": "127.0.0.0/8"}, tmp_path)
    yield made
    made.end_all()


def states(engine: Engine) -> list[str]:
    with engine.connect() as connection:
        return [row.state for row in deliveries(connection)]


def test_a_killed_worker_s_deliveries_are_sent_again_under_the_same_id(
    workers: Workers, engine: Engine
) -> None:
    with receiving() as receiver:
        receiver.answers["/in"] = hang
        with engine.begin() as connection:
            make_webhook(connection, url=f"{receiver.url}/in")
            make_due(connection, source_id=make_source(connection), now=datetime.now(UTC), count=10)
        first = workers.start("default")
        until(lambda: len(receiver.sent) == 8)
        workers.end(first, signal.SIGKILL)
        assert states(engine) == ["waiting"] * 10
        receiver.answers["/in"] = answer(200)
        with engine.begin() as connection:  # the minute that its lease lasts passes
            connection.execute(update(WebhookDelivery).values(leased_until=datetime.now(UTC)))
        second = workers.start("default")
        until(lambda: states(engine) == ["done"] * 10)
        assert workers.end(second, signal.SIGTERM) == 0
        keys = [sent.headers["idempotency-key"] for sent in receiver.sent]
        assert len(keys) == 18
        assert len(set(keys)) == 10


def test_a_worker_that_is_told_to_stop_loses_nothing_that_is_on_its_way(
    workers: Workers, engine: Engine
) -> None:
    with receiving() as receiver:
        go = receiver.closing

        def slowly(handler: object) -> None:
            go.wait(1.0)
            answer(200)(handler)  # type: ignore[arg-type]

        receiver.answers["/in"] = slowly
        with engine.begin() as connection:
            make_webhook(connection, url=f"{receiver.url}/in")
            make_due(connection, source_id=make_source(connection), now=datetime.now(UTC), count=10)
        worker = workers.start("default")
        until(lambda: len(receiver.sent) == 8)
        assert workers.end(worker, signal.SIGTERM) == 0
        found = states(engine)
        assert found.count("done") == len(receiver.sent)
        with engine.connect() as connection:
            held = [row for row in deliveries(connection) if row.leased_until is not None]
        assert held == []
