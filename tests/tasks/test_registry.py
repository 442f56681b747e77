"""What can not be registered is said at once."""

import pytest

from tasks.registry import Context, Registry, batch, task


def run(context: Context) -> None:
    """A task that does nothing."""


def make(settings: object, engine: object, *, process_name: str) -> object:
    """A factory that makes nothing."""


def test_it_refuses_a_second_task_of_one_name() -> None:
    registry = Registry()
    task(queue="system", name="a.task", registry=registry)(run)
    with pytest.raises(ValueError, match=r"two tasks named a\.task"):
        task(queue="publish", name="a.task", registry=registry)(run)


def test_it_refuses_a_second_batch_of_one_queue() -> None:
    registry = Registry()
    batch(queue="track", registry=registry)(make)
    with pytest.raises(ValueError, match="track has two"):
        batch(queue="track", registry=registry)(make)


def test_it_refuses_a_queue_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match="no queue trakc"):
        task(queue="trakc", name="a.task", registry=Registry())(run)
