"""The table of what is sent on: written beside a conversion's change, worked by the sender."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, insert, select

from core.db.conversions import Conversion, Webhook, WebhookDelivery
from core.domain.sending import settings_of


def enqueue(connection: Connection, changes: Sequence[tuple[int, int]], *, now: datetime) -> int:
    """Write what is to be sent on because these conversions (id, version) were made or changed, in the caller's
    transaction. Returns how many deliveries were written."""
    webhooks = connection.execute(
        select(Webhook.id, Webhook.source_id, Webhook.settings).where(Webhook.is_active)
    ).all()
    if not webhooks or not changes:
        return 0
    versions = dict(changes)
    found = connection.execute(
        select(Conversion.id, Conversion.source_id, Conversion.status).where(
            Conversion.id.in_(versions), ~Conversion.is_late
        )
    ).all()
    rows = [
        {
            "webhook_id": webhook.id,
            "conversion_id": row.id,
            "conversion_version": versions[row.id],
            "next_try": now,
        }
        for webhook in webhooks
        for row in found
        if webhook.source_id in (None, row.source_id) and row.status in settings_of(webhook.settings).statuses
    ]
    if rows:
        connection.execute(insert(WebhookDelivery), rows)
    return len(rows)
