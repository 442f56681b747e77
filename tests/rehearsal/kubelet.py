"""Runs pods as processes of this machine: starts them, probes them, and ends them as a kubelet does.

A pod's process has the command and environment of its manifest. Other than in a cluster it must share the machine with
its likes, so its ports are free ones, its emptyDirs lie in a folder of its own, and it listens on 127.0.0.1.
"""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from core.child import die_with_parent
from core.ops.listening import free_ports
from tests.bench.stand import cpu_seconds
from tests.manifests.render import ROOT
from tests.rehearsal.specs import NotHonoured, PodSpec, Probe

Say = Callable[[str], None]

TICK_S = 0.05
FORGOTTEN_AFTER_S = 10.0
"""How long new connections are still led to a pod that was told to end: word of it takes its time to reach every node
and load balancer. It is what preStop waits for."""

MEMORY_EVERY_S = 2.0

_PORTS = ("PORT", "METRICS_PORT")
_HERE = {
    "HOST": "127.0.0.1",
    "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath))),
    "PYTHONPATH": str(ROOT),
    "TRUSTED_PROXIES": "127.0.0.1/32",  # where the load balancer is
}
"""What the image or the overlay says of places that are elsewhere here. Nothing else of this machine's environment is
handed on."""


class Pod:
    """One pod. `ready` is what its probes say, `left_at` when it was told to end."""

    def __init__(self, name: str, spec: PodSpec, folder: Path) -> None:
        self.name, self.spec, self.folder = name, spec, folder
        self.ports = dict(zip(spec.ports, free_ports(len(spec.ports)), strict=True))
        self.ready = False
        self.left_at: float | None = None
        self.began = time.monotonic()
        self.ready_after_s = self.ended_after_s = 0.0
        self.ready_cpu_s = self.ready_mb = self.most_mb = 0.0
        self.log = folder.with_suffix(".log")
        self.process = self._start()
        self.probing: asyncio.Task[None]

    @property
    def complaints(self) -> Counter[str]:
        """What it logged above the level info: level and event, and how often. A line that is no JSON is an error."""
        return Counter(filter(None, map(_complaint, self.log.read_text(encoding="utf-8").splitlines())))

    @property
    def serves(self) -> bool:
        """Whether it counts for its Deployment's ready ones."""
        return self.ready and self.left_at is None

    @property
    def is_led_to(self) -> bool:
        """Whether a new connection may be led to it."""
        return self.ready and (self.left_at is None or time.monotonic() < self.left_at + FORGOTTEN_AFTER_S)

    def _start(self) -> "subprocess.Popen[bytes]":
        parent = os.getpid()
        self.folder.mkdir()
        with self.log.open("wb") as log:
            return subprocess.Popen(
                _here(self.spec.words),
                cwd=ROOT,
                env=environment(self.spec, self.ports, self.folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: die_with_parent(parent),
            )


@dataclass(slots=True)
class Kubelet:
    """All pods of the machine. `faults` is what must not happen in a rehearsal; `missed` are probes that failed once
    and not as often as their threshold."""

    folder: Path
    faults: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    pods: list[Pod] = field(default_factory=list)
    ended: list[Pod] = field(default_factory=list)
    placed: int = 0
    _endings: set["asyncio.Task[None]"] = field(default_factory=set)

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator["Kubelet"]:
        """Compare memory with its limits for the length of the block; no process is left after it."""
        memory = asyncio.create_task(self._watch_memory())
        try:
            yield self
        finally:
            tasks = [memory, *self._endings, *(pod.probing for pod in self.pods)]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for pod in self.pods:
                _kill(pod.process)

    def start(self, spec: PodSpec) -> Pod:
        """A new pod, and its probes."""
        pod = self._place(spec)
        self.pods.append(pod)
        pod.probing = asyncio.create_task(self._probe(pod))
        return pod

    def end(self, pod: Pod) -> None:
        """Let a pod go: it leaves the Service, and ends within its grace period, or that is a fault."""
        pod.left_at = time.monotonic()
        task = asyncio.create_task(self._end(pod))
        self._endings.add(task)
        task.add_done_callback(self._endings.discard)

    async def all_ended(self) -> None:
        """Return once nothing is on its way out."""
        if self._endings:
            await asyncio.gather(*self._endings)

    async def run_to_end(self, spec: PodSpec, *, within: float = 120) -> tuple[int, str]:
        """A pod that ends by itself, as a Job's: its status and what it printed. Raises TimeoutError."""
        pod = self._place(spec)
        try:
            status = await status_of(pod.process, within=within)
            return status, pod.log.read_text(encoding="utf-8")
        finally:
            _kill(pod.process)
            shutil.rmtree(pod.folder)

    async def _watch_memory(self) -> None:
        """Until cancelled. Pages that a pod's processes share count for each of them."""
        while True:
            used = await asyncio.to_thread(_resident_mb)
            for pod in self.pods:
                now = used.get(pod.process.pid, 0.0)
                if now > pod.spec.memory_mb >= pod.most_mb:
                    self.faults.append(f"{pod.name} has {now:.0f} MB and may have {pod.spec.memory_mb}")
                pod.most_mb = max(pod.most_mb, now)
            await asyncio.sleep(MEMORY_EVERY_S)

    def _place(self, spec: PodSpec) -> Pod:
        self.placed += 1
        name = f"{spec.name.removeprefix('deploy-')}-{self.placed}"
        return Pod(name, spec, self.folder / name)

    async def _probe(self, pod: Pod) -> None:
        """The life of a pod as its probes see it. Readiness is first asked for when the start is over."""
        if pod.spec.startup is not None and not await self._starts(pod, pod.spec.startup):
            return self.faults.append(f"{pod.name} did not start:\n{pod.log.read_text()[-2000:]}")
        loops = [self._lives(pod, pod.spec.liveness)] if pod.spec.liveness else []
        loops += [self._is_ready(pod, pod.spec.readiness)] if pod.spec.readiness else []
        await asyncio.gather(*loops)
        return None

    async def _starts(self, pod: Pod, probe: Probe) -> bool:
        for _ in range(probe.failures):
            if not await _ask(pod, probe):
                return True
            await asyncio.sleep(probe.period)
        return False

    async def _lives(self, pod: Pod, probe: Probe) -> None:
        failed = 0
        while True:
            await asyncio.sleep(probe.period)
            failed = self._count(pod, "live", failed, await _ask(pod, probe))
            if failed == probe.failures or pod.process.poll() is not None:
                return self.faults.append(f"{pod.name} would be started again")

    async def _is_ready(self, pod: Pod, probe: Probe) -> None:
        failed = 0
        while True:
            reason = await _ask(pod, probe)
            if not reason and not pod.ready:
                pod.ready = True
                pod.ready_after_s = time.monotonic() - pod.began
                pod.ready_cpu_s = cpu_seconds(pod.process.pid)
                pod.ready_mb = (await asyncio.to_thread(_resident_mb)).get(pod.process.pid, 0.0)
            if pod.ready:
                failed = self._count(pod, "ready", failed, reason)
            if failed == probe.failures:
                pod.ready, failed = False, 0
                self.faults.append(f"{pod.name} was ready and is no more: {reason}")
            await asyncio.sleep(probe.period)

    def _count(self, pod: Pod, what: str, failed: int, reason: str) -> int:
        if reason:
            self.missed.append(f"{pod.name}, {what}: {reason}")
        return failed + 1 if reason else 0

    async def _end(self, pod: Pod) -> None:
        begun = time.monotonic()
        pod.probing.cancel()
        await asyncio.gather(pod.probing, return_exceptions=True)
        await asyncio.sleep(pod.spec.pre_stop)
        pod.process.send_signal(pod.spec.stop_signal)
        left = pod.spec.grace - (time.monotonic() - begun)
        try:
            status = await status_of(pod.process, within=left)
        except TimeoutError:
            self.faults.append(f"{pod.name} was killed: it was not gone after {pod.spec.grace} s")
        else:
            if status != 0:
                self.faults.append(f"{pod.name} ended with {status}")
        _kill(pod.process)
        pod.ended_after_s = time.monotonic() - begun
        self.pods.remove(pod)
        self.ended.append(pod)
        shutil.rmtree(pod.folder)  # an emptyDir goes with its pod


def environment(spec: PodSpec, ports: dict[str, int], folder: Path) -> dict[str, str]:
    """What a pod's process is told. Raises NotHonoured when one of its ports or folders is in no setting."""
    env = {name: _HERE.get(name, value) for name, value in spec.env.items()}
    for name, number in spec.ports.items():
        told = [one for one in _PORTS if spec.env.get(one) == str(number)]
        if len(told) != 1:
            raise NotHonoured(f"{spec.name}: which setting is the port {name}?")
        env[told[0]] = str(ports[name])
    for path in spec.folders:
        own = folder / path.strip("/").replace("/", "-")
        own.mkdir(parents=True, exist_ok=True)
        told = [one for one, value in spec.env.items() if value == path]
        if path == "/tmp":
            told = ["TMPDIR"]
        if not told:
            raise NotHonoured(f"{spec.name}: which setting is the folder {path}?")
        env |= dict.fromkeys(told, str(own))
    return env


def _here(words: tuple[str, ...]) -> tuple[str, ...]:
    """`rastro` of the image is the one of this clone, run by the Python that runs this."""
    program, *rest = words
    if program != "rastro":
        raise NotHonoured(f"the image has a program {program}")
    return (sys.executable, str(ROOT / "rastro"), *rest)


async def _ask(pod: Pod, probe: Probe) -> str:
    """Why the probe fails; "" when it does not."""
    port = pod.ports[probe.port]
    request = f"GET {probe.path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
    try:
        async with asyncio.timeout(probe.timeout):
            status = await exchange(port, request.encode("ascii"))
    except TimeoutError:
        return f"no answer within {probe.timeout} s"
    except (OSError, asyncio.IncompleteReadError, ValueError) as error:
        return str(error) or type(error).__name__
    return "" if 200 <= status < 400 else f"answered {status}"


async def exchange(port: int, request: bytes) -> int:
    """The status of an answer, on a connection of its own. Raises OSError, IncompleteReadError, ValueError."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        return int(head.split(b" ", 2)[1])
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def status_of(process: "subprocess.Popen[bytes]", *, within: float) -> int:
    """Its exit status. Raises TimeoutError."""
    async with asyncio.timeout(within):
        while (status := process.poll()) is None:
            await asyncio.sleep(TICK_S)
    return status


def _complaint(line: str) -> str:
    try:
        said = json.loads(line)
        return "" if said["level"] in ("debug", "info") else f"{said['level']} {said['event']}"
    except (ValueError, KeyError):
        return f"error {line}"


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """The process and what it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _resident_mb() -> dict[int, float]:
    """By process, its resident memory and that of its children."""
    shown = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,rss="], capture_output=True, text=True, check=True)
    rows = [tuple(map(int, line.split())) for line in shown.stdout.splitlines()]
    found = {pid: rss / 1024 for pid, _, rss in rows}
    for pid, parent, rss in rows:
        if parent in found and pid != parent:
            found[parent] += rss / 1024
    return found
