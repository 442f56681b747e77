"""Several worker processes under one command: started, started again when they die, and stopped together."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from types import FrameType

from core.child import die_with_parent
from core.observe import logger

log = logger(__name__)

FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0
"""Seconds until a process that died is started again: doubled from the first to the longest."""

_STEADY_AFTER = 60.0  # one that lived for so long starts again without delay the next time
_LOOK_S = 0.2


@dataclass(slots=True)
class _Child:
    env: Mapping[str, str]
    process: "subprocess.Popen[bytes]"
    started: float
    delay: float = FIRST_DELAY
    again_at: float | None = None


def supervise(argv: Sequence[str], *, environments: Sequence[Mapping[str, str]]) -> int:
    """Run `argv` once in each environment until SIGTERM or SIGINT, which every process gets as SIGTERM. Returns 0 when
    all have then ended with 0, else 1; it is theirs to end in time. When this process is killed, they are too (Linux).
    """
    stopping = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _setter(stopping))
    children = [_Child(env, _start(argv, env), time.monotonic()) for env in environments]
    while not stopping.wait(_LOOK_S):
        for child in children:
            _tend(child, argv)
    running = [child.process for child in children if child.again_at is None]
    for process in running:
        process.terminate()
    statuses = [process.wait() for process in running]
    return 1 if any(statuses) else 0


def environments(
    environ: Mapping[str, str], *, processes: int, metrics_port: int | None
) -> list[dict[str, str]]:
    """What each of several processes is told: its metrics are on the port after those of the one before."""
    found = [{**environ, "WORKER_PROCESSES": "1"} for _ in range(processes)]
    if metrics_port:
        for number, env in enumerate(found):
            env["METRICS_PORT"] = str(metrics_port + number)
    return found


def _setter(stopping: Event) -> Callable[[int, FrameType | None], None]:
    def stop(_number: int, _frame: FrameType | None) -> None:
        stopping.set()

    return stop


def _start(argv: Sequence[str], env: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    parent = os.getpid()
    return subprocess.Popen(
        argv,
        env=dict(env),
        start_new_session=True,  # Ctrl-C reaches us alone, and goes on from here once
        preexec_fn=lambda: die_with_parent(parent),
    )


def _tend(child: _Child, argv: Sequence[str]) -> None:
    now = time.monotonic()
    if child.again_at is not None:
        if now >= child.again_at:
            child.process, child.started, child.again_at = _start(argv, child.env), now, None
    elif (status := child.process.poll()) is not None:
        if now - child.started > _STEADY_AFTER:
            child.delay = FIRST_DELAY
        log.error("worker.died", pid=child.process.pid, status=status, seconds=child.delay)
        child.again_at = now + child.delay
        child.delay = min(child.delay * 2, LONGEST_DELAY)
