"""The log of what was sent on: looked at, tried out, sent once more, and shown before it is sent."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, exists, func, insert, literal, select, update
from sqlalchemy.orm import Session, aliased

from core.db.conversions import Conversion, Webhook, WebhookDelivery
from core.db.deliveries import facts_of
from core.db.models import Link
from core.domain.outgoing import SAMPLE, Request, build
from core.domain.sending import FAILED, JSON, RESEND, TEST, WAITING, settings_of
from core.net import Network
from core.services import audit
from core.services.actor import Actor
from core.services.webhooks import get_webhook, is_private, unknown_in

PAGE_SIZE = 50
MOST_RESENT = 10_000
_LOOKED_THROUGH = 1_000


class DeliveryNotFound(Exception):
    """There is no such delivery."""


@dataclass(frozen=True, slots=True)
class LogFilter:
    """What of a webhook's log is shown: a state, a conversion, from a time on, before a delivery. "" and None leave
    nothing out."""

    state: str = ""
    conversion_id: int | None = None
    since: datetime | None = None
    before: int | None = None


@dataclass(frozen=True, slots=True)
class LogRow:
    """A delivery with the order that it tells of."""

    delivery: WebhookDelivery
    transaction_id: str


@dataclass(frozen=True, slots=True)
class Log:
    """A page of the log, newest first; `older` is whether there is more."""

    rows: Sequence[LogRow]
    older: bool


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be sent: for `conversion_id`, the last one that it would be told, or for a made-up one (None)."""

    request: Request
    conversion_id: int | None
    unknown: tuple[str, ...]
    is_private: bool
    is_broken_json: bool


def find_deliveries(session: Session, *, webhook_id: int, wanted: LogFilter) -> Log:
    """A page of a webhook's log."""
    conditions: list[ColumnElement[bool]] = [WebhookDelivery.webhook_id == webhook_id]
    if wanted.state:
        conditions.append(WebhookDelivery.state == wanted.state)
    if wanted.conversion_id is not None:
        conditions.append(WebhookDelivery.conversion_id == wanted.conversion_id)
    if wanted.since is not None:
        conditions.append(WebhookDelivery.created_at >= wanted.since)
    if wanted.before is not None:
        conditions.append(WebhookDelivery.id < wanted.before)
    found = session.execute(
        select(WebhookDelivery, func.coalesce(Conversion.transaction_id, ""))
        .outerjoin(Conversion, Conversion.id == WebhookDelivery.conversion_id)
        .where(*conditions)
        .order_by(WebhookDelivery.id.desc())
        .limit(PAGE_SIZE + 1)
    ).all()
    return Log([LogRow(*row) for row in found[:PAGE_SIZE]], older=len(found) > PAGE_SIZE)


def get_delivery(session: Session, *, webhook_id: int, delivery_id: int) -> WebhookDelivery:
    """One delivery of a webhook. Raises DeliveryNotFound."""
    found = session.get(WebhookDelivery, delivery_id, populate_existing=True)
    if found is None or found.webhook_id != webhook_id:
        raise DeliveryNotFound(f"There is no delivery {delivery_id}.")
    return found


def count_failed(session: Session, *, webhook_id: int, since: Sequence[datetime]) -> list[int]:
    """How many failed deliveries since each of these times were not sent once more yet."""
    asked = [func.count().filter(WebhookDelivery.created_at >= at) for at in since]
    return list(session.execute(select(*asked).where(*_to_resend(webhook_id))).one())


def send_test(session: Session, *, webhook_id: int, actor: Actor, now: datetime) -> int:
    """Have a worker call a webhook with made-up values, once, also while it is off; the id of the delivery. Raises
    WebhookNotFound."""
    webhook = get_webhook(session, webhook_id=webhook_id)
    made = insert(WebhookDelivery).values(webhook_id=webhook.id, kind=TEST, next_try=now, created_at=now)
    delivery_id = session.scalars(made.returning(WebhookDelivery.id)).one()
    audit.record(session, actor=actor, action="webhook.test", subject=f"webhook:{webhook.id}", now=now)
    session.commit()
    return delivery_id


def resend(session: Session, *, webhook_id: int, delivery_id: int, actor: Actor, now: datetime) -> int:
    """Send one once more, as a delivery of its own; one that waits is tried now instead. The id of the delivery that
    is to be looked at. Raises DeliveryNotFound."""
    delivery = get_delivery(session, webhook_id=webhook_id, delivery_id=delivery_id)
    session.refresh(delivery, with_for_update=True)
    _end_pause(session, webhook_id)
    if delivery.state == WAITING:
        delivery.next_try = now
        resent = delivery.id
    else:
        made = insert(WebhookDelivery).values(
            webhook_id=webhook_id,
            conversion_id=delivery.conversion_id,
            conversion_version=delivery.conversion_version,
            status=delivery.status,
            kind=TEST if delivery.kind == TEST else RESEND,
            resent_from=delivery.id,
            next_try=now,
            created_at=now,
        )
        resent = session.scalars(made.returning(WebhookDelivery.id)).one()
    subject, detail = f"webhook:{webhook_id}", {"delivery": delivery_id}
    audit.record(session, actor=actor, action="webhook.resend", subject=subject, now=now, detail=detail)
    session.commit()
    return resent


def resend_failed(session: Session, *, webhook_id: int, since: datetime, actor: Actor, now: datetime) -> int:
    """Send once more what failed since then and was not sent once more yet, at most MOST_RESENT. How many. Raises
    WebhookNotFound."""
    get_webhook(session, webhook_id=webhook_id)
    _end_pause(session, webhook_id)
    old = (
        select(
            WebhookDelivery.webhook_id,
            WebhookDelivery.conversion_id,
            WebhookDelivery.conversion_version,
            WebhookDelivery.status,
            literal(RESEND),
            WebhookDelivery.id,
            literal(now),
            literal(now),
        )
        .where(*_to_resend(webhook_id), WebhookDelivery.created_at >= since)
        .order_by(WebhookDelivery.id)
        .limit(MOST_RESENT)
    )
    columns = ["webhook_id", "conversion_id", "conversion_version", "status", "kind", "resent_from"]
    made = insert(WebhookDelivery).from_select([*columns, "next_try", "created_at"], old)
    count = len(session.execute(made.returning(WebhookDelivery.id)).all())
    if count:
        subject, detail = f"webhook:{webhook_id}", {"deliveries": count, "since": since.isoformat()}
        audit.record(session, actor=actor, action="webhook.resend", subject=subject, now=now, detail=detail)
    session.commit()
    return count


def preview(session: Session, webhook: Webhook, *, allowed: tuple[Network, ...] = ()) -> Preview:
    """What a webhook, saved or not, would send for the last conversion that it would be told (of the last thousand of
    its scope), and what looks wrong about that."""
    settings = settings_of(webhook.settings)
    found = session.execute(_last_told(webhook)).one_or_none()
    facts = facts_of(session.connection(), [found.id]).get(found.id) if found else None
    known = facts or replace(SAMPLE, values={**SAMPLE.values, "status": settings.statuses[0]})
    request = build(url=webhook.url, body=webhook.body, settings=settings, facts=known)
    return Preview(
        request=request,
        conversion_id=found.id if found and facts else None,
        unknown=tuple(unknown_in(webhook)),
        is_private=is_private(webhook.url, allowed=allowed),
        is_broken_json=settings.method == "POST"
        and settings.content_type == JSON
        and not _is_json(request.body),
    )


def _end_pause(session: Session, webhook_id: int) -> None:
    """A person wants it tried now, whatever its receiver did lately."""
    session.execute(update(Webhook).where(Webhook.id == webhook_id).values(paused_until=None))


def _last_told(webhook: Webhook) -> Any:
    settings = settings_of(webhook.settings)
    scope: list[ColumnElement[bool]] = []
    if webhook.link_id is not None:
        scope.append(Conversion.link_id == webhook.link_id)
    last = select(Conversion).where(*scope).order_by(Conversion.at.desc(), Conversion.id.desc())
    recent = aliased(Conversion, last.limit(_LOOKED_THROUGH).subquery())
    wanted = select(recent.id).where(recent.status.in_(settings.statuses), recent.is_late.is_(False))
    if settings.events:
        wanted = wanted.where(func.lower(recent.event).in_(settings.events))
    if webhook.source_id is not None:
        wanted = wanted.where(recent.source_id == webhook.source_id)
    if webhook.campaign_id is not None:
        wanted = wanted.join(Link, Link.id == recent.link_id).where(Link.campaign_id == webhook.campaign_id)
    return wanted.order_by(recent.at.desc(), recent.id.desc()).limit(1)


def _to_resend(webhook_id: int) -> list[ColumnElement[bool]]:
    later = aliased(WebhookDelivery)
    return [
        WebhookDelivery.webhook_id == webhook_id,
        WebhookDelivery.state == FAILED,
        WebhookDelivery.kind != TEST,
        ~exists().where(later.webhook_id == webhook_id, later.resent_from == WebhookDelivery.id),
    ]


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
