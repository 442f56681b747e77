"""The process around the worker threads: Huey's consumer with our workers, a heartbeat, chores, and the drain.

On SIGTERM (or Ctrl-C) no further work is begun and what runs may finish within the limit; what does not is given back
uncharged for others to take, and the process still ends with 0.
"""

import os
import resource
import secrets
import signal
import socket
from collections import deque
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from huey.consumer import Consumer
from sqlalchemy import Engine

from core.contracts import keys
from core.db.engine import server_time
from core.observe import logger
from tasks.chores import Chore, ChoreScheduler, ChoreThread
from tasks.health import HEARTBEAT, LOOP, POSTGRES, REDIS, Health
from tasks.queues import LANES, POOLS, SCHEDULING_POOL, Lane
from tasks.runner import TaskHuey
from tasks.streams import StreamStorage, now_ms
from tasks.worker import LaneWorker

log = logger(__name__)

_BEAT_S = 2.0  # the console shows what runs
_MOST_HELD_AT_ONCE = 20_000  # entries moved for one paused queue before others have their turn
_FORGET_AFTER_MS = 3_600_000  # a consumer that said nothing for an hour and holds nothing is gone


class StreamConsumer(Consumer):  # type: ignore[misc]
    """Runs one worker thread a lane of a pool (or `threads` of them), and `chores` beside them."""

    worker_class = LaneWorker
    scheduler_class = ChoreScheduler

    def __init__(
        self,
        huey: TaskHuey,
        *,
        pool: str,
        drain_limit: float,
        threads: int = 1,
        chores: Sequence[Chore] = (),
    ) -> None:
        """`drain_limit` is in seconds. `chores` are added to those of every process."""
        self.process = process_name()
        self.pool = pool
        self._chores = (*_upkeep(huey.storage, pool), *chores)
        lanes = [lane for lane in LANES[pool] for _ in range(threads)]
        self._free: deque[tuple[int, Lane]] = deque(enumerate(lanes))
        super().__init__(
            huey,
            workers=len(lanes),
            periodic=False,
            worker_type="thread",
            shutdown_timeout=drain_limit,
            graceful_signal="TERM",
        )
        self.health = Health(draining=self.stop_flag.is_set)
        self._heart = _heart(huey.storage, self.health, process=self.process, pool=pool, lanes=len(lanes))
        self._reach = _reach(huey.context.engine, self.health)
        self._signal_actions = dict.fromkeys((signal.SIGTERM, signal.SIGINT, signal.SIGHUP), (False, True))

    def run(self) -> None:
        """Work until a signal says stop. Does not return when a task outlasted the drain: the process ends there."""
        self._heart.start()
        self._reach.start()
        log.info("worker.started", pool=self.pool, process=self.process, lanes=self.workers)
        super().run()
        late = [thread.name for _, thread in self.worker_threads if thread.is_alive()]
        given_back = self._give_back()
        self._heart.stop()
        self._say_goodbye()
        log.info("worker.stopped", process=self.process, given_back=given_back, unfinished=late)
        if late:
            os._exit(
                0
            )  # a thread in the middle of a task would hold the interpreter; its entry is another's now

    def loop(self, health_check_ts: float | None = None) -> Any:
        """Huey's hook, called several times a second."""
        self.health.seen(LOOP)
        return super().loop(health_check_ts)

    def start(self) -> None:
        """Huey's start, with the signal handlers in place before the first entry is taken."""
        self._set_signal_handlers()
        super().start()

    def _create_worker(self) -> LaneWorker:
        """Huey's hook, called for each thread and again for one that died: a free lane, under a name never used."""
        number, lane = self._free.popleft()
        return self.worker_class(
            lane=lane,
            consumer=f"{self.process}.{number}.{secrets.token_hex(2)}",
            on_end=lambda: self._free.append((number, lane)),
            huey=self.huey,
            stop_flag=self.stop_flag,
            default_delay=self.default_delay,
            max_delay=self.max_delay,
            backoff=self.backoff,
        )

    def _create_scheduler(self) -> ChoreScheduler:
        """Huey's hook."""
        return self.scheduler_class(
            chores=self._chores,
            huey=self.huey,
            stop_flag=self.stop_flag,
            interval=self.scheduler_interval,
            periodic=False,
        )

    def _give_back(self) -> int:
        try:
            return int(self.huey.storage.release_all())
        except Exception as error:  # Redis is away: the leases end by themselves
            log.warning("worker.not_given_back", reason=str(error))
            return 0

    def _say_goodbye(self) -> None:
        try:
            self.huey.storage.client.delete(keys.worker(self.process))
        except Exception as error:
            log.info("worker.heartbeat_left", reason=str(error))


def process_name() -> str:
    """A name for this process that no other one has or had."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"


def memory_bytes() -> int:
    """Resident memory of this process; the most that it ever was where there is no /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class Rate:
    """How much a number that only rises has risen in the last minute."""

    def __init__(self) -> None:
        self._seen: deque[tuple[int, int]] = deque()

    def of(self, total: int, *, now_ms: int) -> int:
        """The rise since the oldest of the calls of the last minute; 0 for the first call."""
        self._seen.append((now_ms, total))
        while now_ms - self._seen[0][0] > 60_000:
            self._seen.popleft()
        return total - self._seen[0][1]


def _heart(storage: StreamStorage, health: Health, *, process: str, pool: str, lanes: int) -> ChoreThread:
    """Leases are renewed once a quarter of them is over, and as soon as Redis is back, however long it was away: they
    may still be ours."""
    started = now_ms()
    look = storage.lease / 16
    renew = partial(storage.renew, after_ms=int(storage.lease * 250))
    rate = Rate()

    def beat() -> None:
        pipeline = storage.client.pipeline(transaction=True)
        fields: dict[Any, Any] = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "pool": pool,
            "queues": " ".join(POOLS[pool]),
            "lanes": lanes,
            "started_ms": started,
            "seen_ms": now_ms(),
            "done_a_minute": rate.of(storage.done, now_ms=now_ms()),
            "rss_bytes": memory_bytes(),
            "running": msgspec.json.encode(storage.running()),
        }
        pipeline.hset(keys.worker(process), mapping=fields)
        pipeline.expire(keys.worker(process), keys.HEARTBEAT_TTL_S)
        pipeline.execute()
        health.seen(REDIS)

    return ChoreThread(
        "Heartbeat",
        [
            Chore("show that it beats", lambda: health.seen(HEARTBEAT), every=1.0),
            Chore("renew leases", renew, every=look, longest=storage.lease / 4),
            Chore("heartbeat", beat, every=_BEAT_S),
        ],
    )


def _reach(engine: Engine, health: Health) -> ChoreThread:
    """On a thread of its own: leases must be renewed while a frozen database answers nobody."""

    def ask() -> None:
        server_time(engine)
        health.seen(POSTGRES)

    return ChoreThread("Reach PostgreSQL", [Chore("reach PostgreSQL", ask, every=10.0)])


def _upkeep(storage: StreamStorage, pool: str) -> list[Chore]:
    queues = POOLS[pool]

    def move_due() -> None:
        for queue in queues:
            storage.move_due(queue, now_ms=now_ms())

    def forget_idle() -> None:
        for queue in queues:
            storage.forget_idle(queue, idle_ms=_FORGET_AFTER_MS)

    def hold_paused() -> None:
        for queue in queues:
            moved = 0
            while moved < _MOST_HELD_AT_ONCE and (step := storage.hold(queue)):
                moved += step

    chores = [Chore("hold what is paused", hold_paused, every=1.0)] if pool == SCHEDULING_POOL else []
    return [
        *chores,
        Chore("move what is due", move_due, every=1.0),
        Chore("forget consumers", forget_idle, every=600.0),
    ]
