"""A worker program with tasks that a test can watch: what they do is written to Redis.

`python -m tests.tasks.sample_worker POOL`; settings as for the real one.
"""

import sys
import time
from collections.abc import Mapping, Sequence

from sqlalchemy import Engine

from core.config import Settings
from core.db.engine import make_engine
from core.observe import setup_logging
from tasks.consumer import StreamConsumer
from tasks.registry import Context, Handler, Registry, batch, task
from tasks.runner import TaskHuey
from tasks.streams import make_client

EVENTS = "{rastro}:tests:events"
HANDLED = "{rastro}:tests:handled"

registry = Registry()


@task(queue="system", name="sample.sleep", registry=registry)
def sleep(context: Context, name: str, seconds: float) -> None:
    """Say when it begins and ends."""
    context.redis.rpush(EVENTS, f"{name} begins")
    time.sleep(seconds)
    context.redis.rpush(EVENTS, f"{name} ends")


@task(queue="publish", name="sample.note", registry=registry)
def note(context: Context, name: str) -> None:
    """Say that it ran."""
    context.redis.rpush(EVENTS, name)


@task(queue="system", name="sample.fail", retries=1, delay=1, registry=registry)
def fail(context: Context) -> None:
    """Say that it was tried, and fail."""
    context.redis.rpush(EVENTS, "tried")
    raise ValueError("always")


@batch(queue="track", registry=registry)
def make_handler(settings: Settings, engine: Engine, *, process_name: str) -> Handler:
    """Count every payload; each takes as long as its last part says, in seconds."""
    client = make_client(settings.redis_url)

    def handle(payloads: Sequence[bytes]) -> Mapping[int, str]:
        time.sleep(sum(float(payload.split(b":")[1]) for payload in payloads))
        for payload in payloads:
            client.hincrby(HANDLED, payload.split(b":")[0], 1)
        return {}

    return handle


def main(pool: str) -> None:
    settings = Settings.from_env()
    setup_logging("sample", log_format="text", log_level="info")
    client = make_client(settings.redis_url)
    context = Context(settings=settings, engine=make_engine(settings.database_url), redis=client)
    huey = TaskHuey(registry=registry, context=context, client=client, lease=settings.worker_lease)
    StreamConsumer(huey, pool=pool, drain_limit=settings.drain_limit).run()


if __name__ == "__main__":
    main(sys.argv[1])
