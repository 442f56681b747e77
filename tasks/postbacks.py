"""A batch of queued postbacks: written down as they came in one transaction, judged in the next."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine

from core import traces
from core.config import Settings
from core.contracts import postback_event
from core.contracts.postback_event import KINDS, PostbackEvent
from core.db import postback_store
from core.db.conversion_store import Judgement, judge, load_sources
from core.db.postback_store import PostbackRow
from core.observe import logger
from tasks import metrics
from tasks.faults import is_outage
from tasks.letters import POISON
from tasks.registry import Handler, batch

log = logger(__name__)

LARGEST_BATCH = 1000
"""Small beside that of clicks: what a batch holds is locked while it is judged."""

_FAILED_WAITS = timedelta(hours=1)
_MOST_REMEMBERED = 10_000
_LARGEST_NUMBER = 2**63 - 1
_LARGEST_SMALL = 2**15 - 1


def _utc_now() -> datetime:
    return datetime.now(UTC)


@batch(queue="conversion", largest=LARGEST_BATCH)
def make_handler(
    settings: Settings, engine: Engine, *, process_name: str, now: Callable[[], datetime] = _utc_now
) -> Handler:
    """The handler of one worker thread.

    A first transaction writes the postbacks down, a second one judges those that nobody has judged yet; so a kill
    between the two loses nothing, and what comes again is judged once. "poison" are payloads that are no postback. It
    raises for anything else: one whose judging fails is a dead letter in the end, and stays in the inbox as "new", from
    where it can be replayed.
    """

    written: set[bytes] = set()
    """Written down, and not judged because that failed: what comes again is no duplicate."""

    def handle(payloads: Sequence[bytes]) -> Mapping[int, str]:
        at = now()
        dead: dict[int, str] = {}
        events: dict[bytes, PostbackEvent] = {}
        came = []
        for index, payload in enumerate(payloads):
            event = _read(payload)
            if event is None:
                dead[index] = POISON
            else:
                came.append(event)
                events.setdefault(event.id, event)
        if not came:
            return dead
        with traces.span("store postbacks", facts={"rastro.postbacks": len(came)}):
            fresh = [event for event in came if event.id not in written]
            if fresh:
                with engine.begin() as connection:
                    stored = postback_store.store(connection, fresh, now=at)
                metrics.POSTBACKS.labels("stored").inc(stored)
                metrics.POSTBACKS.labels("duplicate").inc(len(fresh) - stored)
            if len(written) > _MOST_REMEMBERED:
                written.clear()
            written.update(events)
            with engine.begin() as connection:
                new = postback_store.lock_new(connection, list(events))
                rows = [PostbackRow(events[one]) for one in sorted(new)]
                judgements = judge(
                    connection,
                    rows,
                    sources=load_sources(connection),
                    now=at,
                    report_currency=settings.report_currency,
                )
        written.difference_update(events)
        _count(judgements)
        return dead

    return handle


def look_again(engine: Engine, *, report_currency: str, now: datetime, most: int = LARGEST_BATCH) -> int:
    """Judge postbacks again that wait for their click, where it is time to. Returns how many, at most `most`.

    One whose judging fails does not hold up the others: it is looked at again an hour later. Raises for an outage."""
    with engine.begin() as connection:
        rows = postback_store.lock_waiting(connection, now=now, most=most)
        if not rows:
            return 0
        options = {"sources": load_sources(connection), "now": now, "report_currency": report_currency}
        judgements = _judge_what_can_be(connection, rows, options)
    _count(judgements)
    return len(rows)


def _judge_what_can_be(
    connection: Connection, rows: Sequence[PostbackRow], options: Mapping[str, Any]
) -> list[Judgement]:
    try:
        with connection.begin_nested():
            return judge(connection, rows, **options)
    except Exception as error:
        if is_outage(error):
            raise
        if len(rows) > 1:
            middle = len(rows) // 2
            halves = (rows[:middle], rows[middle:])
            return [one for half in halves for one in _judge_what_can_be(connection, half, options)]
        log.exception("postback.not_judged", postback=str(rows[0].id))
        postback_store.postpone(connection, rows[0].id, until=options["now"] + _FAILED_WAITS)
        return []


def _count(judgements: Sequence[Judgement]) -> None:
    for judgement in judgements:
        metrics.VERDICTS.labels(judgement.verdict).inc()


def _read(payload: bytes) -> PostbackEvent | None:
    """The postback in a payload; None for bytes that are no postback, or one that no table can hold."""
    try:
        event = postback_event.decode(payload)
    except msgspec.DecodeError:
        return None
    in_range = (
        0 <= event.source_id <= _LARGEST_NUMBER
        and 0 <= event.status <= _LARGEST_SMALL
        and 0 <= event.size < 2**31
    )
    return event if in_range and event.kind in KINDS else None
