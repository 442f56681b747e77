"""The worker program, with work of which a storm can tell afterwards what became of it.

`python -m tests.faults.storm_worker FIRST_WAIT LONGEST_WAIT --pool POOL`: the waits, in seconds, for a server that is
away (1 and 30 in the product); settings as for the real one.
"""

import argparse
import time
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Engine, text

from core.config import Settings
from tasks import main, schedule, worker
from tasks.chores import Chore
from tasks.queues import POOLS
from tasks.registry import Context, task
from tasks.schedule import Entry

TABLES = """
create table storm_notes (number bigint primary key, times int not null);
create table storm_tries (number bigint primary key, times int not null);
create table storm_ticks (at timestamptz not null);
create table storm_claims (name text not null, at timestamptz not null, next_run timestamptz not null);
create table storm_rows (name text not null);

create function storm_claimed() returns trigger language plpgsql as $$
begin
    insert into storm_claims values (new.name, new.last_run, new.next_run);
    return null;
end $$;
create trigger storm_claimed after update of last_run on schedule for each row execute function storm_claimed();

create function storm_put_out() returns trigger language plpgsql as $$
begin
    insert into storm_rows values (new.args ->> 0);
    return null;
end $$;
create trigger storm_put_out after insert on outbox
    for each row when (new.task = 'schedule.run') execute function storm_put_out();
"""
"""What the storm's work is written into, and witnesses of each claim of the schedule and of each row for the outbox."""

TICK = "storm ticks"
TRIES = 3

_COUNT = "insert into {0} values (:number, 1) on conflict (number) do update set times = {0}.times + 1 returning times"


@task(queue="system", name="storm.note", retries=0)
def note(context: Context, number: int, seconds: float) -> None:
    """Take so long, and write down that it ran. One attempt that is counted wrongly makes it a dead letter."""
    time.sleep(seconds)
    _count(context.engine, "storm_notes", number)


@task(queue="system", name="storm.stubborn", retries=TRIES, delay=0.1)
def stubborn(context: Context, number: int) -> None:
    """Work at the third try."""
    if _count(context.engine, "storm_tries", number) < TRIES:
        raise ValueError("not yet")
    _count(context.engine, "storm_notes", number)


@task(queue="system", name="storm.fail", retries=TRIES - 1, delay=0.1)
def fail(context: Context) -> None:
    """Poison: it never works."""
    raise ValueError("never")


def tick(context: Context, now: datetime) -> str:
    """Write down that the schedule ran."""
    with context.engine.begin() as connection:
        connection.execute(text("insert into storm_ticks values (:at)"), {"at": now})
    return "ticked"


def never(context: Context, now: datetime) -> str:
    """An entry of the schedule that always fails."""
    raise ValueError("never")


ENTRIES = (
    *schedule.ENTRIES,
    Entry(TICK, tick, every=timedelta(seconds=1)),
    Entry("storm fails", never, every=timedelta(seconds=2)),
)


def _count(engine: Engine, table: str, number: int) -> int:
    with engine.begin() as connection:
        return int(connection.execute(text(_COUNT.format(table)), {"number": number}).scalar_one())


def run() -> None:
    """Work for the pool until a signal says stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("first_wait", type=float)
    parser.add_argument("longest_wait", type=float)
    parser.add_argument("--pool", choices=tuple(POOLS), required=True)
    options = parser.parse_args()
    worker.FIRST_WAIT, worker.LONGEST_WAIT = options.first_wait, options.longest_wait
    main.Chore = partial(Chore, longest=options.longest_wait)
    schedule.ENTRIES = ENTRIES
    schedule.claim_due = partial(schedule.claim_due, entries=ENTRIES)
    main.run(Settings.from_env(), pool=options.pool)


if __name__ == "__main__":
    run()
