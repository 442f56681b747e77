"""Traces, from programs that run to a collector that reads them."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import redis
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from core.contracts import click_event, keys
from core.contracts.click_event import ClickEvent
from core.db.models import Link
from core.db.spans import summary
from core.db.tracking import Click
from core.db.work import Outbox
from tests.faults.programs import until
from tests.telemetry.conftest import Start
from tests.telemetry.receivers import Collector, Seen, closed_port, silent_port
from tracker_quart.click_ids import ClickIds

NOBODY = "redis://127.0.0.1:1"
SECRETS = ("hunter2", "alice", "203.0.113", "shop.example", "Bearer", "rst_")


def only(found: list[Seen]) -> Seen:
    (one,) = found
    return one


def test_it_shows_an_edit_from_the_request_to_the_worker_in_one_trace(
    start: Start, collector: Collector, key: dict[str, str], db: Session, valkey: redis.Redis
) -> None:
    """The manager can not reach Redis, so a worker publishes what was saved."""
    db.execute(delete(Outbox))
    db.commit()
    told = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_EXPORTER_OTLP_HEADERS": "x-tenant=marketing"}
    manager = start("admin_flask", REDIS_URL=NOBODY, **told)
    worker = start("tasks", "--pool", "default", **told)
    status, text = manager.ask(
        "/api/v1/links?token=hunter2",
        body={"url": "https://shop.example/?mail=alice@example.com&t=hunter2", "slug": "offer"},
        headers={
            **key,
            "X-Request-ID": "from-the-balancer.7",
            "X-Forwarded-For": "203.0.113.9",
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
        },
    )
    assert status == 201, text
    until(lambda: valkey.exists(keys.link(1, "offer")))
    until(lambda: collector.named("task publish.link"))
    assert manager.stop() == worker.stop() == 0
    assert "x-tenant: marketing" in collector.headers
    request = only(collector.named("POST /api/v1/links"))
    task = only(collector.named("task publish.link"))
    assert (request.program, task.program) == ("rastro-manager", "rastro-worker")
    assert request.parent == ""
    assert request.trace != "0af7651916cd43dd8448eb211c80319c"  # anybody can send one
    assert (task.trace, task.parent) == (request.trace, request.id)
    assert request.facts == {
        "http.request.method": "POST",
        "http.route": "/api/v1/links",
        "http.response.status_code": 201,
        "rastro.request": "from-the-balancer.7",
    }
    assert task.facts["rastro.request"] == "from-the-balancer.7"
    inside = {span.name for span in collector.spans() if span.parent == task.id}
    assert {"SELECT links", "put snapshot"} <= inside
    inside = {span.name for span in collector.spans() if span.parent == request.id}
    assert {"INSERT links", "INSERT outbox", "publish"} <= inside
    publish = only(collector.named("publish"))
    assert (publish.failed, publish.facts["error.type"]) == (True, "ConnectionError")
    assert not request.failed
    assert not task.failed
    assert [word for word in SECRETS if word in collector.text()] == []
    assert not any(span.events for span in collector.spans())


def test_it_spans_each_batch_of_clicks_with_their_number_and_what_the_servers_took(
    start: Start, collector: Collector, key: dict[str, str], db: Session, valkey: redis.Redis
) -> None:
    ids = ClickIds()
    with valkey.pipeline() as pipe:
        for _ in range(500):
            event = ClickEvent(id=ids.new(), link_id=7, query="token=hunter2", ip="203.0.113.9")
            pipe.xadd(keys.stream("track"), {keys.EVENT_FIELD: click_event.encode(event)})
        pipe.execute()
    worker = start("tasks", "--pool", "track", OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    until(lambda: valkey.xlen(keys.stream("track")) == 0)
    assert worker.stop() == 0
    batches = collector.named("batch track")
    assert sum(int(batch.facts["messaging.batch.message_count"]) for batch in batches) == 500
    for batch in batches:
        inside = {span.name: span for span in collector.spans() if span.parent == batch.id}
        assert {"store clicks", "acknowledge"} <= set(inside)
        stored = inside["store clicks"]
        assert stored.facts == {"rastro.clicks": batch.facts["messaging.batch.message_count"]}
        parts = {span.name for span in collector.spans() if span.parent == stored.id}
        assert any(name.endswith("clicks") for name in parts), parts
    assert len(db.scalars(select(Click.id)).all()) == 500
    roots = {span.name for span in collector.spans() if span.parent == ""}
    assert roots == {"batch track"}  # what it does by the clock is no trace
    assert [word for word in SECRETS if word in collector.text()] == []


def test_it_leaves_out_in_the_worker_what_the_manager_left_out(
    start: Start, collector: Collector, key: dict[str, str], valkey: redis.Redis
) -> None:
    endpoint = collector.url
    manager = start(
        "admin_flask",
        REDIS_URL=NOBODY,
        OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
        OTEL_TRACES_SAMPLER="always_off",
    )
    worker = start("tasks", "--pool", "default", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
    body = {"url": "https://shop.example/", "slug": "offer"}
    assert manager.ask("/api/v1/links", body=body, headers=key)[0] == 201
    until(lambda: valkey.exists(keys.link(1, "offer")))
    assert manager.stop() == worker.stop() == 0
    assert [span for span in collector.named("task publish.link") if span.parent] == []
    assert [span for span in collector.spans() if span.program == "rastro-manager"] == []


@pytest.mark.parametrize("nobody", [closed_port, silent_port])
def test_it_works_and_ends_as_ever_while_no_collector_answers(
    start: Start,
    key: dict[str, str],
    db: Session,
    valkey: redis.Redis,
    nobody: Callable[[], AbstractContextManager[int]],
) -> None:
    with nobody() as port:
        endpoint = f"http://127.0.0.1:{port}"
        manager = start("admin_flask", REDIS_URL=NOBODY, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
        worker = start("tasks", "--pool", "default", OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
        for number in range(5):
            body = {"url": "https://shop.example/", "slug": f"offer-{number}"}
            assert manager.ask("/api/v1/links", body=body, headers=key)[0] == 201
        until(lambda: all(valkey.exists(keys.link(1, f"offer-{number}")) for number in range(5)))
        assert manager.stop() == worker.stop() == 0
    assert len(db.scalars(select(Link.id)).all()) == 5


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("SELECT links.id, links.url \nFROM links WHERE links.url = %(url)s", "SELECT links"),
        ("INSERT INTO outbox (queue) VALUES (%(queue)s)", "INSERT outbox"),
        ("UPDATE users SET name=%(name)s", "UPDATE users"),
        ("delete from only clicks", "DELETE clicks"),
        ("select pg_advisory_xact_lock(%(key)s)", "SELECT"),
        ("set local lock_timeout = '2s'", "SET"),
        ("-- 'alice@example.com'", ""),
    ],
)
def test_it_names_a_statement_by_what_it_does_to_which_table(statement: str, words: str) -> None:
    assert summary(statement) == words
