"""Worker programs and servers of a test alone, to kill, freeze and stop. None of them outlives the test's process."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

from core.ops import servers

LEASE_S = 1
"""The lease that workers of fault tests have, in seconds."""

_LIMIT_S = 60.0


def until(condition: Callable[[], object], *, limit: float = 120.0) -> None:
    """Poll until the condition holds; a generous limit, so that only something that never comes fails."""
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


class Workers:
    """Processes of `python -m tasks`, or of another module that is started like it, in a session of their own each."""

    def __init__(
        self, environment: dict[str, str], logs: Path, *, module: str = "tasks", words: Sequence[str] = ()
    ) -> None:
        self._environment = {"WORKER_LEASE": str(LEASE_S), "DRAIN_LIMIT": "5", **environment}
        self._logs = logs
        self._command = [sys.executable, "-m", module, *words, "--pool"]
        self._files: dict[int, Path] = {}
        self.running: list[subprocess.Popen[bytes]] = []

    def start(self, pool: str = "track") -> "subprocess.Popen[bytes]":
        """One more process. Only from the thread that outlives it: a child goes with the thread that made it."""
        path = self._logs / f"worker{len(self._files):04}.log"
        parent = os.getpid()
        with path.open("wb") as log:
            program = subprocess.Popen(
                [*self._command, pool],
                env=self._environment,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: servers.die_with_parent(parent),
            )
        self.running.append(program)
        self._files[program.pid] = path
        return program

    def is_up(self, program: "subprocess.Popen[bytes]") -> bool:
        """True once it has begun to work, and listens to signals."""
        return "worker.started" in self._files[program.pid].read_text()

    def end(self, program: "subprocess.Popen[bytes]", signum: int) -> int:
        """Send a signal, wait for the end, and return the status."""
        program.send_signal(signum)
        return self.wait(program)

    def wait(self, program: "subprocess.Popen[bytes]") -> int:
        """Wait for the end of a program that was told to stop, and return its status."""
        status = program.wait(timeout=_LIMIT_S)
        self.running.remove(program)
        return status

    def end_all(self) -> None:
        for program in list(self.running):
            program.send_signal(signal.SIGCONT)
            self.end(program, signal.SIGKILL)

    def log(self) -> str:
        """What all of them said, those that ended included."""
        return "".join(path.read_text() for path in sorted(self._logs.glob("worker*.log")))


class Server:
    """A PostgreSQL or Valkey of one test. It keeps its data while it is away."""

    def __init__(self, make: Callable[[Path], servers.Program]) -> None:
        root = servers.SHARED_ROOT / "tests" if os.geteuid() == 0 else Path(tempfile.gettempdir())
        root.mkdir(mode=0o755, parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix="rastro-faults-", dir=root))
        self._folder.chmod(0o755)
        self._program = make(self._folder / "server")
        self._log = (self._folder / "server.log").open("ab")
        self._process: subprocess.Popen[bytes] | None = None
        self.url = self._program.url

    def start(self) -> None:
        """Return once it answers. What a killed PostgreSQL leaves may keep the next one from starting for a moment."""
        end = time.monotonic() + _LIMIT_S
        while True:
            self._process = servers.start_child(self._program, log=self._log.fileno())
            try:
                return servers.wait_until_up(self._program, self._process, limit=_LIMIT_S)
            except servers.ServerError:
                self.kill()
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)

    def stop(self) -> None:
        """As an operator does."""
        self._end([], self._program.stop_signal)

    def kill(self) -> None:
        """SIGKILL to all of its processes, as when the machine loses its power."""
        self._end(self._sessions(), signal.SIGKILL)

    @contextmanager
    def away(self, end: Callable[["Server"], None] = kill) -> Iterator[None]:
        """It is gone within the block. It comes back where that fails as well: a killed PostgreSQL leaves shared memory
        that the next start removes."""
        end(self)
        try:
            yield
        finally:
            self.start()

    def close(self) -> None:
        """Gone for ever, with its data."""
        self._end([], signal.SIGQUIT if self._program.name == "postgres" else signal.SIGKILL)
        self._log.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _sessions(self) -> list[int]:
        """PostgreSQL's processes beside the first one, which would finish their statements without it."""
        if self._program.name != "postgres":
            return []
        try:
            with psycopg.connect(self.url, connect_timeout=5) as connection:
                return [pid for (pid,) in connection.execute("select pid from pg_stat_activity")]
        except psycopg.OperationalError:
            return []

    def _end(self, others: Sequence[int], signum: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(signum)
        for pid in others:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signum)
        self._process.wait(timeout=_LIMIT_S)
        self._process = None


@contextmanager
def private(make: Callable[[Path], servers.Program]) -> Iterator[Server]:
    """A started server for the length of the block."""
    server = Server(make)
    try:
        server.start()
        yield server
    finally:
        server.close()
