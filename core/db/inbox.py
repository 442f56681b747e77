"""Which postbacks of the inbox match, and how many: bounded, however many there are.

A value may be in every postback or in one of a million, and PostgreSQL can not know which. So the newest RECENT are
looked through first: what is common is found there. What is rare is then found by the index of its values alone, all
of it, and sorted.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import CTE, ColumnElement, Subquery, and_, func, literal, or_, select, text, union
from sqlalchemy.orm import Session

from core.contracts.click_event import unix_ms
from core.db.conversions import Postback
from core.domain.conversions import VERDICTS

COUNTED = 10_000
"""So many are counted; of more only this is said."""

RECENT = 4_000

NO_SOURCE = 0
"""The source of postbacks whose token belongs to nobody."""

TIME_LIMIT = "5s"

_SHORTEST_PREFIX = 8
_MOST_WORDS = 8
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HEX = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class InboxFilter:
    """Which postbacks; what is empty filters nothing. `source_id` NO_SOURCE are those of no source, `since` is
    inclusive and `until` exclusive (aware), `before` is the last id of the page before."""

    search: str = ""
    verdicts: tuple[str, ...] = ()
    source_id: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    least: Decimal | None = None
    most: Decimal | None = None
    before: UUID | None = None
    size: int = 50


@dataclass(frozen=True, slots=True)
class Counts:
    """How many match by verdict: each up to COUNTED, and COUNTED + 1 for more. With `at_least` they are those among the
    newest COUNTED postbacks alone, since nearly all match."""

    by_verdict: dict[str, int]
    at_least: bool = False


def matching(session: Session, filter: InboxFilter, *, most: int) -> list[UUID]:
    """Ids of the newest `most` that match, the newest first."""
    _limit_time(session)
    if not _is_narrow(filter):
        newest = select(Postback.id).where(*_wanted(filter, Postback)).order_by(Postback.id.desc())
        return list(session.scalars(newest.limit(most)))
    recent, is_all = _recent(session, filter, most)
    if is_all:
        return recent
    hits = _by_index(filter)
    return list(session.scalars(select(hits.c.id).order_by(hits.c.id.desc()).limit(most)))


def count(session: Session, filter: InboxFilter) -> Counts:
    """How many match, whatever `verdicts` and `before` say."""
    _limit_time(session)
    filter = replace(filter, verdicts=(), before=None)
    if not _is_narrow(filter):
        return Counts(_count_each(session, filter))
    _, is_common = _recent(session, filter, filter.size + 1)
    if is_common:
        newest = _newest(filter, COUNTED)
        hits = select(newest.c.verdict).where(or_(*_ways(filter, newest.c))).subquery()
        looked = session.scalar(select(func.count()).select_from(newest)) or 0
        return Counts(_count_by(session, hits.c.verdict), at_least=looked == COUNTED)
    return Counts(_count_by(session, _by_index(filter).c.verdict))


def id_span(words: str) -> tuple[UUID, UUID] | None:
    """The least and the greatest id that begin as typed: a whole UUID in any of its spellings, or its first eight or
    more characters. None where the words are none."""
    digits = words.strip().lower().removeprefix("urn:uuid:").strip("{}").replace("-", "")
    if not _SHORTEST_PREFIX <= len(digits) <= 32 or not _HEX.fullmatch(digits):
        return None
    return UUID(digits.ljust(32, "0")), UUID(digits.ljust(32, "f"))


def first_id(instant: datetime) -> UUID:
    """The smallest id that a postback at or after `instant` can have."""
    ms = -((_EPOCH - instant) // timedelta(milliseconds=1))
    return UUID(int=ms << 80)


def time_of(identity: UUID) -> datetime:
    """The time in a UUIDv7, in UTC."""
    return datetime.fromtimestamp(unix_ms(identity.bytes) / 1000, UTC)


def readable(words: str) -> str:
    """Without what PostgreSQL can not be asked about: NUL and lone surrogates."""
    return words.replace("\x00", " ").encode("utf-8", "replace").decode("utf-8").strip()[:500]


def _is_narrow(filter: InboxFilter) -> bool:
    """Whether something is asked for that may be rare, and has an index of its own."""
    return bool(readable(filter.search)) or filter.least is not None or filter.most is not None


def _recent(session: Session, filter: InboxFilter, most: int) -> tuple[list[UUID], bool]:
    """The newest `most` that match, of the newest RECENT; and whether no other can be meant: they are as many, or
    there are no more postbacks."""
    newest = _newest(filter, RECENT)
    found = select(newest.c.id).where(or_(*_ways(filter, newest.c))).order_by(newest.c.id.desc()).limit(most)
    looked = select(func.count()).select_from(newest).scalar_subquery()
    ids, seen = session.execute(select(func.array(found.scalar_subquery()), looked)).one()
    return ids, len(ids) == most or seen < RECENT


def _newest(filter: InboxFilter, most: int) -> CTE:
    columns = (Postback.id, Postback.verdict, Postback.click_id, Postback.terms, Postback.amount)
    return (
        select(*columns)
        .where(*_wanted(filter, Postback))
        .order_by(Postback.id.desc())
        .limit(most)
        .cte("newest")
    )


def _by_index(filter: InboxFilter) -> Subquery:
    """All that match. Each way to find one is asked for by itself, fenced off from all that would tempt the planner to
    another index."""
    columns = (Postback.id, Postback.verdict, Postback.source_id, Postback.amount)
    hits = union(*(select(*columns).where(way) for way in _ways(filter, Postback))).cte("hits")
    hits = hits.prefix_with("materialized")
    return select(hits.c.id, hits.c.verdict).where(*_wanted(filter, hits.c)).subquery()


def _ways(filter: InboxFilter, of: Any) -> Iterator[ColumnElement[bool]]:
    """What makes a postback an answer: its value, its click id or its own id as far as typed, or each word a value.
    Without a search, its amount."""
    words = readable(filter.search)
    if not words:
        yield and_(*_amounts(filter, of))
        return
    yield of.terms.contains([words.lower()])
    span = id_span(words)
    if span is not None:
        yield of.click_id.between(*span)
        yield of.id.between(*span)
    parts = words.lower().split()[:_MOST_WORDS]
    if len(parts) > 1:
        yield of.terms.contains(parts)


def _amounts(filter: InboxFilter, of: Any) -> Iterator[ColumnElement[bool]]:
    if filter.least is not None:
        yield of.amount >= filter.least
    if filter.most is not None:
        yield of.amount <= filter.most


def _wanted(filter: InboxFilter, of: Any) -> Iterator[ColumnElement[bool]]:
    if len(filter.verdicts) == 1:
        yield of.verdict == filter.verdicts[0]
    elif filter.verdicts:
        yield of.verdict.in_(filter.verdicts)
    if filter.source_id is not None:
        yield of.source_id.is_(None) if filter.source_id == NO_SOURCE else of.source_id == filter.source_id
    if filter.since is not None:
        yield of.id >= first_id(filter.since)
    if filter.until is not None:
        yield of.id < first_id(filter.until)
    if filter.before is not None:
        yield of.id < filter.before
    if readable(filter.search):
        yield from _amounts(filter, of)


def _count_each(session: Session, filter: InboxFilter) -> dict[str, int]:
    """Count each verdict by its index."""
    wanted = list(_wanted(filter, Postback))
    counted = [
        select(func.count())
        .select_from(
            select(literal(1)).where(*wanted, Postback.verdict == verdict).limit(COUNTED + 1).subquery()
        )
        .scalar_subquery()
        .label(verdict)
        for verdict in VERDICTS
    ]
    return dict(session.execute(select(*counted)).mappings().one())


def _count_by(session: Session, verdict: Any) -> dict[str, int]:
    counts = dict.fromkeys(VERDICTS, 0)
    for name, found in session.execute(select(verdict, func.count()).group_by(verdict)):
        counts[name] = min(found, COUNTED + 1)
    return counts


def _limit_time(session: Session) -> None:
    session.execute(text("select set_config('statement_timeout', :limit, true)"), {"limit": TIME_LIMIT})
