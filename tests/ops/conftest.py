"""`./rastro up` for tests: started as a person would, on free ports and in a folder of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from core.ops import servers

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 120.0


class Up:
    """One `rastro up` over a data folder; it can be stopped, killed and started again."""

    def __init__(self, data: Path, **environ: str) -> None:
        self.data = data
        self.output = data.parent / "output"
        self.process: subprocess.Popen[bytes] | None = None
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        ours = {"RASTRO_NO_VENV": "1", "LOGIN_RATE": "0", "TRACKER_PROCESSES": "2", "DRAIN_HOLD": "0.1"}
        self.environ = {**kept, **ours, **environ}

    def start(self, *words: str) -> "Up":
        """Start on free ports and return once it is ready."""
        self.begin(*words)
        self.wait_until(lambda: self.ready_file.exists() and "Rastro is ready" in self.said)
        return self

    def begin(self, *words: str) -> None:
        """Start without waiting. `words` come after the free ports, and win over them."""
        command = ["up", "--data", str(self.data), "--admin-port", "0", "--tracker-port", "0", *words]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "rastro"), *command],
                cwd=self.data.parent,
                env=self.environ,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Another command on the same data folder."""
        return subprocess.run(
            [sys.executable, str(ROOT / "rastro"), *words, "--data", str(self.data)],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=LIMIT,
        )

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal, wait for the end and return the exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(LIMIT)

    def wait_until(self, done: Callable[[], bool]) -> None:
        """Wait with a generous limit; fails with what `up` said when it ends meanwhile."""
        assert self.process is not None
        deadline = time.monotonic() + LIMIT
        while not done():
            assert self.process.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)

    @property
    def ready_file(self) -> Path:
        return self.data / "ready.json"

    @property
    def ready(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.ready_file.read_text())
        return found

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name, as the ready file has them now."""
        return {process["name"]: process["pid"] for process in self.ready["processes"]}

    @property
    def said(self) -> str:
        return self.output.read_text(errors="replace")

    def family(self) -> set[int]:
        """Every process that descends from this `up`, itself left out."""
        assert self.process is not None
        return descendants(self.process.pid)


def descendants(pid: int) -> set[int]:
    """Process ids of all children of `pid`, theirs included."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(child): int(parent) for child, parent in (line.split() for line in listed.splitlines())}
    found: set[int] = set()
    while True:
        more = {child for child, parent in parents.items() if parent in {pid, *found}} - found
        if not more:
            return found
        found |= more


def is_alive(pid: int) -> bool:
    """True while the process runs; a dead one that nobody has waited for does not."""
    listed = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True
    ).stdout.strip()
    return bool(listed) and not listed.startswith("Z")


def make_place() -> Path:
    """A folder for data that the server user can reach, as `up` would find it in an ordinary clone."""
    root = servers.SHARED_ROOT / "tests" if os.geteuid() == 0 else Path(tempfile.gettempdir())
    root.mkdir(parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="up-", dir=root))
    place.chmod(0o755)
    return place


@pytest.fixture
def place() -> Iterator[Path]:
    """An empty folder for data, removed afterwards."""
    path = make_place()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def up() -> Iterator[Up]:
    """A running `up`, shared by the tests of a module: they leave it running and healthy."""
    path = make_place()
    up = Up(path / "var")
    try:
        yield up.start()
    finally:
        up.stop()
        shutil.rmtree(path, ignore_errors=True)
