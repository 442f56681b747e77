"""The list of sources: each with its token, what came today, and when something came last."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from core.contracts.click_event import unix_ms
from core.db.conversions import ConversionSource
from core.db.queries import query

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A source as the list shows it; `verdicts` are the counts of what came since the time that was asked for."""

    id: int
    name: str
    preset: str
    is_active: bool
    hint: str
    last_at: datetime | None
    verdicts: Mapping[str, int]

    @property
    def came(self) -> int:
        return sum(self.verdicts.values())


def list_sources(session: Session, *, since: datetime) -> list[SourceRow]:
    """Every source, those that are switched off last, by name; counts begin at `since`."""
    found: dict[int, Any] = {
        row.id: row for row in session.execute(query("source_today"), {"first": first_id(since)})
    }
    rows = session.scalars(
        select(ConversionSource)
        .options(selectinload(ConversionSource.tokens))
        .order_by(ConversionSource.is_active.desc(), ConversionSource.name)
    )
    return [
        SourceRow(
            id=row.id,
            name=row.name,
            preset=row.preset,
            is_active=row.is_active,
            hint=row.tokens[0].hint if row.tokens else "",
            last_at=_time_of(found[row.id].last) if row.id in found else None,
            verdicts=found[row.id].verdicts if row.id in found else {},
        )
        for row in rows
    ]


def first_id(instant: datetime) -> UUID:
    """The lowest id that a postback of this moment can have."""
    return UUID(int=max((instant - _EPOCH) // timedelta(milliseconds=1), 0) << 80)


def _time_of(postback_id: UUID | None) -> datetime | None:
    return None if postback_id is None else datetime.fromtimestamp(unix_ms(postback_id.bytes) / 1000, UTC)
