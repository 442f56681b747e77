"""What fault tests are made of: a private Valkey to maltreat, trackers as processes, and visitors who keep count."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from core.contracts import click_event
from core.ops import servers
from tests.tracker_quart.conftest import CHROME, Publisher
from tracker_quart.answered import SUFFIX, hours_in
from tracker_quart.segment import Segment

LIMIT_S = 60.0
ROOT = Path(__file__).resolve().parents[2]


def wait_until(true: Callable[[], object], what: str) -> None:
    """Poll until `true()`; a generous limit, so that only something that never comes fails."""
    deadline = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < deadline, f"never: {what}"
        time.sleep(0.02)


class Valkey:
    """A server of this test alone. It keeps its data over `kill` and `start`."""

    def __init__(self, folder: Path) -> None:
        self._program = servers.valkey_program(folder)
        self._log = (folder / "log").open("ab")
        self._process: subprocess.Popen[bytes] | None = None
        self.url = self._program.url
        self.start()
        self._speak()

    @property
    def socket(self) -> Path:
        """Where it is spoken to."""
        return Path(self.url.removeprefix("unix://"))

    def start(self) -> None:
        self._process = servers.start_child(self._program, log=self._log.fileno())
        servers.wait_until_up(self._program, self._process, limit=LIMIT_S)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """As an operator does."""
        self._end(signal.SIGTERM)

    def hang(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def move_to(self, address: Path) -> None:
        """From now on whoever connects to `address` meets this server. Old connections there stay what they are."""
        self.socket.replace(address)
        self.url = f"unix://{address}"
        self.client.close()
        self._speak()

    def close(self) -> None:
        self.kill()
        self.client.close()
        self._log.close()

    def numbers(self) -> Counter[str]:
        """How often the click of each numbered visit is in the stream."""
        return Counter(click.query.partition("&")[0] for click in self.publisher.clicks())

    def ids(self) -> list[bytes]:
        return [click.id for click in self.publisher.clicks()]

    def _speak(self) -> None:
        self.client: redis.Redis[Any] = redis.Redis.from_url(self.url, retry=Retry(NoBackoff(), 0))
        self.publisher = Publisher(self.client)

    def _end(self, signum: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(signum)
            self._process.wait(timeout=LIMIT_S)
            self._process = None


class Trackers:
    """Processes that share one listening socket, as under `rastro up`."""

    def __init__(self, folder: Path, redis_url: str, *, count: int = 1, **settings: str) -> None:
        self.spool = folder / "spool"
        self.log = folder / "tracker.log"
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "REDIS_URL": redis_url,
            "TRACKER_FD": str(self._socket.fileno()),
            "DEFAULT_HOSTS": f"127.0.0.1:{self.port}",
            "SPOOL_DIR": str(self.spool),
            "METRICS_PORT": "0",
            "DRAIN_HOLD": "1",
            "DRAIN_LIMIT": "20",
            **settings,
        }
        self.processes: list[subprocess.Popen[bytes]] = []
        self.killed = False
        self._metrics_ports: list[int] = []
        for _ in range(count):
            self.start()

    def start(self) -> None:
        """One more process."""
        with self.log.open("ab") as log:
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "tracker_quart"],
                    env=self._environment,
                    cwd=ROOT,
                    stderr=log,
                    pass_fds=(self._socket.fileno(),),
                )
            )
        wait_until(lambda: self.logged("tracker.ready") >= len(self.processes), "tracker ready")
        said = [json.loads(line) for line in self.log.read_text().splitlines() if "tracker.metrics" in line]
        self._metrics_ports.append(said[-1]["port"])

    def logged(self, words: str) -> int:
        return self.log.read_text().count(words)

    def get(self, path: str) -> tuple[int, str]:
        """Status and body (of a redirect: its location)."""
        status, headers, body = self.answer(path)
        return status, headers.get("location") or body

    def answer(self, path: str) -> tuple[int, Message, str]:
        """Status, headers and body."""
        opener = urllib.request.build_opener(_NoRedirect)
        request = urllib.request.Request(self.url + path, headers={"User-Agent": CHROME})
        try:
            with opener.open(request, timeout=LIMIT_S) as answer:
                return answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as answer:
            with answer:
                return answer.code, answer.headers, answer.read().decode()

    @property
    def alive(self) -> list[bool]:
        """Of each process that was ever started."""
        return [process.poll() is None for process in self.processes]

    def metric(self, name: str) -> float:
        """The sum of a metric over the processes that live, as `name{label="x"}`."""
        return sum(self.metrics(name))

    def metrics(self, name: str) -> list[float]:
        """The metric of each process that lives."""
        values = []
        for port, alive in zip(self._metrics_ports, self.alive, strict=True):
            if alive:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=LIMIT_S) as answer:
                    found = re.search(rf"^{re.escape(name)} (\S+)$", answer.read().decode(), re.M)
                values.append(float(found[1]) if found else 0.0)
        return values

    def kill(self, number: int) -> None:
        """SIGKILL to one of `processes`: the requests that it holds are cut."""
        self.killed = True
        self.processes[number].kill()
        self.processes[number].wait()

    def drain(self, number: int) -> int:
        """SIGTERM to one of `processes`; its exit code."""
        self.processes[number].send_signal(signal.SIGTERM)
        return self.processes[number].wait(timeout=LIMIT_S)

    def stop(self) -> list[int]:
        """SIGTERM to all; their exit codes."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        return [process.wait(timeout=LIMIT_S) for process in self.processes]

    def spooled(self) -> Counter[str]:
        """How often the click of each numbered visit is on disk. Only once the processes are gone."""
        found: Counter[str] = Counter()
        for path in self.spool.glob("*.spool"):
            segment = Segment.adopt(path)
            assert segment is not None
            clicks, _ = segment.read()
            segment.release()
            found.update(click_event.decode(click.data).query for click in clicks)
        return found

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        self._socket.close()


@dataclass
class Visitors:
    """Visits of a numbered query each, over keep-alive connections, until the scenario ends.

    With `stay` everybody comes anew after so many visits, so that each of several processes gets to see them. Who gets
    the status `hopes` is answered.
    """

    port: int
    path: str = "/sale"
    padding: str = ""
    reconnect: bool = True
    stay: int | None = None
    hopes: int = 302
    answered: set[str] = field(default_factory=set)
    statuses: Counter[int] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    connections: int = 0
    stopping: bool = False
    _next: int = 0

    @property
    def unanswered(self) -> set[str]:
        """Visits that got no answer, or another one than they hoped for."""
        return {f"n={number}" for number in range(1, self._next + 1)} - self.answered

    async def visit(self, connections: int, scenario: Callable[[], Awaitable[None]]) -> None:
        """Keep `connections` busy while `scenario` runs."""
        self.connections = connections
        tasks = [asyncio.create_task(self._person()) for _ in range(connections)]
        try:
            await scenario()
        finally:
            self.stopping = True
            await asyncio.gather(*tasks)

    async def answers(self, more: int) -> None:
        """Return after so many further answers."""
        goal = sum(self.statuses.values()) + more
        deadline = time.monotonic() + LIMIT_S
        while sum(self.statuses.values()) < goal:
            assert time.monotonic() < deadline, (self.statuses, self.failed[:3])
            await asyncio.sleep(0.01)

    async def _person(self) -> None:
        while not self.stopping:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            except OSError as error:
                self.failed.append(f"connect: {error}")
                await asyncio.sleep(0.05)
                continue
            try:
                await self._talk(reader, writer)
            except (OSError, asyncio.IncompleteReadError) as error:
                self.failed.append(repr(error))
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
            if not self.reconnect:
                return

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visits = 0
        while not self.stopping and visits != self.stay:
            visits += 1
            self._next += 1
            number = f"n={self._next}"
            writer.write(
                f"GET {self.path}?{number}{self.padding} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
                f"User-Agent: {CHROME}\r\n\r\n".encode()
            )
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            status = int(head.split(" ", 2)[1])
            length = re.search(r"content-length: (\d+)", head)
            assert length is not None
            await reader.readexactly(int(length[1]))
            self.statuses[status] += 1
            if status == self.hopes:
                self.answered.add(number)
            if "connection: close" in head:
                return


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


@contextlib.contextmanager
def rig(folder: Path, *, count: int = 1, **settings: str) -> Iterator[tuple[Valkey, Trackers]]:
    """A Valkey with the world in it, and trackers over it; both end with the block."""
    (folder / "valkey").mkdir()
    valkey = Valkey(folder / "valkey")
    try:
        valkey.publisher.world()
        trackers = Trackers(folder, valkey.url, count=count, **settings)
        try:
            yield valkey, trackers
        finally:
            trackers.close()
    finally:
        valkey.close()


def answered_in(folder: Path) -> dict[str, dict[int, int]]:
    """By process, living or not, the clicks that it answered, by hour since 1970."""
    return {path.stem: hours_in(path.read_bytes()) or {} for path in folder.glob(f"*{SUFFIX}")}
