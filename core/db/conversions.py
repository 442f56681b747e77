"""Sources of conversions, the raw inbox of postbacks, what became of them, and what is sent on.

A postback is written down as it came before it is read, and stays for as long as the inbox keeps it. A conversion is
made or changed by postbacks alone, or by a person who says why; every change of it is a row of its history.
"""

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    Text,
    UniqueConstraint,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, INET, JSONB, UUID
from sqlalchemy.orm import Mapped, mapped_column, relationship

from core.db.base import Base, CreatedAt, Id
from core.domain.conversions import STATUSES, VERDICTS
from core.domain.sending import KINDS, STATES

_MONEY = Numeric(20, 6)
_JSON = text("'{}'::jsonb")


def _one_of(column: str, values: tuple[str, ...]) -> str:
    return f"{column} in ({', '.join(repr(value) for value in values)})"


class ConversionSource(Base):
    """A network or shop that sends postbacks. `settings` is a `core.domain.sources.SourceSettings` as JSON: parameter
    and status mapping, currency, duplicate policy, window, payout, networks, signature (without its keys)."""

    __tablename__ = "conversion_sources"
    __table_args__ = (CheckConstraint("version > 0", name="version"),)

    id: Mapped[Id]
    name: Mapped[str] = mapped_column(unique=True)
    preset: Mapped[str]
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    settings: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=_JSON)
    signature_keys: Mapped[list[bytes]] = mapped_column(ARRAY(LargeBinary), server_default=text("'{}'"))
    version: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    created_by: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]

    tokens: Mapped[list["SourceToken"]] = relationship(order_by="SourceToken.id.desc()")


class SourceToken(Base):
    """A token in a source's postback URL: shown once, kept as a SHA-256; `hint` lets a person recognise it. One that
    was replaced is taken until `expires_at`."""

    __tablename__ = "source_tokens"

    id: Mapped[Id]
    source_id: Mapped[int] = mapped_column(
        ForeignKey("conversion_sources.id", ondelete="CASCADE"), index=True
    )
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    hint: Mapped[str]
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[dt.datetime | None]


class SourceTest(Base):
    """A live test of a source: a click id that stands for no click, so that what comes for it counts nowhere."""

    __tablename__ = "source_tests"

    click_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), primary_key=True)
    source_id: Mapped[int] = mapped_column(
        ForeignKey("conversion_sources.id", ondelete="CASCADE"), index=True
    )
    started_by: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    started_at: Mapped[CreatedAt]


class Postback(Base):
    """One raw request, by its id (a UUIDv7: the time of receipt), and the verdict on it as of now.

    `reading` is how it was read, `why` the reason for the verdict as JSON ({"code": ..., facts}); `terms` are the
    values that it is found by, lower case. `next_try` is set while it waits for its click. A replay judges it anew;
    what it had brought about before is a row of `conversion_history`."""

    __tablename__ = "postbacks"
    __table_args__ = (
        CheckConstraint(_one_of("verdict", VERDICTS), name="verdict"),
        Index("ix_postbacks_source", "source_id", text("id DESC")),
        Index("ix_postbacks_verdict", "verdict", text("id DESC")),
        Index("ix_postbacks_terms", "terms", postgresql_using="gin"),
        Index("ix_postbacks_waiting", "next_try", postgresql_where=text("next_try is not null")),
        Index("ix_postbacks_addresses", "id", postgresql_where=text("ip is not null or user_agent <> ''")),
        Index("ix_postbacks_conversion", "conversion_id", postgresql_where=text("conversion_id is not null")),
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), primary_key=True)
    source_id: Mapped[int | None] = mapped_column(BigInteger)
    kind: Mapped[int] = mapped_column(SmallInteger)
    method: Mapped[str]
    host: Mapped[str]
    query: Mapped[str]
    content_type: Mapped[str]
    body: Mapped[bytes] = mapped_column(LargeBinary)
    headers: Mapped[list[list[str]]] = mapped_column(JSONB, server_default=text("'[]'::jsonb"))
    ip: Mapped[str | None] = mapped_column(INET)
    user_agent: Mapped[str]
    referrer: Mapped[str]
    token_hint: Mapped[str]
    refused: Mapped[str]
    answered: Mapped[int] = mapped_column(SmallInteger)
    size: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    stored_at: Mapped[CreatedAt]

    verdict: Mapped[str] = mapped_column(server_default="new")
    why: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=_JSON)
    reading: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=_JSON)
    judged_at: Mapped[dt.datetime | None]
    attempts: Mapped[int] = mapped_column(SmallInteger, server_default=text("0"))
    next_try: Mapped[dt.datetime | None]
    click_id: Mapped[uuid.UUID | None] = mapped_column(UUID(as_uuid=True))
    transaction_id: Mapped[str] = mapped_column(server_default="")
    event: Mapped[str] = mapped_column(server_default="")
    status: Mapped[str] = mapped_column(server_default="")
    amount: Mapped[Decimal | None] = mapped_column(_MONEY)
    currency: Mapped[str] = mapped_column(server_default="")
    conversion_id: Mapped[int | None] = mapped_column(BigInteger)
    terms: Mapped[list[str]] = mapped_column(ARRAY(Text), server_default=text("'{}'"))


class PostbackBooks(Base):
    """What became of the postbacks of one UTC hour (the hour of their ids): accepted by Redis, stored, come again, set
    aside as dead letters. What was made of the stored ones is counted from the inbox."""

    __tablename__ = "postback_books"

    hour: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    received: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    stored: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    duplicate: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    dead: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))


class Conversion(Base):
    """One conversion. Once per source, click as it was reported, transaction, event and repeat (`ref_click` is the nil
    UUID and the texts "" where nothing was said).

    `click_id`, `link_id`, `rule`, `variant` and `clicked_at` say what it is credited to, by `attributed_by`; they may
    change when attribution is run again. Amounts are as they came, in `currency`; `report_*` are in the organisation's
    currency at `rate`, all three NULL where no rate was known. Profit is revenue less payout and cost."""

    __tablename__ = "conversions"
    __table_args__ = (
        UniqueConstraint(
            "source_id", "ref_click", "transaction_id", "event", "repeat", name="uq_conversions_once"
        ),
        CheckConstraint(_one_of("status", STATUSES), name="status"),
        CheckConstraint("repeat >= 0", name="repeat"),
        CheckConstraint("version > 0", name="version"),
        Index("ix_conversions_at", text("at DESC"), text("id DESC")),
        Index("ix_conversions_click", "click_id"),
        Index("ix_conversions_link", "link_id", text("at DESC")),
        Index(
            "ix_conversions_transaction",
            literal_column("lower(transaction_id)").label("transaction"),
            postgresql_ops={"transaction": "text_pattern_ops"},
        ),
        Index("ix_conversions_customer", "customer_id", postgresql_where=text("customer_id <> ''")),
    )

    id: Mapped[Id]
    source_id: Mapped[int] = mapped_column(ForeignKey("conversion_sources.id", ondelete="RESTRICT"))
    ref_click: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True))
    transaction_id: Mapped[str] = mapped_column(server_default="")
    event: Mapped[str] = mapped_column(server_default="sale")
    repeat: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    status: Mapped[str]
    is_rebill: Mapped[bool] = mapped_column(server_default=text("false"))
    is_late: Mapped[bool] = mapped_column(server_default=text("false"))
    at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))

    click_id: Mapped[uuid.UUID | None] = mapped_column(UUID(as_uuid=True))
    link_id: Mapped[int | None] = mapped_column(BigInteger)
    rule: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    variant: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    clicked_at: Mapped[dt.datetime | None]
    attributed_by: Mapped[str] = mapped_column(server_default="")

    currency: Mapped[str]
    revenue: Mapped[Decimal] = mapped_column(_MONEY, server_default=text("0"))
    payout: Mapped[Decimal] = mapped_column(_MONEY, server_default=text("0"))
    cost: Mapped[Decimal] = mapped_column(_MONEY, server_default=text("0"))
    rate: Mapped[Decimal | None] = mapped_column(Numeric(24, 12))
    report_revenue: Mapped[Decimal | None] = mapped_column(_MONEY)
    report_payout: Mapped[Decimal | None] = mapped_column(_MONEY)
    report_cost: Mapped[Decimal | None] = mapped_column(_MONEY)

    customer_id: Mapped[str] = mapped_column(server_default="")
    coupon: Mapped[str] = mapped_column(server_default="")
    fields: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=_JSON)
    version: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]

    source: Mapped[ConversionSource] = relationship()


class ConversionHistory(Base):
    """Each version of a conversion: who changed it ("postback:UUID", "user:7", "key:3", "attribution"), what differed
    ({field: [before, after]}), and the reason that a person gave."""

    __tablename__ = "conversion_history"

    conversion_id: Mapped[int] = mapped_column(
        ForeignKey("conversions.id", ondelete="CASCADE"), primary_key=True
    )
    version: Mapped[int] = mapped_column(Integer, primary_key=True)
    at: Mapped[CreatedAt]
    actor: Mapped[str]
    actor_name: Mapped[str] = mapped_column(server_default="")
    action: Mapped[str]
    status: Mapped[str]
    changed: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=_JSON)
    reason: Mapped[str] = mapped_column(server_default="")


class ExchangeRate(Base):
    """What one unit of `currency` is worth in the organisation's, from `day` on until a later row; `origin` is "feed"
    or who filled it in."""

    __tablename__ = "exchange_rates"
    __table_args__ = (
        CheckConstraint("rate > 0", name="rate"),
        CheckConstraint("currency ~ '^[A-Z]{3}$'", name="currency"),
    )

    currency: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    rate: Mapped[Decimal] = mapped_column(Numeric(24, 12))
    origin: Mapped[str] = mapped_column(server_default="")
    created_at: Mapped[CreatedAt]


class Coupon(Base):
    """A coupon code (lower case) that was given out with a link: who uses it is credited to that link where a source
    allows it."""

    __tablename__ = "coupons"
    __table_args__ = (CheckConstraint("code = lower(code) and code <> ''", name="code_lower"),)

    code: Mapped[str] = mapped_column(primary_key=True)
    link_id: Mapped[int] = mapped_column(ForeignKey("links.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[CreatedAt]


class Webhook(Base):
    """An outgoing postback. `url` and `body` have macros; `settings` is a `core.domain.sending.SendingSettings` as JSON
    (method, headers, statuses, events, percentage, delay). Of the three scopes those that are set must all match.

    `failures` are failed attempts in a row; after one it is left alone until `paused_until`. `disabled_at` is when they
    were too many, so that it was switched off: what comes meanwhile waits."""

    __tablename__ = "webhooks"
    __table_args__ = (CheckConstraint("version > 0", name="version"),)

    id: Mapped[Id]
    name: Mapped[str] = mapped_column(unique=True)
    url: Mapped[str]
    body: Mapped[str] = mapped_column(server_default="")
    secret: Mapped[str] = mapped_column(server_default="")
    settings: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=_JSON)
    source_id: Mapped[int | None] = mapped_column(ForeignKey("conversion_sources.id", ondelete="CASCADE"))
    campaign_id: Mapped[int | None] = mapped_column(ForeignKey("campaigns.id", ondelete="CASCADE"))
    link_id: Mapped[int | None] = mapped_column(ForeignKey("links.id", ondelete="CASCADE"))
    is_active: Mapped[bool] = mapped_column(server_default=text("true"))
    failures: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    paused_until: Mapped[dt.datetime | None]
    disabled_at: Mapped[dt.datetime | None]
    version: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[CreatedAt]


class WebhookDelivery(Base):
    """One status of a conversion as it is told to one webhook: what was sent last and what came back, `tries` of each
    attempt ({at, status, ms, error}). Once per webhook, conversion and status, but for tests and what a person had sent
    once more (`kind`, as in `core.domain.sending`). `next_try` is set while it is to be sent (again), `leased_until`
    while a worker sends it."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        CheckConstraint(_one_of("kind", KINDS), name="kind"),
        CheckConstraint(_one_of("state", STATES), name="state"),
        Index(
            "uq_webhook_deliveries_once",
            "webhook_id",
            "conversion_id",
            "status",
            unique=True,
            postgresql_where=text("kind = 'event'"),
        ),
        Index(
            "ix_webhook_deliveries_due",
            "webhook_id",
            "next_try",
            "id",
            postgresql_where=text("next_try is not null"),
        ),
        Index(
            "ix_webhook_deliveries_leased",
            "webhook_id",
            "leased_until",
            postgresql_where=text("leased_until is not null"),
        ),
        Index(
            "ix_webhook_deliveries_tests",
            "next_try",
            postgresql_where=text("kind = 'test' and next_try is not null"),
        ),
        Index("ix_webhook_deliveries_ended", "ended_at"),
        Index(
            "ix_webhook_deliveries_failed",
            "webhook_id",
            "created_at",
            postgresql_where=text("state = 'failed'"),
        ),
        Index("ix_webhook_deliveries_webhook", "webhook_id", text("id DESC")),
        Index("ix_webhook_deliveries_conversion", "conversion_id"),
    )

    id: Mapped[Id]
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    conversion_id: Mapped[int | None] = mapped_column(ForeignKey("conversions.id", ondelete="CASCADE"))
    conversion_version: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    status: Mapped[str] = mapped_column(server_default="")
    kind: Mapped[str] = mapped_column(server_default="event")
    resent_from: Mapped[int | None] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(server_default="waiting")
    attempts: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    next_try: Mapped[dt.datetime | None]
    leased_until: Mapped[dt.datetime | None]
    method: Mapped[str] = mapped_column(server_default="")
    url: Mapped[str] = mapped_column(server_default="")
    body: Mapped[str] = mapped_column(server_default="")
    response_status: Mapped[int | None] = mapped_column(Integer)
    response_body: Mapped[str] = mapped_column(server_default="")
    error: Mapped[str] = mapped_column(server_default="")
    ms: Mapped[int | None] = mapped_column(Integer)
    tries: Mapped[list[dict[str, Any]]] = mapped_column(JSONB, server_default=text("'[]'::jsonb"))
    created_at: Mapped[CreatedAt]
    ended_at: Mapped[dt.datetime | None]
