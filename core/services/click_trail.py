"""One click with all that is known of it: its own facts, what came of it, and what may keep it from being here."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.contracts.click_event import OUTCOMES, REDIRECT, unix_ms
from core.db.conversions import Conversion, ConversionSource, Postback, SourceTest
from core.db.models import Link
from core.db.queries import query
from core.db.tracking import ClickRetention
from core.domain.click_ref import read_click_ref
from core.services.link_rules import names_of
from core.services.link_saving import loaded

MOST = 50
"""Conversions and postbacks of one click that are listed."""

AHEAD = timedelta(days=1)
SOON = timedelta(hours=1)
"""A click that young may still wait in the queue."""

FUTURE, NOT_OURS, TEST, EXPIRED, WAITING, UNKNOWN = (
    "future",
    "not_ours",
    "test",
    "expired",
    "waiting",
    "unknown",
)
"""Why a click is not here: its time lies ahead; no tracker makes such ids; it belongs to a live test; it is older than
the clicks that are kept; it is so young that it may wait in the queue; nobody knows of it."""


@dataclass(frozen=True, slots=True)
class ClickFacts:
    """A click as it was stored; texts are "" where nothing is known. `robot` is the final verdict and `door_robot` the
    tracker's, "" for a person; `known` says whether its visitor could be told from others, and `earlier` is the click
    that was counted as that visitor's first on the link that day (known for three days). `ip` is truncated."""

    id: uuid.UUID
    link_id: int
    revision: int
    outcome: str
    is_unique: bool
    is_head: bool
    known: bool
    ip: str | None
    query: str
    stored_at: datetime
    robot: str
    door_robot: str
    country: str
    device: str
    browser: str
    os: str
    language: str
    user_agent: str
    referrer_host: str
    referrer: str
    source: str
    rule: str
    variant: str
    utm_source: str
    utm_medium: str
    utm_campaign: str
    utm_content: str
    utm_term: str
    earlier: uuid.UUID | None

    @property
    def at(self) -> datetime:
        """When it was, aware, in UTC."""
        return time_of(self.id)

    @property
    def reason(self) -> str:
        """Why it was not counted: the robot's reason or the outcome; "" for a counted one."""
        return self.robot or ("" if self.outcome == REDIRECT else self.outcome)


@dataclass(frozen=True, slots=True)
class ClickTrail:
    """A click (None where it is not stored: then `missing` says why), its link, the names of the rule and variant that
    led it, and what names it: conversions and postbacks, each with the name of its source, the newest first."""

    click: ClickFacts | None
    link: Link | None
    rule: str
    variant: str
    conversions: Sequence[tuple[Conversion, str]]
    postbacks: Sequence[tuple[Postback, str]]
    missing: str


def time_of(click_id: uuid.UUID) -> datetime:
    """The time in a UUIDv7, aware, in UTC; the furthest there is where it names a time beyond all calendars."""
    try:
        return datetime.fromtimestamp(unix_ms(click_id.bytes) / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.max.replace(tzinfo=UTC)


def read_click_id(text: str) -> uuid.UUID | None:
    """The click id that a person pasted, None where it is none."""
    found = read_click_ref(text).id
    return uuid.UUID(found) if found else None


def trail_of(session: Session, *, click_id: uuid.UUID, now: datetime, zone: ZoneInfo) -> ClickTrail:
    """All that is known of a click. `zone` is the organisation's, whose days decide what is unique."""
    click = _click(session, click_id, zone)
    return ClickTrail(
        click=click,
        link=session.scalars(select(Link).where(Link.id == click.link_id).options(*loaded())).one_or_none()
        if click
        else None,
        rule=_name(session, "rule", click.rule) if click else "",
        variant=_name(session, "variant", click.variant) if click else "",
        conversions=_conversions(session, click_id),
        postbacks=_postbacks(session, click_id),
        missing="" if click else _missing(session, click_id, now),
    )


def _click(session: Session, click_id: uuid.UUID, zone: ZoneInfo) -> ClickFacts | None:
    at = time_of(click_id)
    if click_id.version != 7 or at.year > 2199:
        return None
    values = {"id": click_id, "day": at.astimezone(zone).date()}
    row = session.execute(query("one_click"), values).mappings().one_or_none()
    return None if row is None else ClickFacts(**{**row, "outcome": OUTCOMES[row["outcome"]]})


def _name(session: Session, kind: str, identity: str) -> str:
    """What to call the rule or variant of a click; its id where that is all there is."""
    if not identity:
        return ""
    return names_of(session, kind=kind, ids=[int(identity)]).get(int(identity)) or identity


def _conversions(session: Session, click_id: uuid.UUID) -> Sequence[tuple[Conversion, str]]:
    found = session.execute(
        select(Conversion, ConversionSource.name)
        .join(ConversionSource, ConversionSource.id == Conversion.source_id)
        .where(Conversion.click_id == click_id)
        .order_by(Conversion.at.desc(), Conversion.id.desc())
        .limit(MOST)
    )
    return [(row[0], row[1]) for row in found]


def _postbacks(session: Session, click_id: uuid.UUID) -> Sequence[tuple[Postback, str]]:
    found = session.execute(
        select(Postback, ConversionSource.name)
        .outerjoin(ConversionSource, ConversionSource.id == Postback.source_id)
        .where(Postback.terms.contains([str(click_id)]))
        .order_by(Postback.id.desc())
        .limit(MOST)
    )
    return [(row[0], row[1] or "") for row in found]


def _missing(session: Session, click_id: uuid.UUID, now: datetime) -> str:
    at = time_of(click_id)
    if session.get(SourceTest, click_id) is not None:
        return TEST
    if click_id.version != 7 or at.year < 2024:
        return NOT_OURS
    if at > now + AHEAD:
        return FUTURE
    kept = session.scalars(select(ClickRetention.kept_from)).one_or_none()
    if kept is not None and at.date() < kept:
        return EXPIRED
    return WAITING if now - at < SOON else UNKNOWN
