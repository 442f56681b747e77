"""Rows for tests of what is sent on: a source, a link, a click, conversions and webhooks, by one call each."""

import uuid
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, insert, select, update

from core.db.conversions import Conversion, ConversionHistory, ConversionSource, Webhook, WebhookDelivery
from core.db.deliveries import enqueue
from core.db.models import Campaign, Domain, Link
from core.domain.sending import SendingSettings, stored

HOOK = "https://hooks.example/in?id={click_id}&sum={amount}"


def make_source(connection: Connection, *, name: str = "Loja online") -> int:
    made = insert(ConversionSource).values(name=name, preset="plain").returning(ConversionSource.id)
    return connection.scalars(made).one()


def make_link(connection: Connection, *, slug: str = "tv", campaign: str | None = "Black Friday") -> int:
    """A link of go.example.com, in a campaign."""
    domain_id = connection.scalar(select(Domain.id).where(Domain.host == "go.example.com"))
    if domain_id is None:
        domain_id = connection.scalar(insert(Domain).values(host="go.example.com").returning(Domain.id))
    campaign_id = None
    if campaign:
        campaign_id = connection.scalar(select(Campaign.id).where(Campaign.name == campaign))
        if campaign_id is None:
            campaign_id = connection.scalar(insert(Campaign).values(name=campaign).returning(Campaign.id))
    made = insert(Link).values(
        domain_id=domain_id,
        slug=slug,
        slug_key=slug,
        url="https://shop.example/",
        title="Smart TV 4K",
        campaign_id=campaign_id,
    )
    return connection.scalars(made.returning(Link.id)).one()


def make_conversion(connection: Connection, *, source_id: int, at: datetime, **values: Any) -> int:
    """A conversion of version 1 with its history."""
    given = {
        "ref_click": uuid.uuid4(),
        "transaction_id": f"AR-{uuid.uuid4().hex[:8]}",
        "status": "approved",
        "currency": "BRL",
        "revenue": Decimal("129.90"),
        "at": at,
        **values,
    }
    made = insert(Conversion).values(source_id=source_id, **given).returning(Conversion.id)
    conversion_id = connection.scalars(made).one()
    _write_history(connection, conversion_id, version=1, status=given["status"])
    return conversion_id


def change_status(connection: Connection, conversion_id: int, status: str) -> int:
    """Another status, as another version, which is returned."""
    changed = update(Conversion).where(Conversion.id == conversion_id)
    version = connection.scalars(
        changed.values(status=status, version=Conversion.version + 1).returning(Conversion.version)
    ).one()
    _write_history(connection, conversion_id, version=version, status=status)
    return version


def make_webhook(connection: Connection, *, name: str = "Ads", url: str = HOOK, **values: Any) -> int:
    """A webhook; `settings` is a SendingSettings."""
    settings = values.pop("settings", SendingSettings())
    made = insert(Webhook).values(name=name, url=url, settings=stored(settings), **values)
    return connection.scalars(made.returning(Webhook.id)).one()


def make_due(connection: Connection, *, source_id: int, now: datetime, count: int = 1) -> list[int]:
    """So many new conversions, told to whoever wants them. The conversions' ids."""
    ids = [make_conversion(connection, source_id=source_id, at=now) for _ in range(count)]
    enqueue(connection, [(id_, 1) for id_ in ids], now=now)
    return ids


def deliveries(connection: Connection) -> list[WebhookDelivery]:
    """Every delivery, oldest first."""
    return list(connection.execute(select(WebhookDelivery).order_by(WebhookDelivery.id)).all())


def _write_history(connection: Connection, conversion_id: int, *, version: int, status: str) -> None:
    connection.execute(
        insert(ConversionHistory).values(
            conversion_id=conversion_id, version=version, actor="test", action="test", status=status
        )
    )
