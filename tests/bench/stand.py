"""Where benchmarks run: embedded servers in a folder of their own, and our programs as `rastro up` starts them."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from core.config import Settings
from core.db.migrate import migrate
from core.ops import servers

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Stand:
    """Running servers, and what our programs are told of them."""

    settings: Settings
    environment: dict[str, str]
    folder: Path
    postgres: int
    """Process id of the PostgreSQL server; its sessions are its children."""

    valkey: int
    """Process id of the Valkey server."""

    @contextmanager
    def program(
        self, *argv: str, env: dict[str, str] | None = None, core: int | None = None
    ) -> Iterator["subprocess.Popen[bytes]"]:
        """A program for the time of the block; `core` pins it, where the system can. Its log is in the folder."""
        log = (self.folder / f"{len(list(self.folder.glob('*.log')))}.log").open("ab")
        command = [*_pin(core), *argv]
        child = subprocess.Popen(
            command, cwd=ROOT, env={**self.environment, **(env or {})}, stdout=log, stderr=log
        )
        try:
            yield child
        finally:
            child.terminate()
            try:
                child.wait(timeout=20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            log.close()


@contextmanager
def stand(*, apart_from: int | None = None) -> Iterator[Stand]:
    """Start PostgreSQL and Valkey as `rastro up` does (every commit reaches the disk), migrated and empty.

    They, and this process with what it starts, leave the core `apart_from` alone, where the system has another one.
    """
    before = _leave(apart_from)
    root = servers.SHARED_ROOT / "bench" if os.geteuid() == 0 else Path(tempfile.gettempdir())
    root.mkdir(mode=0o755, parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="rastro-", dir=root))
    folder.chmod(0o755)
    with ExitStack() as stack:
        if before:
            stack.callback(os.sched_setaffinity, 0, before)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        log = stack.enter_context((folder / "servers.log").open("ab"))
        programs = (servers.postgres_program(folder / "postgres"), servers.valkey_program(folder / "valkey"))
        pids = []
        for program in programs:
            child = servers.start_child(program, log=log.fileno())
            stack.callback(_stop, child, program.stop_signal)
            servers.wait_until_up(program, child, limit=60)
            pids.append(child.pid)
        environment = {
            **{name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")},
            "PYTHONPATH": str(ROOT),
            "DATABASE_URL": programs[0].url,
            "REDIS_URL": programs[1].url,
            "SECRET_KEY": "a-secret-that-only-the-benchmark-knows-and-uses",
            "SPOOL_DIR": str(folder / "spool"),
            "LOG_FORMAT": "text",
            "TZ_DEFAULT": "America/Sao_Paulo",
            "TZ": "UTC",
        }
        settings = Settings.from_env(environment)
        migrate(settings.database_url)
        yield Stand(settings, environment, folder, *pids)


def print_table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table that can be pasted into docs/benchmarks.md."""
    print(f"\n{title}\n")
    table = [list(head), ["---"] * len(head), *map(list, rows)]
    widths = [max(len(row[place]) for row in table) for place in range(len(head))]
    for row in table:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")
    sys.stdout.flush()


def memory_mb(pid: int) -> float:
    """Resident memory of a process."""
    shown = subprocess.run(["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True)
    return int(shown.stdout) / 1024


def cpu_seconds(pid: int) -> float:
    """Processor time that a process and its children, as far as they run now, have used; 0 where there is no /proc."""
    ticks = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if stat.parent.name == str(pid) or fields[1] == str(pid):
            ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def wait_until(done: Callable[[], bool], *, limit: float, what: str) -> None:
    """Return once `done()`; raises TimeoutError after `limit` seconds."""
    deadline = time.monotonic() + limit
    while not done():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not happen within {limit:.0f} seconds")
        time.sleep(0.02)


def _leave(core: int | None) -> set[int]:
    """Keep off a core; the cores that were allowed before, or none when nothing was changed."""
    if core is None or sys.platform != "linux":
        return set()
    before = os.sched_getaffinity(0)
    if before - {core}:
        os.sched_setaffinity(0, before - {core})
    return before


def _pin(core: int | None) -> list[str]:
    usable = sys.platform == "linux" and shutil.which("taskset") is not None
    return ["taskset", "-c", str(core)] if core is not None and usable else []


def _stop(child: "subprocess.Popen[bytes]", stop_signal: int) -> None:
    child.send_signal(stop_signal)
    try:
        child.wait(timeout=30)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
