"""The table of what is sent on: who is told what, whose turn it is, and what becomes of attempts."""

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, insert, select, update

from core.db.conversions import Webhook, WebhookDelivery
from core.db.deliveries import (
    LEASE,
    Due,
    Outcome,
    claim,
    enqueue,
    facts_of,
    prune,
    settle,
    waiting,
)
from core.db.models import Link, LinkRule
from core.domain.outgoing import Request
from core.domain.sending import SendingSettings
from tests.core.db.sending_rows import (
    change_status,
    deliveries,
    make_conversion,
    make_due,
    make_link,
    make_source,
    make_webhook,
)

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
REQUEST = Request("GET", "https://hooks.example/in", (), "")


@pytest.fixture
def connection(engine: Engine, clean_database: None) -> Iterator[Connection]:
    with engine.connect() as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def source(connection: Connection) -> int:
    return make_source(connection)


def outcome(due: Due, state: str = "done", *, at: datetime = NOW, **more: Any) -> Outcome:
    return Outcome(due=due, state=state, at=at, request=REQUEST, **more)


def test_it_tells_a_new_conversion_to_whoever_wants_it(connection: Connection, source: int) -> None:
    webhook = make_webhook(connection)
    make_webhook(connection, name="Off", is_active=False)
    conversion = make_conversion(connection, source_id=source, at=NOW)
    assert enqueue(connection, [(conversion, 1)], now=NOW) == 1
    [row] = deliveries(connection)
    assert (row.webhook_id, row.conversion_id, row.conversion_version) == (webhook, conversion, 1)
    assert (row.status, row.state, row.kind, row.next_try) == ("approved", "waiting", "event", NOW)


def test_it_adds_nothing_when_nothing_changed_or_nobody_listens(connection: Connection, source: int) -> None:
    assert enqueue(connection, [], now=NOW) == 0
    conversion = make_conversion(connection, source_id=source, at=NOW)
    assert enqueue(connection, [(conversion, 1)], now=NOW) == 0
    make_webhook(connection)
    assert enqueue(connection, [(conversion, 1)], now=NOW) == 1
    assert enqueue(connection, [(conversion, 1), (conversion, 1)], now=NOW) == 0


def test_it_tells_each_status_once(connection: Connection, source: int) -> None:
    make_webhook(connection, settings=SendingSettings(statuses=("approved", "rejected")))
    conversion = make_conversion(connection, source_id=source, at=NOW, status="pending")
    enqueue(connection, [(conversion, 1)], now=NOW)
    for status in ("approved", "rejected", "approved"):
        enqueue(connection, [(conversion, change_status(connection, conversion, status))], now=NOW)
    assert [row.status for row in deliveries(connection)] == ["approved", "rejected"]


def test_it_tells_two_changes_of_one_batch_in_their_order(connection: Connection, source: int) -> None:
    make_webhook(connection, settings=SendingSettings(statuses=("pending", "approved")))
    conversion = make_conversion(connection, source_id=source, at=NOW, status="pending")
    change_status(connection, conversion, "approved")
    assert enqueue(connection, [(conversion, 2), (conversion, 1)], now=NOW) == 2
    assert [row.status for row in deliveries(connection)] == ["pending", "approved"]
    [first] = claim(connection, now=NOW, most=16, each=8)
    assert first.status == "pending"
    settle(connection, [outcome(first)])
    assert [due.status for due in claim(connection, now=NOW, most=16, each=8)] == ["approved"]


@pytest.mark.parametrize(
    ("scope", "told"),
    [
        ({}, True),
        ({"source_id": "mine"}, True),
        ({"source_id": "other"}, False),
        ({"link_id": "mine", "campaign_id": "mine", "source_id": "mine"}, True),
        ({"link_id": "mine", "campaign_id": "other"}, False),
        ({"link_id": "other"}, False),
    ],
)
def test_all_scopes_that_are_set_must_match(
    connection: Connection, source: int, scope: dict[str, str], told: bool
) -> None:
    mine, other = make_link(connection), make_link(connection, slug="radio", campaign="Summer")
    campaign_of = dict(connection.execute(select(Link.id, Link.campaign_id)).all())
    ids = {
        "source_id": {"mine": source, "other": make_source(connection, name="Other")},
        "link_id": {"mine": mine, "other": other},
        "campaign_id": {"mine": campaign_of[mine], "other": campaign_of[other]},
    }
    make_webhook(connection, **{name: ids[name][which] for name, which in scope.items()})
    conversion = make_conversion(connection, source_id=source, at=NOW, link_id=mine)
    assert enqueue(connection, [(conversion, 1)], now=NOW) == int(told)


def test_it_waits_as_long_as_it_was_told_to(connection: Connection, source: int) -> None:
    make_webhook(connection, settings=SendingSettings(delay_s=90))
    make_due(connection, source_id=source, now=NOW)
    assert claim(connection, now=NOW + timedelta(seconds=89), most=16, each=8) == []
    assert len(claim(connection, now=NOW + timedelta(seconds=90), most=16, each=8)) == 1


def test_it_keeps_what_the_percentage_leaves_out_and_does_not_send_it(
    connection: Connection, source: int
) -> None:
    make_webhook(connection, settings=SendingSettings(percentage=30))
    make_due(connection, source_id=source, now=NOW, count=200)
    states = [row.state for row in deliveries(connection)]
    assert len(states) == 200
    assert 35 <= states.count("waiting") <= 85
    assert waiting(connection) == states.count("waiting")


def test_it_tells_nobody_of_a_conversion_that_came_too_late(connection: Connection, source: int) -> None:
    make_webhook(connection)
    conversion = make_conversion(connection, source_id=source, at=NOW, is_late=True)
    assert enqueue(connection, [(conversion, 1)], now=NOW) == 0


def test_what_a_webhook_misses_while_it_is_switched_off_for_its_failures_waits(
    connection: Connection, source: int
) -> None:
    webhook = make_webhook(connection, is_active=False, disabled_at=NOW)
    make_due(connection, source_id=source, now=NOW)
    assert claim(connection, now=NOW, most=16, each=8) == []
    connection.execute(update(Webhook).values(is_active=True, disabled_at=None))
    assert [due.webhook_id for due in claim(connection, now=NOW, most=16, each=8)] == [webhook]


def test_a_test_is_sent_even_while_a_webhook_is_off(connection: Connection) -> None:
    webhook = make_webhook(connection, is_active=False)
    connection.execute(insert(WebhookDelivery).values(webhook_id=webhook, kind="test", next_try=NOW))
    assert [due.kind for due in claim(connection, now=NOW, most=16, each=8)] == ["test"]


def test_a_test_waits_for_no_backlog(connection: Connection, source: int) -> None:
    webhook = make_webhook(connection, failures=3)
    make_due(connection, source_id=source, now=NOW, count=20)
    assert len(claim(connection, now=NOW, most=16, each=8)) == 1
    connection.execute(insert(WebhookDelivery).values(webhook_id=webhook, kind="test", next_try=NOW))
    assert [due.kind for due in claim(connection, now=NOW, most=16, each=8)] == ["test"]


def test_it_takes_webhooks_in_turns_and_leaves_none_more_than_its_share(
    connection: Connection, source: int
) -> None:
    busy, quiet = make_webhook(connection), make_webhook(connection, name="Quiet", is_active=False)
    make_due(connection, source_id=source, now=NOW, count=30)
    connection.execute(update(Webhook).values(is_active=True))
    later = NOW + timedelta(seconds=1)
    connection.execute(
        update(Webhook).where(Webhook.id == busy).values(source_id=make_source(connection, name="x"))
    )
    make_due(connection, source_id=source, now=later, count=2)
    taken = claim(connection, now=later, most=4, each=8)
    assert sorted(due.webhook_id for due in taken) == [busy, busy, quiet, quiet]
    assert len(claim(connection, now=later, most=16, each=8)) == 6
    assert claim(connection, now=later, most=16, each=8) == []


def test_it_tries_a_webhook_that_fails_by_one_at_a_time(connection: Connection, source: int) -> None:
    make_webhook(connection, failures=1)
    make_due(connection, source_id=source, now=NOW, count=5)
    [one] = claim(connection, now=NOW, most=16, each=8)
    settle(connection, [outcome(one)])
    assert len(claim(connection, now=NOW, most=16, each=8)) == 4


def test_two_workers_never_take_the_same(engine: Engine, clean_database: None) -> None:
    with engine.begin() as connection:
        make_webhook(connection)
        make_due(connection, source_id=make_source(connection), now=NOW, count=12)
    with engine.connect() as one, engine.connect() as other:
        first = claim(one, now=NOW, most=6, each=16)
        second = claim(other, now=NOW, most=16, each=16)
        assert {due.id for due in first}.isdisjoint(due.id for due in second)
        assert (len(first), len(second)) == (6, 6)


def test_what_a_dead_worker_held_is_sent_again_under_the_same_id(connection: Connection, source: int) -> None:
    make_webhook(connection)
    make_due(connection, source_id=source, now=NOW)
    [lost] = claim(connection, now=NOW, most=16, each=8)
    assert claim(connection, now=NOW + LEASE / 2, most=16, each=8) == []
    [again] = claim(connection, now=NOW + LEASE, most=16, each=8)
    assert (again.id, again.attempts) == (lost.id, 0)
    settle(connection, [outcome(lost, "failed")])
    [row] = deliveries(connection)
    assert (row.state, row.attempts) == ("waiting", 0)
    settle(connection, [outcome(again, status=200)])
    [row] = deliveries(connection)
    assert (row.state, row.attempts, row.next_try) == ("done", 1, None)


def test_it_writes_down_every_attempt(connection: Connection, source: int) -> None:
    make_webhook(connection)
    make_due(connection, source_id=source, now=NOW)
    [due] = claim(connection, now=NOW, most=16, each=8)
    soon = NOW + timedelta(seconds=30)
    settle(connection, [outcome(due, "waiting", status=500, answer="a\0b" * 2000, ms=12, next_try=soon)])
    [row] = deliveries(connection)
    assert (row.state, row.attempts, row.next_try, row.leased_until) == ("waiting", 1, soon, None)
    assert (len(row.response_body), row.ended_at) == (2048, None)
    [due] = claim(connection, now=soon, most=16, each=8)
    assert due.attempts == 1
    settle(connection, [outcome(due, at=soon, status=200, ms=7)])
    [row] = deliveries(connection)
    assert [(one["status"], one["ms"]) for one in row.tries] == [(500, 12), (200, 7)]
    assert (row.url, row.ended_at) == (REQUEST.url, soon)


def test_it_leaves_a_webhook_alone_for_longer_and_longer_while_it_fails(
    connection: Connection, source: int
) -> None:
    make_webhook(connection)
    make_due(connection, source_id=source, now=NOW, count=40)
    at, pauses = NOW, []
    for due in claim(connection, now=NOW, most=1, each=8):
        settle(connection, [outcome(due, "failed", at=at)])
    while len(pauses) < 19:
        until = connection.execute(select(Webhook.paused_until)).scalar_one()
        assert claim(connection, now=until - timedelta(seconds=1), most=16, each=8) == []
        pauses.append((until - at).total_seconds())
        at = until
        [due] = claim(connection, now=at, most=16, each=8)
        off = settle(connection, [outcome(due, "failed", at=at)])
    assert pauses == [min(n * n, 300) for n in range(1, 20)]
    row = connection.execute(select(Webhook)).one()
    assert (off, row.failures, row.is_active, row.disabled_at) == ([row.id], 20, False, at)
    assert claim(connection, now=at + timedelta(days=1), most=16, each=8) == []
    assert waiting(connection) == 20


def test_it_leaves_a_webhook_alone_as_long_as_it_asks(connection: Connection, source: int) -> None:
    make_webhook(connection)
    make_due(connection, source_id=source, now=NOW, count=10)
    [due] = claim(connection, now=NOW, most=1, each=8)
    settle(connection, [outcome(due, "failed", retry_after_s=120)])
    assert claim(connection, now=NOW + timedelta(seconds=119), most=16, each=8) == []
    assert len(claim(connection, now=NOW + timedelta(seconds=120), most=16, each=8)) == 1


def test_one_success_forgets_the_failures(connection: Connection, source: int) -> None:
    make_webhook(connection, failures=19, paused_until=NOW)
    make_due(connection, source_id=source, now=NOW)
    settle(connection, [outcome(due) for due in claim(connection, now=NOW, most=16, each=8)])
    row = connection.execute(select(Webhook)).one()
    assert (row.failures, row.paused_until, row.is_active) == (0, None, True)


def test_a_test_that_fails_counts_for_nothing(connection: Connection) -> None:
    webhook = make_webhook(connection)
    connection.execute(insert(WebhookDelivery).values(webhook_id=webhook, kind="test", next_try=NOW))
    settle(connection, [outcome(due, "failed") for due in claim(connection, now=NOW, most=16, each=8)])
    assert connection.execute(select(Webhook.failures)).scalar() == 0


def test_it_removes_what_ended_long_ago(connection: Connection, source: int) -> None:
    make_webhook(connection)
    make_due(connection, source_id=source, now=NOW, count=3)
    for days, due in zip((100, 10), claim(connection, now=NOW, most=2, each=8), strict=True):
        settle(connection, [outcome(due, at=NOW - timedelta(days=days))])
    assert prune(connection, before=NOW - timedelta(days=90)) == 1
    assert sorted(row.state for row in deliveries(connection)) == ["done", "waiting"]


def test_it_knows_what_macros_stand_for(connection: Connection, source: int) -> None:
    link = make_link(connection)
    rule = connection.scalars(
        insert(LinkRule).values(link_id=link, position=0, name="Phones", conditions=[]).returning(LinkRule.id)
    ).one()
    click = uuid.uuid4()
    conversion = make_conversion(
        connection,
        source_id=source,
        at=NOW,
        click_id=click,
        link_id=link,
        rule=rule,
        transaction_id="AR-1",
        revenue=Decimal("1299.90"),
        payout=Decimal("100"),
        cost=Decimal("0.005"),
        fields={"shop": "online", "items": [1, 2]},
        is_rebill=True,
    )
    facts = facts_of(connection, [conversion, 999_999])[conversion]
    values = {name: value for name, value in facts.values.items() if value}
    assert values == {
        "click_id": str(click),
        "transaction_id": "AR-1",
        "amount": "1299.90",
        "payout": "100.00",
        "cost": "0.005",
        "profit": "1199.895",
        "currency": "BRL",
        "status": "approved",
        "event": "sale",
        "rebill": "1",
        "conversion_id": str(conversion),
        "time": "2026-11-27T12:00:00Z",
        "timestamp": "1795780800",
        "date": "2026-11-27",
        "link": "go.example.com/tv",
        "link_id": str(link),
        "link_title": "Smart TV 4K",
        "domain": "go.example.com",
        "slug": "tv",
        "campaign": "Black Friday",
        "campaign_id": values["campaign_id"],
        "network": "Loja online",
        "rule": "Phones",
    }
    assert facts.fields == {"shop": "online", "items": "[1,2]"}


def test_a_batch_of_thousands_is_written_in_one_go(connection: Connection, source: int) -> None:
    make_webhook(connection)
    ids = [make_conversion(connection, source_id=source, at=NOW) for _ in range(5)]
    assert enqueue(connection, [(id_, 1) for id_ in ids] * 1000, now=NOW) == 5
