"""Keeps a few programs running: starts them, says when one dies, starts it again, stops them in order.

One thread, no event loop: a child must be forked by the thread that lives as long as we do, or the kernel would take
that thread's end for ours.
"""

import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from core.child import die_with_parent
from core.ops.commands import CommandFailed

_FIRST_DELAY, _LONGEST_DELAY, _STEADY_AFTER = 0.5, 30.0, 60.0
_LOG_BYTES, _OLD_LOGS = 10_000_000, 3
_TICK = 0.1


@dataclass(frozen=True, slots=True)
class Service:
    """One program to keep running. `is_ready` is asked only while its process lives.

    The limits are seconds from the stop signal to SIGKILL, `hurried_limit` after a second Ctrl-C.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: Path
    is_ready: Callable[[], bool]
    pass_fds: tuple[int, ...] = ()
    user: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_limit: float = 30.0
    hurried_limit: float = 1.0


class StopSignals:
    """Counts SIGINT, SIGTERM and SIGHUP: the first asks for an orderly stop, a second one for a quick one."""

    def __init__(self) -> None:
        self.count = 0

    def listen(self) -> "StopSignals":
        """From now on signals are counted and interrupt nothing."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._received)
        return self

    def _received(self, number: int, frame: FrameType | None) -> None:
        self.count += 1


@dataclass(slots=True)
class _Child:
    service: Service
    process: "subprocess.Popen[bytes] | None" = None
    started: float = 0.0
    delay: float = _FIRST_DELAY
    again_at: float = 0.0
    deaths: int = 0
    log_start: int = 0


@dataclass(slots=True)
class Supervisor:
    """Children by name. `say` gets one line for the operator; `changed` is called when a process came or went."""

    logs: Path
    say: Callable[[str], None]
    signals: StopSignals
    changed: Callable[[], None] = lambda: None
    _children: dict[str, _Child] = field(default_factory=dict)
    _next_rotation: float = 0.0

    def start(self, service: Service) -> None:
        """Start a service; from now on it is started again when it dies."""
        child = _Child(service)
        self._children[service.name] = child
        self._spawn(child)

    def processes(self) -> list[tuple[str, int]]:
        """Name and process id of every service that runs now."""
        return [
            (name, child.process.pid)
            for name, child in self._children.items()
            if child.process is not None and child.process.poll() is None
        ]

    def wait_ready(self, names: Sequence[str], *, limit: float) -> bool:
        """Wait until all of `names` are ready; False when a stop was asked for meanwhile.

        Raises CommandFailed, with the end of its log, when one dies three times or stays silent for `limit` seconds.
        """
        deadline = time.monotonic() + limit
        waiting = list(names)
        while waiting:
            if self.signals.count:
                return False
            self._tend()
            child = self._children[waiting[0]]
            if child.process is not None and child.service.is_ready():
                waiting.pop(0)
                continue
            if child.deaths >= 3 or time.monotonic() > deadline:
                what = "keeps ending" if child.deaths >= 3 else f"gave no answer within {limit:.0f} seconds"
                raise CommandFailed(f"{waiting[0]} {what}, so Rastro stops.{self._end_of_log(child)}")
            time.sleep(_TICK / 2)
        return True

    def run(self) -> None:
        """Look after everything until a stop is asked for."""
        while not self.signals.count:
            self._tend()
            time.sleep(_TICK)

    def stop(self, names: Sequence[str]) -> None:
        """Stop some services together and return when they are gone; one that takes too long is killed."""
        children = [self._children.pop(name) for name in names if name in self._children]
        running = [child for child in children if child.process is not None and child.process.poll() is None]
        for child in running:
            _signal(child, child.service.stop_signal)
        begun = time.monotonic()
        while running:
            running = [
                child for child in running if child.process is not None and child.process.poll() is None
            ]
            for child in running:
                service = child.service
                limit = service.hurried_limit if self.signals.count > 1 else service.stop_limit
                if time.monotonic() - begun > limit:
                    self.say(f"{child.service.name} does not stop; killing it.")
                    _signal(child, signal.SIGKILL)
            time.sleep(_TICK / 5)
        self.changed()

    def stop_all(self) -> None:
        """Stop what is left, the latest started first."""
        for name in reversed(list(self._children)):
            self.stop([name])

    def _spawn(self, child: _Child) -> None:
        service, parent = child.service, os.getpid()
        entry = pwd.getpwnam(service.user) if service.user else None
        path = self.logs / f"{service.name}.log"
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
            child.log_start = log.tell()
            child.process = subprocess.Popen(
                service.argv,
                env=dict(service.env),
                cwd=service.cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=service.pass_fds,
                start_new_session=True,  # Ctrl-C reaches us alone, so that we can stop them in order
                user=entry.pw_uid if entry else None,
                group=entry.pw_gid if entry else None,
                extra_groups=[] if entry else None,
                preexec_fn=lambda: die_with_parent(parent),
            )
        child.started = time.monotonic()
        self.changed()

    def _tend(self) -> None:
        now = time.monotonic()
        for child in self._children.values():
            if child.process is None:
                if now >= child.again_at:
                    self._spawn(child)
            elif child.process.poll() is not None:
                self._died(child, now)
            elif child.deaths and now - child.started > _STEADY_AFTER:
                child.deaths, child.delay = 0, _FIRST_DELAY
        if now >= self._next_rotation:
            self._next_rotation = now + 5
            for name in self._children:
                rotate(self.logs / f"{name}.log", limit=_LOG_BYTES, keep=_OLD_LOGS)

    def _died(self, child: _Child, now: float) -> None:
        process = child.process
        status = process.returncode if process else 0
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        pid = process.pid if process else 0
        self.say(
            f"{child.service.name} (process {pid}) {how}. Starting it again in {child.delay:g} s."
            f"{self._end_of_log(child)}"
        )
        _signal(child, signal.SIGKILL)  # what it had started itself
        child.process = None
        child.deaths += 1
        child.again_at = now + child.delay
        child.delay = min(child.delay * 2, _LONGEST_DELAY)
        self.changed()

    def _end_of_log(self, child: _Child) -> str:
        """The last lines that this life of the child wrote, for the operator."""
        path = self.logs / f"{child.service.name}.log"
        try:
            with path.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(min(child.log_start, size), size - 4000))
                lines = file.read().decode("utf-8", errors="replace").splitlines()[-6:]
        except OSError:
            return ""
        return "".join(f"\n    {line[:300]}" for line in lines if line.strip()) + (
            f"\n    ({path})" if lines else ""
        )


def rotate(path: Path, *, limit: int, keep: int) -> None:
    """Move a log that grew over `limit` bytes aside, keeping the last `keep`.

    The file is copied and emptied, since its writer holds it open (appending): a line written in between is lost. The
    alternative, a pipe through us, would make every program wait whenever we do.
    """
    try:
        if path.stat().st_size <= limit:
            return
        for number in range(keep - 1, 0, -1):
            older = path.with_name(f"{path.name}.{number}")
            if older.exists():
                older.replace(path.with_name(f"{path.name}.{number + 1}"))
        shutil.copy2(path, path.with_name(f"{path.name}.1"))
        os.truncate(path, 0)
    except OSError:  # a full disk must not end the programs that are looked after
        return


def _signal(child: _Child, number: signal.Signals) -> None:
    """Signal a child; on SIGKILL its whole session, since what it started would live on."""
    if child.process is None:
        return
    try:
        if number == signal.SIGKILL:
            os.killpg(child.process.pid, number)
        else:
            child.process.send_signal(number)
    except ProcessLookupError:
        return
