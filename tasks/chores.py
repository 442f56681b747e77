"""Small things that a process does again and again beside its work, each in its own rhythm."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any

from huey.consumer import Scheduler

from core.observe import logger
from tasks.faults import is_outage

log = logger(__name__)

_LONGEST_WAIT = 30.0


@dataclass(frozen=True, slots=True)
class Chore:
    """`run` is called `every` so many seconds; after a failure later and later, up to `longest` seconds (or `every`,
    where that is more)."""

    name: str
    run: Callable[[], object]
    every: float
    longest: float = _LONGEST_WAIT


class Chores:
    """Does chores when they are due. No error of a chore passes it."""

    def __init__(self, chores: Sequence[Chore], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._chores = tuple(chores)
        self._due = dict.fromkeys((chore.name for chore in chores), clock())
        self._failures = dict.fromkeys((chore.name for chore in chores), 0)

    def run_due(self) -> float:
        """Do what is due and return the seconds until the next one is."""
        for chore in self._chores:
            if self._clock() >= self._due[chore.name]:
                self._due[chore.name] = self._clock() + self._run(chore)
        soonest = min(self._due.values(), default=self._clock() + 1.0)
        return max(soonest - self._clock(), 0.0)

    def _run(self, chore: Chore) -> float:
        try:
            chore.run()
        except Exception as error:
            failures = self._failures[chore.name] = self._failures[chore.name] + 1
            wait: float = min(
                max(chore.every, 1.0) * 2 ** min(failures - 1, 10), max(chore.longest, chore.every)
            )
            reason = str(error).strip().partition("\n")[0]
            log.warning(
                "chore.failed", chore=chore.name, seconds=wait, reason=reason, exc_info=not is_outage(error)
            )
            return wait
        if self._failures[chore.name]:
            log.info("chore.works_again", chore=chore.name, failures=self._failures[chore.name])
            self._failures[chore.name] = 0
        return chore.every


class ChoreScheduler(Scheduler):  # type: ignore[misc]
    """Huey's scheduler thread, doing chores."""

    def __init__(self, *, chores: Sequence[Chore], **options: Any) -> None:
        super().__init__(**options)
        self._chores = Chores(chores)

    def loop(self, now: Any = None) -> None:
        """Do what is due, and wait for what comes next or for the end."""
        self.stop_flag.wait(min(self._chores.run_due(), 1.0))


class ChoreThread:
    """A thread of its own for chores that must go on while a worker waits or drains."""

    def __init__(self, name: str, chores: Sequence[Chore]) -> None:
        self._chores = Chores(chores)
        self._stop = Event()
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin, with every chore due at once."""
        self._thread.start()

    def stop(self) -> None:
        """End after the chore that is being done; waits for that for a few seconds."""
        self._stop.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        while not self._stop.wait(min(self._chores.run_due(), 1.0)):
            pass
