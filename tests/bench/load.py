"""Load on one port: wrk where it is installed, else a client of our own that is slower than what it measures."""

import asyncio
import itertools
import re
import resource
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = Path(__file__).with_name("visitors.lua")
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}
_PIPELINED = 50
_A_CONNECTION = 5000


@dataclass(frozen=True, slots=True)
class Load:
    """Requests that are sent in turn, and the file in which wrk reads them."""

    requests: Sequence[bytes]
    file: Path

    @classmethod
    def written(cls, file: Path, requests: Sequence[bytes]) -> "Load":
        """Put the requests into `file`."""
        file.write_bytes(b"\0".join(requests))
        return cls(requests, file)


@dataclass(frozen=True, slots=True)
class Round:
    """What one round gave; times in milliseconds, `cpu` in seconds of the client's own. `failed`: answers that
    were neither 2xx nor 3xx, broken connections."""

    per_second: float
    p50: float
    p99: float
    answered: int
    failed: int
    cpu: float


def client_name() -> str:
    """Which client measures on this machine."""
    return "wrk" if shutil.which("wrk") else "a client in Python (install wrk for real figures)"


def run_round(port: int, load: Load, *, connections: int, seconds: float) -> Round:
    """Ask over and over on so many connections that stay open, each as soon as it has its answer."""
    if shutil.which("wrk"):
        return _wrk(port, load, connections, seconds)
    return asyncio.run(_python(port, load, connections, seconds))


def ask_each(port: int, requests: Sequence[bytes]) -> None:
    """Ask once for each, pipelined, as fast as it goes. Raises ValueError when an answer is no redirect."""
    for first in range(0, len(requests), _A_CONNECTION):
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            part = requests[first : first + _A_CONNECTION]
            for start in range(0, len(part), _PIPELINED):
                lot = part[start : start + _PIPELINED]
                connection.sendall(b"".join(lot))
                _redirects(connection, len(lot))


def _redirects(connection: socket.socket, number: int) -> None:
    """Read so many answers; a redirect of a tracker has no body."""
    heard = b""
    while heard.count(b"\r\n\r\n") < number:
        data = connection.recv(65536)
        if not data:
            raise ValueError("the connection was closed before all was answered")
        heard += data
    if heard.count(b"HTTP/1.1 302 ") != number:
        raise ValueError(f"not every answer was a redirect: {heard[:200]!r}")


def _wrk(port: int, load: Load, connections: int, seconds: float) -> Round:
    words = [
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{max(1, round(seconds))}s",
        "--latency",
        "-s",
        str(_SCRIPT),
    ]
    before = _cpu_of_children()
    command = [*words, f"http://127.0.0.1:{port}/", "--", str(load.file)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    cpu = _cpu_of_children() - before
    errors = [
        int(number)
        for line in re.findall(r"Socket errors: (.*)", shown)
        for number in re.findall(r"\d+", line)
    ]
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", shown)
    return Round(
        per_second=float(_found(r"Requests/sec:\s+([\d.]+)", shown)),
        p50=_milliseconds(_found(r"(?m)^\s+50%\s+(\S+)", shown)),
        p99=_milliseconds(_found(r"(?m)^\s+99%\s+(\S+)", shown)),
        answered=int(_found(r"(\d+) requests in", shown)),
        failed=sum(errors) + (int(refused[1]) if refused else 0),
        cpu=cpu,
    )


def _cpu_of_children() -> float:
    """Of those that have ended: the programs that are measured still run."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise ValueError(f"wrk said nothing of {pattern!r}:\n{text}")
    return match[1]


def _milliseconds(text: str) -> float:
    match = re.fullmatch(r"([\d.]+)(us|ms|s)", text)
    if match is None:
        raise ValueError(f"not a time: {text}")
    return float(match[1]) * _UNITS[match[2]]


async def _python(port: int, load: Load, connections: int, seconds: float) -> Round:
    requests = itertools.cycle(load.requests)
    took: list[float] = []
    failed = 0
    used = time.process_time()
    deadline = time.monotonic() + seconds

    async def visitor() -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            while (start := time.monotonic()) < deadline:
                writer.write(next(requests))
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                await reader.readexactly(int(length[1]) if length else 0)
                took.append((time.monotonic() - start) * 1000)
                failed += head[9:10] not in (b"2", b"3")
        except (OSError, asyncio.IncompleteReadError):
            failed += 1
        finally:
            writer.close()

    await asyncio.gather(*(visitor() for _ in range(connections)))
    took.sort()
    cpu = time.process_time() - used
    if not took:
        return Round(0.0, 0.0, 0.0, 0, failed, cpu)
    p50, p99 = took[len(took) // 2], took[len(took) * 99 // 100]
    return Round(len(took) / seconds, p50, p99, len(took), failed, cpu)
