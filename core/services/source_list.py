"""The list of sources: each with its token, what came today, and when something came last."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session, selectinload

from core.contracts.click_event import unix_ms
from core.db.conversions import ConversionSource
from core.db.postback_store import first_id
from core.db.queries import query

MOST_COUNTED = 10_000
"""Of each source: to count a day of millions takes longer than anybody waits for a list."""


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A source as the list shows it; `verdicts` are the counts of what came since the time that was asked for, of the
    last MOST_COUNTED where it is more (`is_cut`)."""

    id: int
    name: str
    preset: str
    is_active: bool
    hint: str
    last_at: datetime | None
    verdicts: Mapping[str, int]

    @property
    def is_cut(self) -> bool:
        return sum(self.verdicts.values()) >= MOST_COUNTED


def list_sources(session: Session, *, since: datetime) -> list[SourceRow]:
    """Every source, those that are switched off last, by name; counts begin at `since`."""
    values = {"first": first_id(since), "most": MOST_COUNTED}
    found: dict[int, Any] = {row.id: row for row in session.execute(query("source_today"), values)}
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


def _time_of(postback_id: UUID | None) -> datetime | None:
    return None if postback_id is None else datetime.fromtimestamp(unix_ms(postback_id.bytes) / 1000, UTC)
