"""What is to be sent on: a row for each conversion, version and webhook that go together."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, insert, or_, select

from core.db.conversions import Conversion, Webhook, WebhookDelivery
from core.db.models import Link
from core.domain.sending import settings_of


def enqueue(connection: Connection, changes: Sequence[tuple[int, int]], *, now: datetime) -> int:
    """Write the deliveries of changed conversions (id, version) to the webhooks that want them, in the caller's
    transaction. Returns how many. Raises SQLAlchemyError."""
    versions = dict(changes)
    found = connection.execute(
        select(
            Conversion.id,
            Conversion.status,
            Conversion.event,
            Webhook.id.label("webhook_id"),
            Webhook.settings,
        )
        .outerjoin(Link, Link.id == Conversion.link_id)
        .join(
            Webhook,
            Webhook.is_active
            & or_(Webhook.source_id.is_(None), Webhook.source_id == Conversion.source_id)
            & or_(Webhook.link_id.is_(None), Webhook.link_id == Conversion.link_id)
            & or_(Webhook.campaign_id.is_(None), Webhook.campaign_id == Link.campaign_id),
        )
        .where(Conversion.id.in_(versions), Conversion.is_late.is_(False))
    ).all()
    rows = []
    for row in found:
        settings = settings_of(row.settings)
        if row.status in settings.statuses and (not settings.events or row.event in settings.events):
            rows.append(
                {
                    "webhook_id": row.webhook_id,
                    "conversion_id": row.id,
                    "conversion_version": versions[row.id],
                    "next_try": now + timedelta(seconds=settings.delay_s),
                }
            )
    if rows:
        connection.execute(insert(WebhookDelivery), rows)
    return len(rows)
