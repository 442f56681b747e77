"""What runs by the clock: one table. PostgreSQL's table `schedule` decides when, and who.

A due entry is claimed by a conditional UPDATE of its next run, together with an outbox row, in one transaction: of many
processes exactly one wins, a kill loses no run, and runs that were missed are caught up once. The clock is the
database's: those of machines differ, and what one of them read is old once it was frozen or had to wait.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine, func, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import Insert

from core.db.work import Schedule
from core.observe import logger
from core.services.schedule import TASK, put_run
from tasks import housekeeping
from tasks.faults import is_outage
from tasks.registry import Context, task

log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Entry:
    """`run(context, now)` returns what it did, in a few words for the console; `about` says there what it is for."""

    name: str
    run: Callable[[Context, datetime], str]
    every: timedelta
    about: str = ""

    @property
    def every_s(self) -> int:
        return int(self.every.total_seconds())


ENTRIES = (
    Entry(
        "make partitions",
        housekeeping.make_partitions,
        every=timedelta(hours=6),
        about="Has a place ready for the clicks of the next months",
    ),
    Entry(
        "republish when missing",
        housekeeping.republish_when_missing,
        every=timedelta(seconds=15),
        about="Writes every link to Redis again after it was emptied",
    ),
    Entry(
        "copy accepted clicks",
        housekeeping.copy_books,
        every=timedelta(minutes=1),
        about="Brings the books' counts from Redis to PostgreSQL",
    ),
    Entry(
        "watch the queues",
        housekeeping.watch,
        every=timedelta(minutes=1),
        about="Raises an alert for long waits, failures and books that do not balance",
    ),
    Entry(
        "reconcile the books",
        housekeeping.reconcile,
        every=timedelta(days=1),
        about="Puts on record whether every click is accounted for",
    ),
    Entry(
        "prune visitors",
        housekeeping.prune_visitors,
        every=timedelta(hours=1),
        about="Destroys the keys of visitors after three days",
    ),
    Entry(
        "prune sessions",
        housekeeping.prune_sessions,
        every=timedelta(hours=1),
        about="Removes sessions and password resets that have ended",
    ),
    Entry(
        "prune alerts",
        housekeeping.prune_alerts,
        every=timedelta(days=1),
        about="Removes alerts that were over a year ago",
    ),
    Entry(
        "prune postbacks",
        housekeeping.prune_postbacks,
        every=timedelta(hours=1),
        about="Forgets from where postbacks came after seven days, and old postbacks",
    ),
    Entry(
        "exchange rates",
        housekeeping.exchange_rates,
        every=timedelta(days=1),
        about="Fetches the feed of exchange rates, and counts conversions by the rates of now",
    ),
    Entry(
        "prune deliveries",
        housekeeping.prune_deliveries,
        every=timedelta(days=1),
        about="Removes what was sent on more than ninety days ago",
    ),
    Entry(
        "trim dead letters",
        housekeeping.trim_dead_letters,
        every=timedelta(hours=1),
        about="Removes what failed more than seven days ago: it holds visitors' addresses",
    ),
)


def claim_due(
    engine: Engine, *, now: datetime | None = None, entries: Sequence[Entry] = ENTRIES
) -> list[str]:
    """Put the runs that are due (at `now`; None: by the database's clock) and that nobody else has claimed into the
    outbox. Returns their names.

    An entry that is new is due at once, and so is one whose next run lies further ahead than its period: a clock that
    was wrong must not stop the schedule until then. A run still waiting in the outbox is not added a second time.
    Raises sqlalchemy.exc.SQLAlchemyError.
    """
    with engine.begin() as connection:
        rows = connection.execute(select(Schedule)).all()
        known = {row.name: row.next_run for row in rows}
        said = {row.name: (row.about, row.every_s) for row in rows}
        if now is None:  # asked after what was claimed: no next run that is known was made later
            now = connection.scalars(select(func.clock_timestamp())).one()
        for entry in entries:
            if said.get(entry.name) != (entry.about, entry.every_s):
                connection.execute(_say(entry, now))
    known = {entry.name: now for entry in entries} | known
    return [
        entry.name
        for entry in entries
        if not now < known[entry.name] <= now + entry.every
        and _claim(engine, entry, now, due=known[entry.name])
    ]


@task(queue="system", name=TASK, retries=0)
def run_entry(context: Context, name: str) -> None:
    """Run one entry and record its result. A failure is recorded too and no dead letter: the next run comes anyway.
    Raises for an outage, and KeyError for an entry that this release does not have."""
    entry = {entry.name: entry for entry in ENTRIES}[name]
    try:
        result = entry.run(context, datetime.now(UTC))
    except Exception as error:
        if is_outage(error):
            raise
        log.exception("schedule.failed", entry=name)
        result = f"failed: {type(error).__name__}: {error}"[:500]
    with context.engine.begin() as connection:
        done = update(Schedule).where(Schedule.name == name)
        connection.execute(done.values(last_finished=datetime.now(UTC), last_result=result))


def _claim(engine: Engine, entry: Entry, now: datetime, *, due: datetime) -> bool:
    """Claim the run that was due at `due`; False where somebody else has."""
    with engine.begin() as connection:
        won = connection.execute(
            update(Schedule)
            .where(Schedule.name == entry.name, Schedule.next_run == due)
            .values(next_run=_next(entry, now), last_run=now)
        )
        if won.rowcount == 0:
            return False
        put_run(connection, name=entry.name, now=now)
        return True


def _say(entry: Entry, now: datetime) -> Insert:
    """A new entry, due at once; of a known one its words for people."""
    words = {"about": entry.about, "every_s": entry.every_s}
    new = postgresql.insert(Schedule).values(name=entry.name, next_run=now, **words)
    return new.on_conflict_do_update(index_elements=[Schedule.name], set_=words)


def _next(entry: Entry, now: datetime) -> datetime:
    """The next whole multiple of the period since 1970, so that runs do not drift."""
    period = entry.every.total_seconds()
    return datetime.fromtimestamp((now.timestamp() // period + 1) * period, UTC)
