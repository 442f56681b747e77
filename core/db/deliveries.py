"""The table of what is sent on: written beside a conversion's change, worked by the sender of `tasks/sending.py`.

A worker leases what it sends; when it dies the lease ends and another sends it again, under the same delivery id.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Connection, RowMapping, delete, func, or_, select, update

from core.db.arrays import bigints, booleans, ints, texts
from core.db.conversions import Webhook, WebhookDelivery
from core.db.queries import query
from core.db.texts import storable
from core.domain.outgoing import Facts, Request, external_id, params_of, plain_amount
from core.domain.sending import (
    DONE,
    MOST_FAILURES,
    TEST,
    WAITING,
    SendingSettings,
    is_drawn,
    pause_after,
    settings_of,
    wants,
)

LEASE = timedelta(seconds=60)
"""Several times what an attempt may take; what is not settled by then is sent again."""

LONGEST_ANSWER = 2048
_LONGEST_ERROR = 500
_LONGEST_SENT = 16_384
_MOST_PRUNED = 10_000


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that this worker is to send until `until`; `conversion_id` None is a test with made-up values."""

    id: int
    webhook_id: int
    conversion_id: int | None
    status: str
    kind: str
    attempts: int
    since: datetime
    until: datetime
    url: str
    body: str
    secret: str
    settings: SendingSettings


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attempt came to. `state` is done, failed, or waiting until `next_try`. Where nobody answered `status` is
    None; `error` says in words what was wrong. `retry_after_s` is how long the receiver asked to be left alone."""

    due: Due
    state: str
    at: datetime
    request: Request
    status: int | None = None
    answer: str = ""
    error: str = ""
    ms: int = 0
    next_try: datetime | None = None
    retry_after_s: float = 0.0


def enqueue(connection: Connection, changes: Sequence[tuple[int, int]], *, now: datetime) -> int:
    """Write what is to be sent on because these conversions (id, version) were made or changed, in the caller's
    transaction. Returns how many deliveries were written.

    Each webhook is told each status of a conversion once; conversions that came too late to count are told to nobody.
    Those that a percentage leaves out are written down as skipped. Calling it again for the same changes adds nothing.
    Raises sqlalchemy.exc.SQLAlchemyError.
    """
    webhooks = _listening(connection) if changes else []
    if not webhooks:
        return 0
    found = connection.execute(
        query("changed_conversions"),
        {"ids": bigints([id_ for id_, _ in changes]), "versions": ints([version for _, version in changes])},
    ).all()
    told = [
        (webhook, row)
        for row in found
        for webhook in webhooks
        if webhook.covers(row) and wants(webhook.settings, status=row.status, event=row.event)
    ]
    if not told:
        return 0
    return connection.execute(
        query("add_deliveries"),
        {
            "now": now,
            "webhook_ids": bigints([webhook.id for webhook, _ in told]),
            "conversion_ids": bigints([row.id for _, row in told]),
            "versions": ints([row.version for _, row in told]),
            "statuses": texts([row.status for _, row in told]),
            "drawn": booleans(
                [
                    is_drawn(webhook.settings, webhook_id=webhook.id, conversion_id=row.id)
                    for webhook, row in told
                ]
            ),
            "delays": ints([webhook.settings.delay_s for webhook, _ in told]),
        },
    ).rowcount


def claim(connection: Connection, *, now: datetime, most: int, each: int) -> list[Due]:
    """Lease at most `most` deliveries that are due, the webhooks in turns. Of each at most `each` are on their way at a
    time; while it fails only one, and none until its pause is over."""
    if most < 1:
        return []
    until = now + LEASE
    rows = connection.execute(
        query("claim_deliveries"), {"now": now, "until": until, "most": most, "each": each}
    ).all()
    return [
        Due(
            id=row.id,
            webhook_id=row.webhook_id,
            conversion_id=row.conversion_id,
            status=row.status,
            kind=row.kind,
            attempts=row.attempts,
            since=row.next_try,
            until=until,
            url=row.url,
            body=row.body,
            secret=row.secret,
            settings=settings_of(row.settings),
        )
        for row in sorted(rows, key=lambda row: row.next_try)
    ]


def settle(connection: Connection, outcomes: Sequence[Outcome]) -> list[int]:
    """Write down what attempts came to. What another worker has taken over meanwhile is left to it. Returns the ids of
    webhooks that were switched off because they failed too often."""
    mine = [outcome for outcome in outcomes if _write(connection, outcome)]
    return [
        webhook_id
        for webhook_id in sorted({outcome.due.webhook_id for outcome in mine})
        if _count(connection, webhook_id, [one for one in mine if one.due.webhook_id == webhook_id])
    ]


def waiting(connection: Connection) -> int:
    """How many deliveries are to be sent (again)."""
    return connection.scalars(
        select(func.count()).select_from(WebhookDelivery).where(WebhookDelivery.next_try.is_not(None))
    ).one()


def prune(connection: Connection, *, before: datetime) -> int:
    """Remove deliveries that ended before then. Returns how many, at most 10,000."""
    old = select(WebhookDelivery.id).where(WebhookDelivery.ended_at < before).limit(_MOST_PRUNED)
    return connection.execute(delete(WebhookDelivery).where(WebhookDelivery.id.in_(old))).rowcount


def facts_of(connection: Connection, conversion_ids: Sequence[int]) -> dict[int, Facts]:
    """What macros stand for, by conversion; those that there are no more are left out."""
    rows = connection.execute(query("conversion_facts"), {"ids": bigints(conversion_ids)}).mappings()
    return {row["id"]: _facts(row) for row in rows}


@dataclass(frozen=True, slots=True)
class _Listener:
    """A webhook, by what decides which conversions it is told."""

    id: int
    source_id: int | None
    campaign_id: int | None
    link_id: int | None
    settings: SendingSettings

    def covers(self, row: Any) -> bool:
        return (
            self.source_id in (None, row.source_id)
            and self.campaign_id in (None, row.campaign_id)
            and self.link_id in (None, row.link_id)
        )


def _listening(connection: Connection) -> list[_Listener]:
    """Those that are on, and those that were switched off for their failures: what they miss waits for them."""
    rows = connection.execute(
        select(Webhook.id, Webhook.source_id, Webhook.campaign_id, Webhook.link_id, Webhook.settings)
        .where(or_(Webhook.is_active, Webhook.disabled_at.is_not(None)))
        .order_by(Webhook.id)
    )
    return [
        _Listener(row.id, row.source_id, row.campaign_id, row.link_id, settings_of(row.settings))
        for row in rows
    ]


def _write(connection: Connection, outcome: Outcome) -> bool:
    due, request = outcome.due, outcome.request
    error = storable(outcome.error, _LONGEST_ERROR)
    entry = {"at": outcome.at.isoformat(), "status": outcome.status, "ms": outcome.ms, "error": error}
    changed = (
        update(WebhookDelivery)
        .where(WebhookDelivery.id == due.id, WebhookDelivery.leased_until == due.until)
        .values(
            state=outcome.state,
            attempts=WebhookDelivery.attempts + 1,
            next_try=outcome.next_try,
            leased_until=None,
            method=request.method,
            url=storable(request.url, _LONGEST_SENT),
            body=storable(request.body, _LONGEST_SENT),
            response_status=outcome.status,
            response_body=storable(outcome.answer, LONGEST_ANSWER),
            error=error,
            ms=outcome.ms,
            tries=WebhookDelivery.tries.concat([entry]),
            ended_at=None if outcome.state == WAITING else outcome.at,
        )
    )
    return connection.execute(changed).rowcount == 1


def _count(connection: Connection, webhook_id: int, outcomes: Sequence[Outcome]) -> bool:
    """Count a webhook's failures in a row; True when it is switched off for them. Tests do not count."""
    told = [outcome for outcome in outcomes if outcome.due.kind != TEST]
    if not told:
        return False
    at = max(outcome.at for outcome in told)
    if any(outcome.state == DONE for outcome in told):
        well = update(Webhook).where(Webhook.id == webhook_id, Webhook.failures > 0)
        connection.execute(well.values(failures=0, paused_until=None))
        return False
    counted = update(Webhook).where(Webhook.id == webhook_id).values(failures=Webhook.failures + len(told))
    failures = connection.scalars(counted.returning(Webhook.failures)).one_or_none()
    if failures is None:
        return False
    asked = max(outcome.retry_after_s for outcome in told)
    paused = update(Webhook).where(Webhook.id == webhook_id)
    connection.execute(paused.values(paused_until=at + pause_after(failures, retry_after_s=asked)))
    if failures < MOST_FAILURES:
        return False
    off = update(Webhook).where(Webhook.id == webhook_id, Webhook.is_active)
    return connection.execute(off.values(is_active=False, disabled_at=at)).rowcount == 1


def _facts(row: RowMapping) -> Facts:
    params = params_of(row["query"] or "")
    click_id: UUID = row["click_id"]
    profit = row["revenue"] - row["payout"] - row["cost"]
    link = f"{row['host']}/{row['slug']}" if row["slug"] else ""
    at: datetime = row["at"]
    texts_of = {
        name: row[name] or ""
        for name in (
            *(
                "transaction_id",
                "currency",
                "status",
                "event",
                "customer_id",
                "coupon",
                "slug",
                "network",
                "source",
            ),
            *("campaign", "rule", "variant", "country", "device", "os", "browser", "language", "referrer"),
            *("utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term"),
        )
    }
    return Facts(
        values={
            **texts_of,
            "click_id": str(click_id) if click_id.int else "",
            "amount": plain_amount(row["revenue"]),
            "payout": plain_amount(row["payout"]),
            "cost": plain_amount(row["cost"]),
            "profit": plain_amount(profit),
            "rebill": "1" if row["is_rebill"] else "",
            "conversion_id": str(row["id"]),
            "time": _time(at),
            "timestamp": str(int(at.timestamp())),
            "date": at.astimezone(UTC).date().isoformat(),
            "click_time": _time(row["clicked_at"]),
            "link": link,
            "link_id": str(row["link_id"] or ""),
            "link_title": row["title"] or "",
            "domain": row["host"] or "",
            "campaign_id": str(row["campaign_id"] or ""),
            "external_id": external_id(params),
        },
        params=params,
        fields={str(name): _text(value) for name, value in row["fields"].items()},
    )


def _time(at: datetime | None) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" if at else ""


def _text(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
