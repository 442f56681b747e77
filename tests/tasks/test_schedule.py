"""The schedule: every run is claimed once, none is lost, a missed one is caught up once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
import redis
from sqlalchemy import Engine, delete, insert, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from core.config import Settings
from core.db.work import Outbox, Schedule
from tasks import schedule
from tasks.registry import REGISTRY, Context
from tasks.schedule import ENTRIES, TASK, Entry, claim_due, run_entry

NOW = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC)
HOURLY = (Entry("hourly", lambda context, now: "done", every=timedelta(hours=1)),)


@pytest.fixture
def context(settings: Settings, engine: Engine, valkey: redis.Redis) -> Context:
    return Context(settings=settings, engine=engine, redis=valkey)


def outbox(db: Session) -> list[Outbox]:
    db.expire_all()
    return list(db.scalars(select(Outbox)))


def test_it_puts_a_due_run_into_the_outbox(engine: Engine, db: Session) -> None:
    assert claim_due(engine, now=NOW, entries=HOURLY) == ["hourly"]
    (row,) = outbox(db)
    assert (row.queue, row.task, row.args, row.not_before) == ("system", TASK, ["hourly"], NOW)
    entry = db.scalars(select(Schedule)).one()
    assert (entry.last_run, entry.next_run) == (NOW, datetime(2026, 3, 1, 13, tzinfo=UTC))


def test_it_claims_a_run_once_among_many_consumers(engine: Engine, db: Session) -> None:
    def claim(_: int) -> list[str]:
        return claim_due(engine, now=NOW, entries=HOURLY)

    with ThreadPoolExecutor(8) as pool:
        claimed = [name for names in pool.map(claim, range(24)) for name in names]
    assert claimed == ["hourly"]
    assert len(outbox(db)) == 1


def test_it_runs_nothing_before_its_time(engine: Engine, db: Session) -> None:
    claim_due(engine, now=NOW, entries=HOURLY)
    assert claim_due(engine, now=NOW + timedelta(minutes=59), entries=HOURLY) == []
    assert claim_due(engine, now=NOW + timedelta(minutes=60), entries=HOURLY) == ["hourly"]


def test_it_catches_up_missed_runs_once(engine: Engine, db: Session) -> None:
    claim_due(engine, now=NOW, entries=HOURLY)
    later = NOW + timedelta(hours=10)
    assert claim_due(engine, now=later, entries=HOURLY) == ["hourly"]
    assert claim_due(engine, now=later, entries=HOURLY) == []


def test_it_runs_again_after_a_clock_that_was_far_ahead(engine: Engine, db: Session) -> None:
    assert claim_due(engine, now=NOW + timedelta(days=400), entries=HOURLY) == ["hourly"]
    db.execute(delete(Outbox))
    db.commit()
    assert claim_due(engine, now=NOW, entries=HOURLY) == ["hourly"]
    assert claim_due(engine, now=NOW, entries=HOURLY) == []


def test_it_does_not_pile_up_runs_that_nobody_takes(engine: Engine, db: Session) -> None:
    for hours in range(5):
        claim_due(engine, now=NOW + timedelta(hours=hours), entries=HOURLY)
    assert len(outbox(db)) == 1


def test_it_records_a_result(context: Context, db: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "ENTRIES", HOURLY)
    db.execute(insert(Schedule).values(name="hourly", next_run=NOW))
    db.commit()
    run_entry(context, "hourly")
    entry = db.scalars(select(Schedule)).one()
    assert entry.last_result == "done"
    assert entry.last_finished is not None


def test_it_records_a_failure_and_goes_on(
    context: Context, db: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(context: Context, now: datetime) -> str:
        raise ValueError("always")

    monkeypatch.setattr(schedule, "ENTRIES", (Entry("fails", fail, every=timedelta(hours=1)),))
    db.execute(insert(Schedule).values(name="fails", next_run=NOW))
    db.commit()
    run_entry(context, "fails")
    assert db.scalars(select(Schedule)).one().last_result == "failed: ValueError: always"


def test_it_leaves_an_outage_to_the_worker(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(context: Context, now: datetime) -> str:
        raise OperationalError("select", {}, psycopg.OperationalError("gone"))

    monkeypatch.setattr(schedule, "ENTRIES", (Entry("fails", fail, every=timedelta(hours=1)),))
    with pytest.raises(OperationalError):
        run_entry(context, "fails")


def test_every_entry_runs_and_says_what_it_did(context: Context, db: Session) -> None:
    for entry in ENTRIES:
        assert entry.run(context, datetime.now(UTC))
    assert len({entry.name for entry in ENTRIES}) == len(ENTRIES)
    assert REGISTRY.tasks[TASK].retries == 0
