"""Load on one address: wrk where it is installed, else a client of our own that is slower than what it measures."""

import asyncio
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

BROWSER = {
    "User-Agent": "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 Chrome/142.0.0.0 Mobile Safari/537.36",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Accept-Language": "pt-BR,pt;q=0.9,en-US;q=0.8,en;q=0.7",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Referer": "https://l.instagram.com/",
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "cross-site",
    "Upgrade-Insecure-Requests": "1",
}
"""What a browser sends; as few headers as a test tool sends would flatter whoever reads them slowly."""

_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True, slots=True)
class Round:
    """What one round gave; times in milliseconds. `failed`: answers that were no redirect, broken connections."""

    per_second: float
    p50: float
    p99: float
    answered: int
    failed: int


def client_name() -> str:
    """Which client measures on this machine."""
    return "wrk" if shutil.which("wrk") else "a client in Python (install wrk for real figures)"


def run_round(url: str, *, connections: int, seconds: float) -> Round:
    """Ask for `url` over and over on so many connections that stay open."""
    if shutil.which("wrk"):
        return _wrk(url, connections, seconds)
    return asyncio.run(_python(url, connections, seconds))


def _wrk(url: str, connections: int, seconds: float) -> Round:
    duration = f"{max(1, round(seconds))}s"
    headers = [word for name, value in BROWSER.items() for word in ("-H", f"{name}: {value}")]
    command = ["wrk", "-t1", f"-c{connections}", f"-d{duration}", "--latency", *headers, url]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
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
    )


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


async def _python(url: str, connections: int, seconds: float) -> Round:
    parts = urlsplit(url)
    headers = "".join(f"{name}: {value}\r\n" for name, value in {"Host": parts.netloc, **BROWSER}.items())
    request = f"GET {parts.path} HTTP/1.1\r\n{headers}\r\n".encode()
    took: list[float] = []
    failed = 0
    deadline = time.monotonic() + seconds

    async def visitor() -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            while (start := time.monotonic()) < deadline:
                writer.write(request)
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                await reader.readexactly(int(length[1]) if length else 0)
                took.append((time.monotonic() - start) * 1000)
                failed += b" 302 " not in head.partition(b"\r\n")[0]
        except (OSError, asyncio.IncompleteReadError):
            failed += 1
        finally:
            writer.close()

    await asyncio.gather(*(visitor() for _ in range(connections)))
    took.sort()
    if not took:
        return Round(0.0, 0.0, 0.0, 0, failed)
    return Round(len(took) / seconds, took[len(took) // 2], took[len(took) * 99 // 100], len(took), failed)
