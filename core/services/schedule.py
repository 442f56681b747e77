"""The schedule as people see it: what runs when, what came of it, and running it now. Workers write the table."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, exists, insert, select
from sqlalchemy.orm import Session

from core.db.work import Outbox, Schedule
from core.services.actor import Actor
from core.services.audit import record

TASK = "schedule.run"
"""The task that runs one entry; its argument is the entry's name."""


class NoSuchEntry(Exception):
    """The schedule has no entry of this name."""


def list_schedule(session: Session) -> Sequence[Schedule]:
    """Every entry that ever ran, by name."""
    return session.scalars(select(Schedule).order_by(Schedule.name)).all()


def run_now(session: Session, *, name: str, actor: Actor, now: datetime) -> bool:
    """Have a worker run an entry within seconds; its next run stays where it is. False when a run waits already.
    Raises NoSuchEntry."""
    if session.get(Schedule, name) is None:
        raise NoSuchEntry(name)
    put = put_run(session.connection(), name=name, now=now)
    if put:
        record(session, actor=actor, action="schedule.run", subject=f"schedule:{name}", now=now)
    session.commit()
    return put


def put_run(connection: Connection, *, name: str, now: datetime) -> bool:
    """Put a run of an entry into the outbox, unless one waits there already. Whether it was put."""
    waiting = exists().where(Outbox.task == TASK, Outbox.args == [name])
    if connection.scalar(select(waiting)):
        return False
    connection.execute(insert(Outbox).values(queue="system", task=TASK, args=[name], not_before=now))
    return True
