"""The schedule: every run is claimed once, none is lost, a missed one is caught up once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import redis
from sqlalchemy import Engine, delete, func, insert, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from core.config import Settings
from core.db.work import Outbox, Schedule
from tasks import schedule
from tasks.outbox import pump
from tasks.registry import REGISTRY, Context
from tasks.schedule import ENTRIES, TASK, Entry, claim_due, run_entry
from tasks.streams import StreamStorage

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


def test_it_claims_no_run_again_by_what_was_known_before(
    engine: Engine, db: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of two consumers stands still between looking and claiming, and the clock strikes meanwhile."""
    claim_due(engine, now=NOW, entries=HOURLY)
    noon = datetime(2026, 3, 1, 13, tzinfo=UTC)
    before, after = noon - timedelta(seconds=1), noon + timedelta(seconds=1)
    db.execute(update(Schedule).values(next_run=NOW))
    db.commit()
    claim = schedule._claim

    def overtaken(*args: Any, **named: Any) -> bool:
        monkeypatch.setattr(schedule, "_claim", claim)
        assert claim_due(engine, now=after, entries=HOURLY) == ["hourly"]
        return claim(*args, **named)

    monkeypatch.setattr(schedule, "_claim", overtaken)
    assert claim_due(engine, now=before, entries=HOURLY) == []
    assert db.scalars(select(Schedule.next_run)).one() == noon + timedelta(hours=1)


def test_it_goes_by_the_clock_of_the_database(engine: Engine, db: Session, storage: StreamStorage) -> None:
    assert claim_due(engine, entries=HOURLY) == ["hourly"]
    db.execute(update(Schedule).values(next_run=func.now() + timedelta(minutes=59)))
    db.commit()
    assert claim_due(engine, entries=HOURLY) == []
    db.execute(update(Schedule).values(next_run=func.now()))
    db.commit()
    assert claim_due(engine, entries=HOURLY) == ["hourly"]
    assert pump(engine, storage) == 1


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
