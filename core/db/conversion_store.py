"""The only writer of conversions that come from postbacks, with their history and the verdicts on the postbacks."""

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec
from sqlalchemy import Connection, select

from core.db import deliveries
from core.db.bench import Bench
from core.db.conversions import ConversionSource
from core.db.judgements import Judgement, write_judgements
from core.db.postback_store import PostbackRow
from core.domain.sources import SourceSettings, settings_of
from core.observe import logger

log = logger(__name__)

__all__ = ["Judgement", "judge", "load_sources", "preview"]


def load_sources(connection: Connection) -> dict[int, SourceSettings]:
    """The settings of every source, switched off or not, by id. One whose settings this release can not read is left
    out and told of in the log: it must not hold up the others, and what came for it can be replayed."""
    sources = {}
    for row in connection.execute(select(ConversionSource.id, ConversionSource.settings)):
        try:
            sources[row.id] = settings_of(row.settings)
        except msgspec.ValidationError as error:
            log.error("source.unreadable", source=row.id, reason=str(error))
    return sources


def judge(
    connection: Connection,
    postbacks: Sequence[PostbackRow],
    *,
    sources: Mapping[int, SourceSettings],
    now: datetime,
    report_currency: str,
) -> list[Judgement]:
    """Judge postbacks (again) in the caller's transaction: conversions with their history, verdicts, deliveries.

    The postbacks must be stored. Judged again, a postback corrects what it had brought about and adds nothing: however
    often and by however many at once, the outcome is that of one. In the order of `postbacks`; `report_currency` is the
    setting REPORT_CURRENCY. Raises sqlalchemy.exc.SQLAlchemyError."""
    bench = Bench(connection, sources, now, report_currency)
    cases = [bench.open(row) for row in postbacks]
    bench.decide(sorted(cases, key=lambda case: case.row.event.id))
    judgements = [case.judgement() for case in cases]
    write_judgements(connection, judgements, now=now)
    deliveries.enqueue(connection, bench.changes(), now=now)
    return judgements


def preview(
    connection: Connection,
    postbacks: Sequence[PostbackRow],
    *,
    sources: Mapping[int, SourceSettings],
    now: datetime,
    report_currency: str,
) -> list[Judgement]:
    """What `judge` would do, without doing it: a savepoint that is rolled back. Takes the same locks until then."""
    savepoint = connection.begin_nested()
    try:
        return judge(connection, postbacks, sources=sources, now=now, report_currency=report_currency)
    finally:
        savepoint.rollback()
