"""Programs that are looked after: started, told about, started again, stopped in order, never left behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from core.ops.commands import CommandFailed
from core.ops.supervisor import Service, StopSignals, Supervisor, rotate

ROOT = Path(__file__).resolve().parents[2]
_ON_TERM = (
    "import signal, time; signal.signal(signal.SIGTERM, {}); print('here', flush=True); time.sleep(600)"
)
PATIENT = _ON_TERM.format("lambda *_: exit(0)")
STUBBORN = _ON_TERM.format("signal.SIG_IGN")
BROKEN = "print('the disk is on fire'); raise SystemExit(7)"
PARENT = (
    "import subprocess, sys, time; child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']);"
    "print('child', child.pid, flush=True); time.sleep(600)"
)


class Stage:
    """A supervisor with what it said and how to wait for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.signals = StopSignals()
        self.supervisor = Supervisor(logs=folder, say=self.said.append, signals=self.signals)

    def service(self, name: str, code: str, *, ready: str = "here", stop_limit: float = 20.0) -> Service:
        return Service(
            name=name,
            argv=(sys.executable, "-c", code),
            env={"PATH": os.defpath},
            cwd=self.folder,
            is_ready=lambda: ready in self.log(name),
            stop_limit=stop_limit,
        )

    def log(self, name: str) -> str:
        path = self.folder / f"{name}.log"
        return path.read_text() if path.exists() else ""

    def pid(self, name: str) -> int:
        return dict(self.supervisor.processes())[name]

    def run_until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not done():
            assert time.monotonic() < deadline, self.said
            self.supervisor._tend()
            time.sleep(0.02)


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    stage.signals.count = 2
    stage.supervisor.stop_all()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return not Path(f"/proc/{pid}/stat").exists() or Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_it_starts_again_what_died_and_says_why(stage: Stage) -> None:
    stage.supervisor.start(stage.service("worker", PATIENT))
    assert stage.supervisor.wait_ready(["worker"], limit=30)
    first = stage.pid("worker")
    os.kill(first, signal.SIGKILL)
    stage.run_until(lambda: stage.supervisor.processes() != [] and stage.pid("worker") != first)
    assert len(stage.said) == 1
    assert stage.said[0].startswith(
        f"worker (process {first}) was ended by SIGKILL. Starting it again in 0.5 s."
    )
    assert "here" in stage.said[0]


def test_it_gives_up_a_start_when_a_program_keeps_ending_and_shows_its_last_words(stage: Stage) -> None:
    stage.supervisor.start(stage.service("manager", BROKEN))
    with pytest.raises(CommandFailed, match=r"manager keeps ending(.|\n)*the disk is on fire"):
        stage.supervisor.wait_ready(["manager"], limit=60)
    delays = [said.split("again in ")[1].split(" ")[0] for said in stage.said]
    assert delays == ["0.5", "1", "2"]


def test_it_gives_up_waiting_for_a_program_that_stays_silent(stage: Stage) -> None:
    stage.supervisor.start(stage.service("manager", PATIENT, ready="never said"))
    with pytest.raises(CommandFailed, match="gave no answer within 1 seconds"):
        stage.supervisor.wait_ready(["manager"], limit=1)


def test_it_stops_waiting_when_it_is_told_to_stop(stage: Stage) -> None:
    stage.supervisor.start(stage.service("manager", PATIENT, ready="never said"))
    stage.signals.count = 1
    assert not stage.supervisor.wait_ready(["manager"], limit=60)


def test_it_stops_the_latest_first(stage: Stage, tmp_path: Path) -> None:
    order = tmp_path / "order"
    for name in ("postgres", "valkey", "worker"):
        code = (
            "import signal, time\n"
            f"def stop(*_):\n    open({str(order)!r}, 'a').write('{name} ')\n    raise SystemExit\n"
            "signal.signal(signal.SIGTERM, stop); print('here', flush=True); time.sleep(600)"
        )
        stage.supervisor.start(stage.service(name, code))
    stage.supervisor.wait_ready(["postgres", "valkey", "worker"], limit=30)
    stage.supervisor.stop_all()
    assert order.read_text().split() == ["worker", "valkey", "postgres"]
    assert stage.supervisor.processes() == []


def test_it_kills_what_does_not_stop(stage: Stage) -> None:
    stage.supervisor.start(stage.service("worker", STUBBORN, stop_limit=0.2))
    stage.supervisor.wait_ready(["worker"], limit=30)
    pid = stage.pid("worker")
    stage.supervisor.stop(["worker"])
    assert not is_alive(pid)
    assert stage.said == ["worker does not stop; killing it."]


def test_it_leaves_no_grandchild_of_a_program_that_was_killed(stage: Stage) -> None:
    stage.supervisor.start(stage.service("manager", PARENT, ready="child"))
    stage.supervisor.wait_ready(["manager"], limit=30)
    grandchild = int(stage.log("manager").split()[1])
    os.kill(stage.pid("manager"), signal.SIGKILL)
    stage.run_until(lambda: not is_alive(grandchild))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of this system can not do it")
def test_it_takes_its_programs_along_when_it_is_killed(tmp_path: Path) -> None:
    code = f"""
import sys, time
from pathlib import Path
from core.ops.supervisor import Service, StopSignals, Supervisor
folder = Path({str(tmp_path)!r})
supervisor = Supervisor(logs=folder, say=print, signals=StopSignals())
for name in ("one", "two"):
    supervisor.start(Service(name, (sys.executable, "-c", {STUBBORN!r}), {{}}, folder, lambda: True))
print(*(pid for _, pid in supervisor.processes()), flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pids = [int(word) for word in parent.stdout.readline().split()]
    assert len(pids) == 2
    assert all(is_alive(pid) for pid in pids)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not any(is_alive(pid) for pid in pids))


def test_it_keeps_a_few_old_logs(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with log.open("a") as writer:  # as the program holds it
        for turn in range(5):
            writer.write(f"turn {turn}\n" * 20)
            writer.flush()
            rotate(log, limit=100, keep=3)
        writer.write("the end\n")
    assert log.read_text() == "the end\n"
    assert [(tmp_path / f"worker.log.{number}").read_text()[:6] for number in (1, 2, 3)] == [
        "turn 4",
        "turn 3",
        "turn 2",
    ]
    assert not (tmp_path / "worker.log.4").exists()
