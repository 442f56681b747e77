"""What can be run: tasks by name, and one batch handler a queue.

`@task` and `@batch` only write a function down here; `tasks.main` imports every module that does so. A consumer binds
them to Huey and to its `Context` when it starts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import redis
from sqlalchemy import Engine

from core.config import Settings
from core.contracts.keys import QUEUES

LARGEST_BATCH = 5000


@dataclass(frozen=True, slots=True)
class Context:
    """What a task may use: settings, the database, and Redis (replies are bytes)."""

    settings: Settings
    engine: Engine
    redis: "redis.Redis"


Handler = Callable[[Sequence[bytes]], Mapping[int, str]]
"""Stores what it can of a batch in ONE transaction and returns {index: reason} for what belongs to the dead letters.
Raises for everything else, having stored nothing: a fault of a server is waited out and the same batch comes again, for
any other error the batch is halved until the poison stands alone. Must bear being given the same payload twice."""


class HandlerFactory(Protocol):
    """Makes the handler of one worker thread; `process_name` is unique among all threads of all processes."""

    def __call__(self, settings: Settings, engine: Engine, *, process_name: str) -> Handler: ...


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """A task: `run(context, *args)`. It may run twice, so doing it again must do no harm.

    An error counts as an attempt, unless a server is to blame; after `retries` further attempts, the first after
    `delay` seconds, each after twice the time of the one before, the message goes to the dead letters."""

    name: str
    queue: str
    run: Callable[..., None]
    retries: int
    delay: float


@dataclass(frozen=True, slots=True)
class BatchSpec:
    """A queue whose entries are handled `largest` at a time at most."""

    queue: str
    make: HandlerFactory
    largest: int


@dataclass(frozen=True, slots=True)
class Registry:
    """Tasks by name and batches by queue."""

    tasks: dict[str, TaskSpec] = field(default_factory=dict)
    batches: dict[str, BatchSpec] = field(default_factory=dict)


REGISTRY = Registry()

Function = TypeVar("Function", bound=Callable[..., None])
Factory = TypeVar("Factory", bound=HandlerFactory)


def task(
    *, queue: str, name: str, retries: int = 5, delay: float = 2.0, registry: Registry = REGISTRY
) -> Callable[[Function], Function]:
    """Register `run(context, *args)` as the task `name` of `queue`. The name is written into messages, so it lives
    longer than the function's. Raises ValueError for a name that is taken or a queue that does not exist."""

    def register(run: Function) -> Function:
        _check_queue(queue)
        if name in registry.tasks:
            raise ValueError(f"there are two tasks named {name}")
        registry.tasks[name] = TaskSpec(name=name, queue=queue, run=run, retries=retries, delay=delay)
        return run

    return register


def batch(
    *, queue: str, largest: int = LARGEST_BATCH, registry: Registry = REGISTRY
) -> Callable[[Factory], Factory]:
    """Register the factory of the handler that takes all entries of `queue`, up to `largest` in one call."""

    def register(make: Factory) -> Factory:
        _check_queue(queue)
        if queue in registry.batches:
            raise ValueError(f"queue {queue} has two batch handlers")
        registry.batches[queue] = BatchSpec(queue=queue, make=make, largest=largest)
        return make

    return register


def _check_queue(queue: str) -> None:
    if queue not in QUEUES:
        raise ValueError(f"there is no queue {queue}")
