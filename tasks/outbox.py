"""From the outbox to the queues: what was committed beside a change is enqueued, at least once."""

import uuid
from collections import defaultdict
from datetime import datetime

from sqlalchemy import Engine, delete, func, select

from core.contracts import task_message
from core.contracts.keys import QUEUES
from core.contracts.task_message import TaskMessage
from core.db.work import Outbox
from core.traces import arrived
from tasks.streams import StreamStorage

MOST = 500
"""Rows that one call takes."""


def pump(engine: Engine, storage: StreamStorage, *, now: datetime | None = None) -> int:
    """Enqueue the rows that are due (at `now`; None: by the database's clock), and delete them; several processes share
    the work. Returns how many.

    The rows go after Redis has taken the messages, in one transaction with their lock: a crash in between enqueues
    them again. A row for a queue that does not exist goes to `system`, where its name is looked up. Raises
    sqlalchemy.exc.SQLAlchemyError and redis.RedisError, with all rows still there.
    """
    with engine.begin() as connection:
        rows = connection.execute(
            select(Outbox.id, Outbox.queue, Outbox.task, Outbox.args, Outbox.created_at, Outbox.request)
            .where(Outbox.not_before <= (now or func.now()))
            .order_by(Outbox.not_before, Outbox.id)
            .limit(MOST)
            .with_for_update(skip_locked=True)
        ).all()
        messages: dict[str, list[bytes]] = defaultdict(list)
        for row in rows:
            request, trace = arrived(row.request)
            message = TaskMessage(
                id=str(uuid.UUID(int=row.id)),
                task=row.task,
                args=tuple(row.args),
                enqueued_ms=int(row.created_at.timestamp() * 1000),
                request=request,
                trace=trace,
            )
            messages[row.queue if row.queue in QUEUES else "system"].append(task_message.encode(message))
        for queue, encoded in messages.items():
            storage.add(queue, encoded)
        connection.execute(delete(Outbox).where(Outbox.id.in_([row.id for row in rows])))
    return len(rows)
