"""What would differ were a source set up otherwise: its postbacks of the last days judged as a trial."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import Connection, Engine, Select, select

from core.db.conversion_store import Judgement, load_sources, preview
from core.db.conversions import ConversionSource, Postback
from core.db.postback_store import PostbackRow, rows_of
from core.domain.conversions import (
    CONVERSION,
    COUNTING,
    IGNORE,
    IGNORED,
    LATE,
    NEW,
    REPEATED,
    TEST,
    UPDATE,
    UPDATED,
    WAITING,
)
from core.domain.reading import Reading, from_stored, read
from core.domain.sources import SourceSettings, settings_of
from core.services.postbacks import first_id, time_of

MOST_TRIED = 20_000
TRIAL_TIME = timedelta(seconds=8)
MOST_SHOWN = 50
BATCH = 500

_SETTLED = (CONVERSION, UPDATED, REPEATED, LATE, IGNORED, TEST)
_MEANING = (
    "click_id",
    "transaction_id",
    "event",
    "status",
    "is_rebill",
    "amount",
    "currency",
    "payout",
    "cost",
    "customer_id",
    "coupon",
    "at",
)


@dataclass(frozen=True, slots=True)
class Difference:
    """A postback of which a trial says something else: its verdict as it is and as it would be, and the amount that
    was read and would be."""

    id: UUID
    order: str
    before: str
    after: str
    why: dict[str, Any]
    amount_before: Decimal | None
    currency_before: str
    amount_after: Decimal | None
    currency_after: str

    @property
    def at(self) -> datetime:
        """When it came, in UTC."""
        return time_of(self.id)


@dataclass(slots=True)
class Trial:
    """What would differ: how many were tried, how many of them would be the same, the others by verdict before and
    after, by how much the counted revenue of each currency would differ, and the first MOST_SHOWN postbacks.
    `since` is when the first of those that were tried came, where not all were (`cut`)."""

    tried: int = 0
    same: int = 0
    changes: Counter[tuple[str, str]] = field(default_factory=Counter)
    money: dict[str, Decimal] = field(default_factory=dict)
    rows: list[Difference] = field(default_factory=list)
    cut: bool = False
    since: datetime | None = None

    @property
    def differing(self) -> int:
        return self.tried - self.same


def try_settings(
    engine: Engine,
    *,
    source: ConversionSource,
    settings: SourceSettings,
    since: datetime,
    now: datetime,
    report_currency: str,
    most: int = MOST_TRIED,
    time_limit: timedelta = TRIAL_TIME,
    clock: Callable[[], float] = time.monotonic,
) -> Trial:
    """What a replay of a source's postbacks since then would change, were these its settings. Nothing is changed.

    The newest `most` are looked at, from the oldest of them to the newest, for `time_limit` at most. Each batch is a
    transaction of its own, so that no worker waits for longer than one takes; what an earlier batch would have made is
    remembered. A postback that was judged by the settings of now and says the same by these is not judged."""
    trial = Trial()
    deadline = clock() + time_limit.total_seconds()
    made: set[tuple[str, str, str]] = set()
    with engine.connect() as connection:
        ids = list(connection.scalars(_ids(source.id, first_id(since), end_of(now), most + 1)))
    trial.cut = len(ids) > most
    ids = ids[:most][::-1]
    for begin in range(0, len(ids), BATCH):
        if clock() > deadline:
            trial.cut = True
            break
        _try_batch(
            engine,
            trial,
            ids[begin : begin + BATCH],
            source,
            settings,
            made,
            now=now,
            currency=report_currency,
        )
    if trial.cut and ids:
        trial.since = time_of(ids[0])
    return trial


def end_of(now: datetime) -> UUID:
    """The first id that comes after now."""
    return first_id(now + timedelta(milliseconds=1))


def of_source(source_id: int, first: UUID, end: UUID) -> Select[UUID]:
    """Ids of a source's postbacks that were let in, from `first` up to, not including, `end`."""
    return select(Postback.id).where(
        Postback.source_id == source_id, Postback.id >= first, Postback.id < end, Postback.refused == ""
    )


def _ids(source_id: int, first: UUID, end: UUID, most: int) -> Select[UUID]:
    return of_source(source_id, first, end).order_by(Postback.id.desc()).limit(most)


def _try_batch(
    engine: Engine,
    trial: Trial,
    ids: Sequence[UUID],
    source: ConversionSource,
    settings: SourceSettings,
    made: set[tuple[str, str, str]],
    *,
    now: datetime,
    currency: str,
) -> None:
    with engine.connect() as connection, connection.begin() as transaction:
        rows = rows_of(connection, ids, locked=True)
        stored = _readings(connection, ids)
        differing = [row for row in rows if _may_differ(row, stored[row.id], source, settings, now)]
        sources = {**load_sources(connection), source.id: settings}
        would = preview(connection, differing, sources=sources, now=now, report_currency=currency)
        transaction.rollback()
    trial.tried += len(rows)
    trial.same += len(rows) - len(differing)
    by_id = {row.id: row for row in differing}
    for judgement in would:
        id = judgement.postback_id
        _compare(trial, by_id[id], stored[id], judgement, made, once=settings.duplicates in (IGNORE, UPDATE))


@dataclass(frozen=True, slots=True)
class _Stored:
    """What is known of a postback's reading and when it was judged."""

    reading: Reading | None
    judged_at: datetime | None


def _readings(connection: Connection, ids: Sequence[UUID]) -> dict[UUID, _Stored]:
    rows = connection.execute(
        select(Postback.id, Postback.reading, Postback.judged_at).where(Postback.id.in_(ids))
    )
    return {row.id: _Stored(_reading(row.reading), row.judged_at) for row in rows}


def _reading(stored: dict[str, Any]) -> Reading | None:
    try:
        return from_stored(stored)
    except msgspec.ValidationError:  # a newer release wrote it
        return None


def _may_differ(
    row: PostbackRow, stored: _Stored, source: ConversionSource, settings: SourceSettings, now: datetime
) -> bool:
    """False for what was settled by the source's settings of now and would be read as it was."""
    if row.verdict not in _SETTLED or stored.reading is None or stored.judged_at is None:
        return True
    if stored.judged_at < source.updated_at or _without_reading(settings) != _without_reading(
        settings_of(source.settings)
    ):
        return True
    new = read(row.event, settings, now=now)
    return any(getattr(new, name) != getattr(stored.reading, name) for name in _MEANING)


def _without_reading(settings: SourceSettings) -> SourceSettings:
    """The settings that say what becomes of a reading."""
    return msgspec.structs.replace(
        settings,
        fields={},
        statuses={},
        events={},
        default_status="",
        default_event="",
        currency="",
        amounts="",
    )


def _compare(
    trial: Trial,
    row: PostbackRow,
    stored: _Stored,
    judgement: Judgement,
    made: set[tuple[str, str, str]],
    *,
    once: bool,
) -> None:
    reading = judgement.reading
    key = (reading.click_id, reading.transaction_id, reading.event)
    verdict, changed = judgement.verdict, judgement.changed
    if verdict == CONVERSION and not judgement.before and not reading.is_rebill:
        if key in made and once:  # an earlier batch would have made it
            verdict, changed = REPEATED, False
        made.add(key)
    if not changed and (verdict == row.verdict or {verdict, row.verdict} <= {NEW, WAITING}):
        trial.same += 1
        return
    trial.changes[row.verdict, verdict] += 1
    if changed:
        _add_money(trial, judgement.before, -1)
        if verdict != LATE:
            _add_money(trial, judgement.after, 1)
    if len(trial.rows) < MOST_SHOWN:
        old = stored.reading
        trial.rows.append(
            Difference(
                id=row.id,
                order=reading.transaction_id or (old.transaction_id if old is not None else ""),
                before=row.verdict,
                after=verdict,
                why=judgement.why,
                amount_before=old.amount if old is not None else None,
                currency_before=old.currency if old is not None else "",
                amount_after=reading.amount,
                currency_after=reading.currency,
            )
        )


def _add_money(trial: Trial, state: dict[str, Any], sign: int) -> None:
    if state and state.get("status") in COUNTING:
        currency = str(state.get("currency") or "")
        trial.money[currency] = trial.money.get(currency, Decimal(0)) + sign * Decimal(str(state["revenue"]))
