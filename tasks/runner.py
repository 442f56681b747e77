"""Huey, bound to Rastro: tasks by name from the registry, messages as MessagePack, entries in streams."""

from collections.abc import Callable
from typing import Any

import redis
from huey.api import Huey, Task

from core.contracts import task_message
from core.contracts.keys import QUEUES
from core.contracts.task_message import TaskMessage
from tasks.reader import Reader
from tasks.registry import BatchSpec, Context, Handler, Registry, TaskSpec
from tasks.streams import Lot, StreamStorage, now_ms


class TaskHuey(Huey):  # type: ignore[misc]
    """Runs tasks; what becomes of their entries is the worker's matter. Results are not stored: what must be known
    about a run is recorded on purpose."""

    storage: StreamStorage

    def __init__(self, *, registry: Registry, context: Context, client: "redis.Redis", lease: float) -> None:
        """`lease` as for StreamStorage; `client` is made by `make_client`."""
        super().__init__("rastro", results=False, storage_class=StreamStorage, client=client, lease=lease)
        self.context = context
        self.specs: dict[str, TaskSpec] = registry.tasks
        self.batches: dict[str, BatchSpec] = registry.batches
        self._wrappers = {spec.name: self._bind(spec) for spec in registry.tasks.values()}
        self._post_execute["note_failure"] = _note_failure

    def dequeue(self, reader: Reader) -> Lot | None:
        """The next lot for a worker thread, or None after a second without any."""
        return reader.take()

    def run(self, message: TaskMessage) -> None:
        """Run the task of a message, once. Raises what the task raises."""
        task = self._task_of(message)
        self.execute(task)
        if task.failure is not None:
            raise task.failure

    def send(self, name: str, *args: int | float | str | bool | None) -> None:
        """Enqueue a task by its name. Outside a task use the outbox: it commits with what the task is about."""
        self.enqueue(self._wrappers[name].s(*args))

    def make_handler(self, queue: str, process_name: str) -> Handler:
        """The batch handler of a queue for one worker thread."""
        context = self.context
        return self.batches[queue].make(context.settings, context.engine, process_name=process_name)

    def serialize_task(self, task: Task) -> bytes:
        """Huey's hook: a task as the bytes of an entry."""
        message = TaskMessage(id=task.id, task=task.task_name, args=tuple(task.args), enqueued_ms=now_ms())
        return task_message.encode(message)

    def deserialize_task(self, data: bytes) -> Task:
        """Huey's hook: the task of an entry's bytes. Raises msgspec.DecodeError, KeyError for an unknown task."""
        return self._task_of(task_message.decode(data))

    def _task_of(self, message: TaskMessage) -> Task:
        return self._wrappers[message.task].task_class(args=message.args, id=message.id)

    def _bind(self, spec: TaskSpec) -> Any:
        return self.task(
            name=spec.name,
            priority=QUEUES.index(spec.queue),
            task_name=spec.name,
            failure=None,
        )(_with_context(spec.run, self.context))


def _with_context(run: Callable[..., None], context: Context) -> Callable[..., None]:
    def bound(*args: Any) -> None:
        run(context, *args)

    bound.__doc__ = run.__doc__
    return bound


def _note_failure(task: Task, value: Any, error: Exception | None) -> None:
    """Huey swallows what a task raises; its hook after each run is where it can be seen."""
    task.failure = error
