"""The worker program: every task module, put together and run."""

import logging

from core.config import Settings
from core.db.engine import make_engine
from core.observe import logger, serve_metrics, setup_logging
from core.services.redis_client import make_redis
from tasks import clicks, publish, schedule  # noqa: F401 (they register their tasks)
from tasks.chores import Chore
from tasks.consumer import StreamConsumer
from tasks.outbox import MOST, pump
from tasks.queues import LANES, SCHEDULING_POOL
from tasks.registry import REGISTRY, Context
from tasks.runner import TaskHuey
from tasks.streams import make_client

log = logger(__name__)


def run(settings: Settings, *, pool: str) -> None:
    """Work for a pool until a signal says stop. Raises OSError when the metrics' port is taken."""
    setup_logging("worker", log_format=settings.log_format, log_level=settings.log_level)
    logging.getLogger("huey").setLevel(logging.CRITICAL)  # what a task raised is told by the worker, once
    logging.getLogger("huey.consumer").setLevel(logging.WARNING)
    if settings.metrics_port is not None:
        log.info("worker.metrics", port=serve_metrics(settings.metrics_port, host=settings.host))
    threads = len(LANES[pool]) * settings.worker_threads
    idle_limit = 2 * settings.worker_lease  # what this process held is another's by then
    engine = make_engine(settings.database_url, pool_size=threads + 2, idle_limit=idle_limit)
    context = Context(settings=settings, engine=engine, redis=make_redis(settings.redis_url, timeout=5))
    client = make_client(settings.redis_url, connections=threads + 8)
    huey = TaskHuey(registry=REGISTRY, context=context, client=client, lease=settings.worker_lease)
    chores = _clockwork(huey) if pool == SCHEDULING_POOL else []
    consumer = StreamConsumer(
        huey, pool=pool, drain_limit=settings.drain_limit, threads=settings.worker_threads, chores=chores
    )
    consumer.run()


def _clockwork(huey: TaskHuey) -> list[Chore]:
    engine = huey.context.engine

    def claim() -> None:
        schedule.claim_due(engine)

    def empty_outbox() -> None:
        while pump(engine, huey.storage) == MOST:
            pass

    return [Chore("schedule", claim, every=1.0), Chore("outbox", empty_outbox, every=1.0)]
