"""Outgoing postbacks as people set them up, and what they do with the log."""

from dataclasses import replace
from datetime import datetime, timedelta
from ipaddress import ip_network
from typing import Any

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from core.db.conversions import Webhook, WebhookDelivery
from core.db.deliveries import enqueue
from core.db.models import AuditLog
from core.domain.sending import SendingSettings, settings_of
from core.services import alerts, webhook_log, webhooks
from core.services.actor import Actor
from core.services.webhooks import WebhookChanged, WebhookFields, WebhookNotFound, WebhookRefused
from tests.core.db.sending_rows import make_conversion, make_due, make_link, make_source, make_webhook

FIELDS = WebhookFields(name="Ads", url="https://ads.example/in?id={click_id}")


def make(db: Session, actor: Actor, now: datetime, **values: Any) -> Webhook:
    fields = replace(FIELDS, **values)
    return webhooks.create_webhook(db, fields=fields, actor=actor, now=now)


def test_it_keeps_what_was_typed(db: Session, actor: Actor, now: datetime) -> None:
    link = make_link(db.connection())
    typed = WebhookFields(
        name=" The  ad network ",
        url=" https://ads.example/in ",
        method="POST",
        body=' {"id": "{click_id}"} ',
        headers="X-Key: abc\n\nAuthorization:  Bearer {param:key}",
        secret="a secret of ours!",
        statuses=("rejected", "pending"),
        events="Sale, lead, sale",
        percentage=30,
        delay_s=60,
        source_id=make_source(db.connection()),
        link="https://Go.example.com/TV?x=1",
    )
    webhook = webhooks.create_webhook(db, fields=typed, actor=actor, now=now)
    assert (webhook.name, webhook.url, webhook.version) == ("The ad network", "https://ads.example/in", 1)
    assert webhook.link_id == link
    assert settings_of(webhook.settings) == SendingSettings(
        method="POST",
        headers=(("X-Key", "abc"), ("Authorization", "Bearer {param:key}")),
        statuses=("pending", "rejected"),
        events=("sale", "lead"),
        percentage=30,
        delay_s=60,
    )
    again = webhooks.fields_of(db, webhook)
    assert again.link == "go.example.com/tv"
    webhooks.edit_webhook(db, webhook_id=webhook.id, version=1, fields=again, actor=actor, now=now)
    assert webhooks.get_webhook(db, webhook_id=webhook.id).version == 1
    [row] = db.scalars(select(AuditLog)).all()
    assert (row.action, row.detail) == ("webhook.add", {"name": "The ad network", "host": "ads.example"})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "  "),
        ("name", "x" * 101),
        ("url", "ftp://ads.example/"),
        ("url", "https://{param:host}/"),
        ("url", "https://user:word@ads.example/"),
        ("method", "PUT"),
        ("content_type", "text/html"),
        ("body", "x" * 16_385),
        ("body", "a\0b"),
        ("headers", "no colon"),
        ("headers", "bad name: x"),
        ("headers", "Host: other.example"),
        ("headers", "content-length: 5"),
        ("headers", "Idempotency-Key: mine"),
        ("headers", "X: a\nx: b"),
        ("headers", "\n".join(f"X-{n}: 1" for n in range(21))),
        ("secret", "short"),
        ("statuses", ()),
        ("statuses", ("sold",)),
        ("events", ",".join(map(str, range(21)))),
        ("percentage", 0),
        ("percentage", 101),
        ("delay_s", -1),
        ("delay_s", 86_401),
        ("source_id", 99),
        ("campaign_id", 99),
        ("link", "99"),
        ("link", "nobody.example/tv"),
        ("link", "::::"),
    ],
)
def test_it_refuses_what_can_not_be_taken(
    db: Session, actor: Actor, now: datetime, field: str, value: object
) -> None:
    with pytest.raises(WebhookRefused) as refused:
        make(db, actor, now, **{field: value})
    assert refused.value.field == field
    assert refused.value.message.endswith(".")


def test_two_can_not_have_one_name(db: Session, actor: Actor, now: datetime) -> None:
    make(db, actor, now)
    with pytest.raises(WebhookRefused) as refused:
        make(db, actor, now)
    assert refused.value.field == "name"


def test_who_saves_over_somebody_else_is_told(db: Session, actor: Actor, now: datetime) -> None:
    webhook = make(db, actor, now)
    changed = replace(FIELDS, percentage=10)
    webhooks.edit_webhook(db, webhook_id=webhook.id, version=1, fields=changed, actor=actor, now=now)
    with pytest.raises(WebhookChanged) as stale:
        webhooks.edit_webhook(db, webhook_id=webhook.id, version=1, fields=FIELDS, actor=actor, now=now)
    assert (stale.value.editor, stale.value.current.version) == ("Shop", 2)
    details = db.scalars(select(AuditLog.detail).where(AuditLog.action == "webhook.edit")).all()
    assert details == [{"changed": ["settings"]}]


def test_it_says_when_there_is_none(db: Session, actor: Actor, now: datetime) -> None:
    for act in (
        lambda: webhooks.get_webhook(db, webhook_id=7),
        lambda: webhooks.webhook_row(db, webhook_id=7, now=now),
        lambda: webhooks.edit_webhook(db, webhook_id=7, version=1, fields=FIELDS, actor=actor, now=now),
        lambda: webhooks.switch(db, webhook_id=7, on=True, actor=actor, now=now),
        lambda: webhooks.delete_webhook(db, webhook_id=7, actor=actor, now=now),
        lambda: webhook_log.send_test(db, webhook_id=7, actor=actor, now=now),
        lambda: webhook_log.resend_failed(db, webhook_id=7, since=now, actor=actor, now=now),
    ):
        with pytest.raises(WebhookNotFound):
            act()
    with pytest.raises(webhook_log.DeliveryNotFound):
        webhook_log.resend(db, webhook_id=7, delivery_id=7, actor=actor, now=now)


def test_the_list_says_how_each_fares(db: Session, actor: Actor, now: datetime) -> None:
    connection = db.connection()
    source = make_source(connection)
    webhook = make_webhook(connection, source_id=source)
    make_webhook(connection, name="Idle", is_active=False)
    make_due(connection, source_id=source, now=now, count=5)
    connection.execute(
        insert(WebhookDelivery).values(webhook_id=webhook, kind="test", state="failed", ended_at=now)
    )
    ids = list(db.scalars(select(WebhookDelivery.id).order_by(WebhookDelivery.id)))
    for delivery_id, state, hours in (
        (ids[0], "done", 1),
        (ids[1], "done", 30),
        (ids[2], "failed", 2),
    ):
        ended = {"state": state, "next_try": None, "ended_at": now - timedelta(hours=hours)}
        db.execute(update(WebhookDelivery).where(WebhookDelivery.id == delivery_id).values(**ended))
    first, second = webhooks.list_webhooks(db, now=now)
    assert (first.id, first.done, first.failed, first.waiting) == (webhook, 1, 1, 2)
    assert (first.source, second.name, second.waiting) == ("Loja online", "Idle", 0)


def test_switching_on_forgets_the_failures_and_ends_the_alert(
    db: Session, actor: Actor, now: datetime, valkey: Any
) -> None:
    webhook = make_webhook(
        db.connection(), is_active=False, disabled_at=now, failures=20, paused_until=now, name="Ads"
    )
    db.commit()
    books: Any = type("NoBooks", (), {"unbalanced": ()})()
    found = alerts.look_around(db, valkey, books=books, postbacks=books, now=now)
    assert found == {
        ("sending", str(webhook)): "“Ads” is sent no conversions any more: 20 attempts in a row failed"
    }
    row = webhooks.switch(db, webhook_id=webhook, on=True, actor=actor, now=now)
    assert (row.is_active, row.failures, row.paused_until, row.disabled_at) == (True, 0, None, None)
    assert alerts.look_around(db, valkey, books=books, postbacks=books, now=now) == {}


def test_deleting_takes_the_log_along(db: Session, actor: Actor, now: datetime) -> None:
    connection = db.connection()
    webhook = make_webhook(connection)
    make_due(connection, source_id=make_source(connection), now=now)
    assert webhooks.delete_webhook(db, webhook_id=webhook, actor=actor, now=now) == "Ads"
    assert db.scalars(select(WebhookDelivery)).all() == []


def test_a_test_is_a_delivery_without_a_conversion(db: Session, actor: Actor, now: datetime) -> None:
    webhook = make(db, actor, now)
    delivery_id = webhook_log.send_test(db, webhook_id=webhook.id, actor=actor, now=now)
    found = webhook_log.get_delivery(db, webhook_id=webhook.id, delivery_id=delivery_id)
    assert (found.kind, found.conversion_id, found.state, found.next_try) == ("test", None, "waiting", now)


def _settled(db: Session, now: datetime, *, states: list[str]) -> list[int]:
    """Deliveries of one webhook (1) that ended like this, one an hour, the last one now."""
    connection = db.connection()
    source = make_source(connection)
    make_webhook(connection)
    make_due(connection, source_id=source, now=now, count=len(states))
    ids = list(db.scalars(select(WebhookDelivery.id).order_by(WebhookDelivery.id)))
    for place, (delivery_id, state) in enumerate(zip(ids, states, strict=True)):
        at = now - timedelta(hours=len(states) - 1 - place)
        values = {"state": state, "next_try": None, "ended_at": at, "created_at": at}
        db.execute(update(WebhookDelivery).where(WebhookDelivery.id == delivery_id).values(**values))
    db.commit()
    return ids


def test_one_is_sent_once_more_as_a_delivery_of_its_own(db: Session, actor: Actor, now: datetime) -> None:
    [old] = _settled(db, now, states=["done"])
    new = webhook_log.resend(db, webhook_id=1, delivery_id=old, actor=actor, now=now)
    found = webhook_log.get_delivery(db, webhook_id=1, delivery_id=new)
    before = webhook_log.get_delivery(db, webhook_id=1, delivery_id=old)
    assert new != old
    assert (found.kind, found.resent_from, found.status) == ("resend", old, "approved")
    assert (found.conversion_id, found.next_try, before.state) == (before.conversion_id, now, "done")


def test_one_that_waits_is_tried_now_instead(db: Session, actor: Actor, now: datetime) -> None:
    [old] = _settled(db, now, states=["done"])
    later = {"state": "waiting", "next_try": now + timedelta(hours=6), "ended_at": None}
    db.execute(update(WebhookDelivery).values(**later))
    db.execute(update(Webhook).values(failures=3, paused_until=now + timedelta(minutes=5)))
    db.commit()
    assert webhook_log.resend(db, webhook_id=1, delivery_id=old, actor=actor, now=now) == old
    assert webhook_log.get_delivery(db, webhook_id=1, delivery_id=old).next_try == now
    assert db.scalars(select(Webhook.paused_until)).one() is None


def test_all_that_failed_since_are_sent_once_more_once(db: Session, actor: Actor, now: datetime) -> None:
    ids = _settled(db, now, states=["failed", "failed", "done", "failed", "skipped", "failed"])
    since = now - timedelta(hours=4)
    day = now - timedelta(days=1)
    assert webhook_log.count_failed(db, webhook_id=1, since=[since, day]) == [3, 4]
    assert webhook_log.resend_failed(db, webhook_id=1, since=since, actor=actor, now=now) == 3
    again = db.scalars(
        select(WebhookDelivery.resent_from)
        .where(WebhookDelivery.kind == "resend")
        .order_by(WebhookDelivery.id)
    ).all()
    assert again == [ids[1], ids[3], ids[5]]
    assert webhook_log.resend_failed(db, webhook_id=1, since=since, actor=actor, now=now) == 0
    assert webhook_log.count_failed(db, webhook_id=1, since=[since, day]) == [0, 1]


def test_sending_once_more_does_not_keep_a_later_status_from_being_told(
    db: Session, actor: Actor, now: datetime
) -> None:
    [old] = _settled(db, now, states=["failed"])
    webhook_log.resend(db, webhook_id=1, delivery_id=old, actor=actor, now=now)
    conversion = webhook_log.get_delivery(db, webhook_id=1, delivery_id=old).conversion_id
    assert conversion is not None
    assert enqueue(db.connection(), [(conversion, 1)], now=now) == 0


def test_the_log_is_found_by_state_conversion_and_time(db: Session, now: datetime) -> None:
    ids = _settled(db, now, states=["failed", "done", "failed"])

    def found(**wanted: Any) -> list[int]:
        log = webhook_log.find_deliveries(db, webhook_id=1, wanted=webhook_log.LogFilter(**wanted))
        return [row.delivery.id for row in log.rows]

    conversion = webhook_log.get_delivery(db, webhook_id=1, delivery_id=ids[1]).conversion_id
    assert found() == ids[::-1]
    assert found(state="failed") == [ids[2], ids[0]]
    assert found(conversion_id=conversion) == [ids[1]]
    assert found(since=now - timedelta(minutes=90)) == [ids[2], ids[1]]
    assert found(before=ids[1]) == [ids[0]]


def test_the_log_comes_in_pages(db: Session, now: datetime) -> None:
    ids = _settled(db, now, states=["done"] * 51)
    log = webhook_log.find_deliveries(db, webhook_id=1, wanted=webhook_log.LogFilter())
    assert (len(log.rows), log.older, log.rows[0].delivery.id) == (50, True, ids[-1])
    assert log.rows[0].transaction_id.startswith("AR-")


def test_a_preview_is_made_of_the_last_conversion_that_it_would_be_told(db: Session, now: datetime) -> None:
    connection = db.connection()
    link = make_link(connection)
    campaign = connection.scalar(select(webhooks.Campaign.id))
    source, other = make_source(connection), make_source(connection, name="Other")
    wanted = make_conversion(connection, source_id=source, at=now, link_id=link, transaction_id="A")
    make_conversion(connection, source_id=source, at=now, transaction_id="B", status="pending")
    make_conversion(connection, source_id=source, at=now, transaction_id="C", event="lead")
    make_conversion(connection, source_id=source, at=now, transaction_id="D", is_late=True)
    make_conversion(connection, source_id=source, at=now, transaction_id="E")
    make_conversion(connection, source_id=other, at=now, link_id=link, transaction_id="F")
    fields = replace(
        FIELDS,
        url="https://ads.example/in?o={order}&x={nothing}",
        events="sale",
        source_id=source,
        campaign_id=campaign,
        link=str(link),
    )
    shown = webhook_log.preview(db, webhooks.read_fields(db, fields))
    assert (shown.conversion_id, shown.request.url) == (wanted, "https://ads.example/in?o=A&x=")
    assert shown.unknown == ("{nothing}",)
    assert not shown.is_private and not shown.is_broken_json


def test_a_preview_without_a_conversion_is_made_up(db: Session) -> None:
    fields = replace(
        FIELDS, url="http://10.0.0.1/?s={status}", method="POST", body="{", statuses=("rejected",)
    )
    shown = webhook_log.preview(db, webhooks.read_fields(db, fields))
    assert (shown.conversion_id, shown.request.url) == (None, "http://10.0.0.1/?s=rejected")
    assert shown.is_private and shown.is_broken_json
    assert db.scalars(select(Webhook)).all() == []


@pytest.mark.parametrize(
    ("url", "private"),
    [
        ("https://ads.example/", False),
        ("https://localhost.example/", False),
        ("http://localhost:8000/", True),
        ("http://db.internal/", True),
        ("http://nas.local/", True),
        ("http://192.168.1.2/", True),
        ("http://[::1]/", True),
        ("http://8.8.8.8/", False),
        ("http://127.0.0.1:9/", True),
    ],
)
def test_it_warns_of_addresses_that_are_plainly_private(url: str, private: bool) -> None:
    assert webhooks.is_private(url) is private


def test_it_does_not_warn_of_networks_that_may_be_called() -> None:
    here = (ip_network("127.0.0.0/8"),)
    assert not webhooks.is_private("http://127.0.0.1:9/", allowed=here)
    assert not webhooks.is_private("http://localhost:9/", allowed=here)
    assert webhooks.is_private("http://10.0.0.1/", allowed=here)


def test_a_new_secret_is_long_and_never_the_same(db: Session, actor: Actor, now: datetime) -> None:
    one, other = webhooks.new_secret(), webhooks.new_secret()
    assert one != other
    assert make(db, actor, now, secret=one).secret == one
