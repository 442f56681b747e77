"""A storage with a short lease, and worker threads that a test steps by hand."""

from collections.abc import Callable, Iterator
from threading import Event

import pytest
import redis
from sqlalchemy import Engine

from core.config import Settings
from tasks import worker
from tasks.registry import Context, Registry
from tasks.runner import TaskHuey
from tasks.streams import StreamStorage, make_client
from tasks.worker import LaneWorker

LEASE = 0.4
FIRST_WAIT = 0.01
MakeWorker = Callable[..., LaneWorker]


@pytest.fixture
def client(redis_url: str, valkey: redis.Redis) -> Iterator[redis.Redis]:
    """A worker's client of an empty Redis."""
    made = make_client(redis_url)
    yield made
    made.close()


@pytest.fixture
def storage(client: redis.Redis) -> StreamStorage:
    return StreamStorage("rastro", client=client, lease=LEASE)


@pytest.fixture
def make_worker(
    settings: Settings, engine: Engine, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> MakeWorker:
    """`make_worker(registry, lane)`: a worker whose `loop` the test calls; `stop_flag` is what SIGTERM sets."""
    monkeypatch.setattr(worker, "FIRST_WAIT", FIRST_WAIT)
    context = Context(settings=settings, engine=engine, redis=client)
    numbers = iter(range(1000))

    def make(registry: Registry, lane: tuple[str, ...], *, lease: float = LEASE) -> LaneWorker:
        huey = TaskHuey(registry=registry, context=context, client=client, lease=lease)
        return LaneWorker(
            lane=lane,
            consumer=f"test.{next(numbers)}",
            huey=huey,
            stop_flag=Event(),
            default_delay=0.1,
            max_delay=1.0,
            backoff=1.1,
        )

    return make
