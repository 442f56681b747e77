"""The worker program: every task module, put together and run."""

import gc
import logging
import os
from datetime import UTC, datetime

from core import error_reports, telemetry
from core.config import Settings
from core.contracts.keys import SAMPLE_EVERY_S
from core.db.engine import make_engine
from core.db.spans import trace_statements
from core.observe import logger, serve_metrics, setup_logging
from core.services.queues.samples import take_sample
from core.services.redis_client import make_redis
from tasks import (  # noqa: F401 (they register their tasks)
    attribution,
    clicks,
    metrics,
    postback_replays,
    postbacks,
    publish,
    schedule,
)
from tasks.chores import Chore
from tasks.consumer import StreamConsumer
from tasks.health import with_probes
from tasks.outbox import MOST, pump
from tasks.queues import LANES, POOLS, SCHEDULING_POOL
from tasks.registry import REGISTRY, Context
from tasks.runner import TaskHuey
from tasks.sending import Sender
from tasks.streams import make_client

log = logger(__name__)

_LOOKS = 4
"""Batches of waiting postbacks that are judged again before the schedule and the outbox have their turn."""

NICENESS = 5
"""Where programs share a machine, visitors come first: a tracker and Redis get three times as much of a processor that
is short as a worker does, whose clicks wait in safety."""


def run(settings: Settings, *, pool: str) -> None:
    """Work for a pool until a signal says stop. Raises OSError when the metrics' port is taken."""
    setup_logging(
        "worker",
        log_format=settings.log_format,
        log_level=settings.log_level,
        note=error_reports.note if settings.sentry_dsn else None,
    )
    telemetry.start("worker", settings)
    logging.getLogger("huey").setLevel(logging.CRITICAL)  # what a task raised is told by the worker, once
    logging.getLogger("huey.consumer").setLevel(logging.WARNING)
    threads = len(LANES[pool]) * settings.worker_threads
    idle_limit = 2 * settings.worker_lease  # what this process held is another's by then
    engine = make_engine(settings.database_url, pool_size=threads + 4, idle_limit=idle_limit)
    trace_statements(engine)
    context = Context(settings=settings, engine=engine, redis=make_redis(settings.redis_url, timeout=5))
    client = make_client(settings.redis_url, connections=threads + 8)
    huey = TaskHuey(registry=REGISTRY, context=context, client=client, lease=settings.worker_lease)
    chores = _clockwork(huey) if pool == SCHEDULING_POOL else []
    consumer = StreamConsumer(
        huey, pool=pool, drain_limit=settings.drain_limit, threads=settings.worker_threads, chores=chores
    )
    if settings.metrics_port is not None:
        metrics.QUEUES.watch(context.redis, POOLS[pool])
        port = serve_metrics(
            settings.metrics_port, host=settings.host, wrap=lambda app: with_probes(app, consumer.health)
        )
        log.info("worker.metrics", port=port)
    _collect_seldom()
    os.nice(NICENESS)
    sender = None
    if pool == SCHEDULING_POOL:
        sender = Sender(engine, stopping=consumer.stop_flag, allowed=settings.sending_networks)
        sender.start()
    consumer.run()
    if sender is not None:
        sender.stop()
    telemetry.stop()


def _collect_seldom() -> None:
    """A batch makes some hundred thousand tuples and no cycle: to look through them for cycles again and again took a
    third of a worker's time. What is loaded now is never looked through again."""
    gc.freeze()
    gc.set_threshold(100_000, 20, 50)


def _clockwork(huey: TaskHuey) -> list[Chore]:
    engine = huey.context.engine

    def claim() -> None:
        schedule.claim_due(engine)

    def empty_outbox() -> None:
        while pump(engine, huey.storage) == MOST:
            pass

    def look_again() -> None:
        """Postbacks that wait for their clicks."""
        report_currency = huey.context.settings.report_currency
        now = datetime.now(UTC)
        for _ in range(_LOOKS):
            if (
                postbacks.look_again(engine, report_currency=report_currency, now=now)
                < postbacks.LARGEST_BATCH
            ):
                break

    def sample() -> None:
        take_sample(huey.context.redis, now=datetime.now(UTC))

    return [
        Chore("schedule", claim, every=1.0),
        Chore("outbox", empty_outbox, every=1.0),
        Chore("look again", look_again, every=2.0),
        Chore("sample", sample, every=SAMPLE_EVERY_S / 3),  # the first in each slot keeps it
    ]
