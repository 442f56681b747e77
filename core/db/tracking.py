"""Clicks and what is counted from them. Written by `db/clicks.py` alone; read by `db/reports.py` and `db/caps.py`.

`clicks` is partitioned by the month of its id (a UUIDv7). Text that repeats is an id into `dictionaries`: small
rows are what makes questions to the raw clicks fast.
"""

import datetime as dt
import uuid

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Date,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import INET, JSONB, UUID
from sqlalchemy.orm import Mapped, mapped_column

from core.db.base import Base, Id

DICTIONARIES = {
    "user_agent": 1,
    "referrer_host": 2,
    "referrer": 3,
    "country": 4,
    "device": 5,
    "browser": 6,
    "os": 7,
    "language": 8,
    "utm_source": 9,
    "utm_medium": 10,
    "utm_campaign": 11,
    "utm_content": 12,
    "utm_term": 13,
    "bot_reason": 14,
    "source": 15,
    "rule": 16,
    "variant": 17,
}
"""Kinds of repeated text (of rules and variants: their ids as text). Numbers are stored: never change one, only add."""

DIMENSIONS = tuple(name for name in DICTIONARIES if name not in ("user_agent", "referrer"))
"""The kinds that `rollup_dims` counts by."""

ALL_REDIRECTS = 0
"""The kind of the rows in `rollup_dims` that count every redirect of a link and day, with value 0."""

ALL_LINKS = 0
"""The link id of the rows in both rollups that count all links together, so that an overview reads a few rows."""


class Dictionary(Base):
    """A text that many clicks share. Id 0 (no row) stands for "unknown" or "none" in every kind."""

    __tablename__ = "dictionaries"
    __table_args__ = (Index("uq_dictionaries_kind_value", "kind", text("md5(value)"), unique=True),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    kind: Mapped[int] = mapped_column(SmallInteger)
    value: Mapped[str]


class Click(Base):
    """One answered click. 0 in an id column means none or unknown; `bot_reason` 0 means a person.

    `door_bot` is what the tracker thought at the door, kept apart from the final verdict; `ip` is truncated
    (/24, /48) before it is stored; `visitor` is the day's keyed hash, 0 where it could not be made."""

    __tablename__ = "clicks"
    __table_args__ = (
        Index("ix_clicks_link", "link_id", text("id DESC")),
        {"postgresql_partition_by": "RANGE (id)"},
    )

    id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True), primary_key=True)
    link_id: Mapped[int] = mapped_column(BigInteger)
    revision: Mapped[int] = mapped_column(BigInteger)
    visitor: Mapped[int] = mapped_column(BigInteger)
    outcome: Mapped[int] = mapped_column(SmallInteger)
    is_unique: Mapped[bool] = mapped_column(Boolean)
    is_head: Mapped[bool] = mapped_column(Boolean)
    bot_reason: Mapped[int] = mapped_column(Integer)
    door_bot: Mapped[int] = mapped_column(Integer)
    user_agent: Mapped[int] = mapped_column(Integer)
    browser: Mapped[int] = mapped_column(Integer)
    os: Mapped[int] = mapped_column(Integer)
    device: Mapped[int] = mapped_column(Integer)
    language: Mapped[int] = mapped_column(Integer)
    country: Mapped[int] = mapped_column(Integer)
    referrer_host: Mapped[int] = mapped_column(Integer)
    referrer: Mapped[int] = mapped_column(Integer)
    utm_source: Mapped[int] = mapped_column(Integer)
    utm_medium: Mapped[int] = mapped_column(Integer)
    utm_campaign: Mapped[int] = mapped_column(Integer)
    utm_content: Mapped[int] = mapped_column(Integer)
    utm_term: Mapped[int] = mapped_column(Integer)
    rule: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    variant: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    source: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    ip: Mapped[str | None] = mapped_column(INET)
    query: Mapped[str | None] = mapped_column(Text)
    stored_at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), server_default=text("now()"))


class ClickRetention(Base):
    """From which month on raw clicks are kept. No row: nothing was ever removed. Written in the transaction that drops
    a partition; a click that comes later for an older month is counted as expired, and no partition is made for it."""

    __tablename__ = "click_retention"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(
        SmallInteger, primary_key=True, autoincrement=False, server_default=text("1")
    )
    kept_from: Mapped[dt.date] = mapped_column(Date)


class LinkVisitor(Base):
    """The first click by a person of a visitor on a link in one day of the organisation's zone. Kept three days."""

    __tablename__ = "link_visitors"

    day: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    link_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    visitor: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    click_id: Mapped[uuid.UUID] = mapped_column(UUID(as_uuid=True))


class VisitorKey(Base):
    """The random key that a day's visitor hashes are made with; destroyed after three days."""

    __tablename__ = "visitor_keys"

    day: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    key: Mapped[bytes] = mapped_column(LargeBinary)


class RollupTotal(Base):
    """Counts per link and quarter hour (UTC; so that every zone adds up), and those of ALL_LINKS. Readers sum over
    shards.

    `clicks` are people's redirects, `uniques` the first of a visitor that day, `bots` all other redirects, `others`
    what was not led to a destination: paused, gone, before the link's time or after it, beyond its cap, with or without
    a fallback."""

    __tablename__ = "rollup_totals"
    __table_args__ = (
        CheckConstraint("clicks >= 0 and uniques >= 0 and bots >= 0 and others >= 0", name="counts"),
        CheckConstraint("shard between 0 and 15", name="shard"),
        Index("ix_rollup_totals_slot", "slot", postgresql_using="brin"),  # a week of all links, for a few kB
    )

    link_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    slot: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    shard: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    clicks: Mapped[int] = mapped_column(Integer)
    uniques: Mapped[int] = mapped_column(Integer)
    bots: Mapped[int] = mapped_column(Integer)
    others: Mapped[int] = mapped_column(Integer)


class RollupDim(Base):
    """Counts of redirects per link (and ALL_LINKS), day of the organisation's zone and value of a dimension (`kind` as
    in DICTIONARIES). Value 0 (none, unknown) is not stored but for the kind ALL_REDIRECTS, which holds the day's sum:
    most clicks carry no UTM, and a store spends half its time on these rows."""

    __tablename__ = "rollup_dims"
    __table_args__ = (CheckConstraint("shard between 0 and 15", name="shard"),)

    link_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    kind: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    day: Mapped[dt.date] = mapped_column(Date, primary_key=True)
    value: Mapped[int] = mapped_column(Integer, primary_key=True)
    shard: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    clicks: Mapped[int] = mapped_column(Integer)
    uniques: Mapped[int] = mapped_column(Integer)
    bots: Mapped[int] = mapped_column(Integer)


class Books(Base):
    """What became of the clicks of one UTC hour (the hour of their ids). `accepted` (by Redis) and `answered` (by the
    trackers, whatever Redis says) are copied from Redis, and so is `dead` (set aside and not put back), all of them to
    shard 0; the others change in the transaction that stores."""

    __tablename__ = "books"

    hour: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True), primary_key=True)
    shard: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    accepted: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    answered: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    stored: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    duplicate: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    dead: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    expired: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))


class Reconciliation(Base):
    """How the books stood when they were put on record. `unbalanced` are the hours that did not come out; `missing`
    are clicks of which nothing was known."""

    __tablename__ = "reconciliations"

    id: Mapped[Id]
    at: Mapped[dt.datetime] = mapped_column(DateTime(timezone=True))
    state: Mapped[str]
    answered: Mapped[int] = mapped_column(BigInteger)
    accepted: Mapped[int] = mapped_column(BigInteger)
    stored: Mapped[int] = mapped_column(BigInteger)
    duplicate: Mapped[int] = mapped_column(BigInteger)
    expired: Mapped[int] = mapped_column(BigInteger)
    dead: Mapped[int] = mapped_column(BigInteger)
    waiting: Mapped[int] = mapped_column(BigInteger)
    missing: Mapped[int] = mapped_column(BigInteger)
    unbalanced: Mapped[list[str]] = mapped_column(JSONB, server_default=text("'[]'::jsonb"))
