"""Credit conversions anew, over history: what would differ is shown first, and applied by a worker then.

Only those that are not credited to a click that they named are looked at: that is exact, and stays. One for which
nothing fits keeps the credit that it has.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, insert, select, update
from sqlalchemy.orm import Session

from core.db.conversions import Conversion, ConversionHistory, ConversionSource
from core.db.credits import links_of
from core.db.deliveries import enqueue
from core.db.work import Outbox
from core.domain.attribution import Touch, choose
from core.domain.sources import CLICK, COUPON, CUSTOMER, SourceSettings, settings_of
from core.services import audit
from core.services.actor import Actor

TASK = "conversions.reattribute"
QUEUE = "system"
MOST = 20_000
"""Conversions that one comparison looks at; a longer time is asked for in parts."""

SHOWN = 50
_LOT = 1_000
_ALWAYS = datetime(2000, 1, 1, tzinfo=UTC)


class NoSuchSource(Exception):
    """There is no such source of conversions."""


@dataclass(frozen=True, slots=True)
class Run:
    """Which conversions (of a source, `start` inclusive, `end` not), and how: by the customer's clicks or by coupons in
    the order of `by`, the last or the first click (`model`)."""

    source_id: int
    start: datetime
    end: datetime
    model: str
    by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Move:
    """A conversion that would be credited otherwise."""

    conversion_id: int
    transaction_id: str
    before: int | None
    after: int
    before_by: str
    after_by: str
    revenue: Decimal
    currency: str
    report_revenue: Decimal | None


@dataclass(frozen=True, slots=True)
class Flow:
    """All moves from one link (None: from none) to another: how many, and their known money in the reporting
    currency."""

    before: int | None
    after: int
    count: int
    revenue: Decimal


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a run would change. `cut` says that the time holds more than MOST conversions, and only those were looked
    at."""

    looked: int
    changed: int
    flows: Sequence[Flow]
    moves: Sequence[Move]
    cut: bool


def compare(session: Session, *, run: Run) -> Comparison:
    """What the run would change, without changing it. Raises NoSuchSource."""
    settings = _settings(session.connection(), run.source_id)
    looked, changed = 0, 0
    moves: list[Move] = []
    flows: dict[tuple[int | None, int], list[Decimal]] = defaultdict(list)
    for rows in _lots(session.connection(), run):
        looked += len(rows)
        for row, touch, how in _judged(session.connection(), rows, run, settings):
            changed += 1
            flows[row.link_id, touch.link_id].append(row.report_revenue or Decimal(0))
            if len(moves) < SHOWN:
                moves.append(_move(row, touch, how))
        if looked >= MOST:
            break
    summed = [
        Flow(before, after, len(sums), sum(sums, Decimal(0))) for (before, after), sums in flows.items()
    ]
    summed.sort(key=lambda flow: -flow.count)
    return Comparison(looked, changed, summed, moves, cut=looked >= MOST)


def ask_for(session: Session, *, run: Run, actor: Actor, now: datetime) -> None:
    """Have a worker apply the run within seconds. Raises NoSuchSource."""
    _settings(session.connection(), run.source_id)
    args = [
        run.source_id,
        int(run.start.timestamp()),
        int(run.end.timestamp()),
        run.model,
        ",".join(run.by),
        actor.name,
    ]
    session.add(Outbox(queue=QUEUE, task=TASK, args=args, not_before=now))
    detail = {
        "from": run.start.isoformat(),
        "to": run.end.isoformat(),
        "model": run.model,
        "by": list(run.by),
    }
    audit.record(
        session,
        actor=actor,
        action="conversions.reattribute",
        subject=f"source:{run.source_id}",
        now=now,
        detail=detail,
    )
    session.commit()


def run_of(source_id: int, start_s: int, end_s: int, model: str, by: str) -> Run:
    """The run that a task's arguments name."""
    start, end = (datetime.fromtimestamp(second, UTC) for second in (start_s, end_s))
    return Run(source_id, start, end, model, tuple(by.split(",")))


def apply(engine: Engine, *, run: Run, person: str, now: datetime) -> int:
    """Credit anew, lot by lot, each in a transaction of its own; how many changed. Done again it changes nothing more.
    Raises NoSuchSource, SQLAlchemyError."""
    changed, last = 0, 0
    while True:
        with engine.begin() as connection:
            settings = _settings(connection, run.source_id)
            rows = connection.execute(_wanted(run, after=last).with_for_update()).all()
            if not rows:
                return changed
            last = rows[-1].id
            versions = [
                _credit(connection, row, touch, how, person=person, now=now)
                for row, touch, how in _judged(connection, rows, run, settings)
            ]
            enqueue(connection, versions, now=now)
            changed += len(versions)


def _settings(connection: Connection, source_id: int) -> SourceSettings:
    stored = connection.scalar(select(ConversionSource.settings).where(ConversionSource.id == source_id))
    if stored is None:
        raise NoSuchSource(f"There is no source {source_id}.")
    return settings_of(stored)


def _lots(connection: Connection, run: Run) -> Iterator[Sequence[Row[Any]]]:
    last = 0
    while rows := connection.execute(_wanted(run, after=last)).all():
        last = rows[-1].id
        yield rows


def _wanted(run: Run, *, after: int) -> Select[Any]:
    """A lot of conversions that are not credited to a click that they named."""
    return (
        select(Conversion.__table__)
        .where(
            Conversion.source_id == run.source_id,
            Conversion.attributed_by != CLICK,
            Conversion.at >= run.start,
            Conversion.at < run.end,
            Conversion.id > after,
        )
        .order_by(Conversion.id)
        .limit(_LOT)
    )


def _judged(
    connection: Connection, rows: Sequence[Row[Any]], run: Run, settings: SourceSettings
) -> Iterator[tuple[Row[Any], Touch, str]]:
    """Those of `rows` that would be credited otherwise: by which touch, and how that was found."""
    by_customer = _clicks_of(connection, run.source_id, {row.customer_id for row in rows if row.customer_id})
    by_coupon = {
        code: Touch(None, link_id, 0, 0, _ALWAYS)
        for code, (link_id, campaign_id) in links_of(connection, {row.coupon for row in rows}).items()
        if not settings.campaigns or campaign_id in settings.campaigns
    }
    for row in rows:
        touch, how = _found(row, run, settings, by_customer, by_coupon)
        if touch is None:
            continue
        now = (row.click_id, row.link_id, row.rule, row.variant, row.attributed_by)
        if now != (touch.click_id, touch.link_id, touch.rule, touch.variant, how):
            yield row, touch, how


def _clicks_of(
    connection: Connection, source_id: int, customers: Collection[str]
) -> Mapping[str, Sequence[Touch]]:
    """By customer: the clicks that their conversions named. What was credited otherwise is no click of its own."""
    rows = connection.execute(
        select(
            *(Conversion.customer_id, Conversion.click_id, Conversion.link_id),
            *(Conversion.rule, Conversion.variant, Conversion.clicked_at),
        ).where(
            Conversion.customer_id.in_(customers),
            Conversion.customer_id != "",
            Conversion.source_id == source_id,
            Conversion.attributed_by == CLICK,
            Conversion.link_id.is_not(None),
            Conversion.clicked_at.is_not(None),
        )
    )
    found: dict[str, list[Touch]] = defaultdict(list)
    for row in rows:
        found[row.customer_id].append(Touch(row.click_id, row.link_id, row.rule, row.variant, row.clicked_at))
    return found


def _found(
    row: Row[Any],
    run: Run,
    settings: SourceSettings,
    by_customer: Mapping[str, Sequence[Touch]],
    by_coupon: Mapping[str, Touch],
) -> tuple[Touch | None, str]:
    for how in run.by:
        if how == CUSTOMER and row.customer_id:
            touches = by_customer.get(row.customer_id, [])
            touch = choose(touches, at=row.at, window_days=settings.window_days, model=run.model)
        elif how == COUPON and row.coupon:
            touch = by_coupon.get(row.coupon)
        else:
            continue
        if touch is not None:
            return touch, how
    return None, ""


def _move(row: Row[Any], touch: Touch, how: str) -> Move:
    return Move(
        conversion_id=row.id,
        transaction_id=row.transaction_id,
        before=row.link_id,
        after=touch.link_id,
        before_by=row.attributed_by,
        after_by=how,
        revenue=row.revenue,
        currency=row.currency,
        report_revenue=row.report_revenue,
    )


def _credit(
    connection: Connection, row: Row[Any], touch: Touch, how: str, *, person: str, now: datetime
) -> tuple[int, int]:
    """Write one change and its version."""
    values: dict[str, Any] = {
        "click_id": touch.click_id,
        "link_id": touch.link_id,
        "rule": touch.rule,
        "variant": touch.variant,
        "clicked_at": touch.at if touch.click_id else None,
        "attributed_by": how,
    }
    changed = {
        name: [_plain(getattr(row, name)), _plain(value)]
        for name, value in values.items()
        if getattr(row, name) != value
    }
    version = row.version + 1
    connection.execute(
        update(Conversion).where(Conversion.id == row.id).values(**values, version=version, updated_at=now)
    )
    connection.execute(
        insert(ConversionHistory).values(
            conversion_id=row.id,
            version=version,
            at=now,
            actor="attribution",
            actor_name=person,
            action="attribution",
            status=row.status,
            changed=changed,
        )
    )
    return row.id, version


def _plain(value: Any) -> Any:
    """As history holds it."""
    return value if value is None or isinstance(value, int | str) else str(value)
