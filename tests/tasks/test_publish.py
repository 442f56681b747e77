"""What a service could not publish is published by a worker, from the outbox."""

from datetime import UTC, datetime, timedelta

import redis
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from core.config import Settings
from core.contracts import keys, source_snapshot, task_message
from core.services import conversion_sources
from core.services.actor import COMMAND
from tasks import publish  # noqa: F401 (it registers its tasks)
from tasks.outbox import pump
from tasks.registry import REGISTRY, Context
from tasks.streams import StreamStorage


def test_a_worker_publishes_sources(
    db: Session, engine: Engine, settings: Settings, client: redis.Redis, storage: StreamStorage
) -> None:
    now = datetime.now(UTC)
    made = conversion_sources.make_source(db, name="Rede K", preset="keitaro", actor=COMMAND, now=now)
    assert not client.exists(keys.SOURCES)
    assert pump(engine, storage, now=now + timedelta(minutes=1)) == 1
    ((_, fields),) = client.xrange(keys.stream("publish"))
    message = task_message.decode(fields[keys.TASK_FIELD])
    REGISTRY.tasks[message.task].run(Context(settings=settings, engine=engine, redis=client), *message.args)
    framed = client.get(keys.SOURCES)
    assert isinstance(framed, bytes)
    assert [source.source_id for source in source_snapshot.decode(framed).sources] == [made.source.id]
