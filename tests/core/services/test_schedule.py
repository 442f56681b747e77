"""The schedule as people see it, and running an entry now."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from core.db.models import AuditLog
from core.db.work import Outbox
from core.services import schedule
from core.services.actor import COMMAND
from tasks.schedule import ENTRIES, claim_due

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def test_it_knows_what_each_entry_does_and_when(engine: Engine, db: Session) -> None:
    claim_due(engine, now=NOW)
    rows = {row.name: row for row in schedule.list_schedule(db)}
    assert set(rows) == {entry.name for entry in ENTRIES}
    for entry in ENTRIES:
        row = rows[entry.name]
        assert row.about == entry.about != ""
        assert (row.every_s, row.last_run, row.next_run > NOW) == (entry.every_s, NOW, True)


def test_it_runs_an_entry_now_and_leaves_its_next_run(engine: Engine, db: Session) -> None:
    claim_due(engine, now=NOW)
    db.execute(Outbox.__table__.delete())  # type: ignore[attr-defined]
    db.commit()
    before = {row.name: row.next_run for row in schedule.list_schedule(db)}
    assert schedule.run_now(db, name="prune sessions", actor=COMMAND, now=NOW)
    assert not schedule.run_now(db, name="prune sessions", actor=COMMAND, now=NOW)
    (row,) = db.scalars(select(Outbox)).all()
    assert (row.queue, row.task, row.args) == ("system", schedule.TASK, ["prune sessions"])
    assert {row.name: row.next_run for row in schedule.list_schedule(db)} == before
    assert [entry.subject for entry in db.scalars(select(AuditLog))] == ["schedule:prune sessions"]


def test_it_runs_nothing_that_is_not_in_the_schedule(db: Session) -> None:
    with pytest.raises(schedule.NoSuchEntry):
        schedule.run_now(db, name="drop everything", actor=COMMAND, now=NOW)
