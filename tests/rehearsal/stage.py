"""The cluster of one rehearsal: both servers, the four Deployments, a link that leads somewhere, and its visitors."""

import asyncio
import itertools
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import redis.asyncio

from core.child import die_with_parent
from core.contracts import keys
from core.ops import servers
from tests.faults.programs import private
from tests.manifests.cluster import SECRETS, cluster
from tests.manifests.render import ROOT
from tests.rehearsal.controllers import Deployment
from tests.rehearsal.kubelet import Kubelet, Say, exchange, status_of
from tests.rehearsal.specs import deployment, job
from tests.rehearsal.visitors import Crowd

OVERLAY = cluster("overlays/eks")
TRACKER, MANAGER, WORKER, TRACK = "deploy-tracker", "deploy-manager", "deploy-worker", "deploy-worker-track"

_LINK_HOST, _STAFF_HOST = "go.example.com", "app.example.com"
_SLUG = "black-friday"
_AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"
_NEW_SHARE = 0.1
"""Of redirects, how many come on a connection of their own."""


@dataclass(slots=True)
class Stage:
    """What runs, and how it is reached."""

    kubelet: Kubelet
    deployments: dict[str, Deployment]
    redis_url: str
    database_url: str
    client: "redis.asyncio.Redis"
    say: Say

    async def command(self, *words: str) -> str:
        """What a command of `rastro` prints, run in a pod like the manager's. Raises AssertionError when it fails."""
        pod = replace(self.deployments[MANAGER].spec.pod, name=words[0], words=("rastro", *words))
        status, printed = await self.kubelet.run_to_end(pod)
        assert status == 0, printed
        return printed.strip()

    async def length(self, stream: str) -> int:
        """Entries of a stream: those that wait and those in a worker's hands."""
        return int(await self.client.xlen(stream))

    async def stored(self) -> bool:
        """Whether no click waits."""
        return await self.length(keys.stream("track")) == 0

    async def feed(self, clicks: int) -> None:
        """Put further clicks into the stream, by a process of their own. Raises AssertionError when it fails."""
        parent = os.getpid()
        feeder = subprocess.Popen(
            [sys.executable, "-m", "tests.rehearsal.backlog", str(clicks)],
            cwd=ROOT,
            env={"PYTHONPATH": str(ROOT), "REDIS_URL": self.redis_url},
            preexec_fn=lambda: die_with_parent(parent),
        )
        try:
            assert await status_of(feeder, within=600) == 0
        finally:
            feeder.kill()
            feeder.wait()


@asynccontextmanager
async def stage(folder: Path, say: Say) -> AsyncIterator[Stage]:
    """Everything ready, each Deployment at the floor of its autoscaler. All is gone after the block."""
    _compile()
    with ExitStack() as stack:
        postgres = stack.enter_context(private(servers.postgres_program))
        # As ElastiCache, which waits for no disk before it acknowledges.
        valkey = stack.enter_context(private(partial(servers.valkey_program, durable=False)))
        secrets = {
            "DATABASE_URL": postgres.url,
            "REDIS_URL": valkey.url,
            "SECRET_KEY": SECRETS["SECRET_KEY"],
        }
        async with Kubelet(folder).at_work() as kubelet, redis.asyncio.Redis.from_url(valkey.url) as client:
            migrate, limit = job(OVERLAY, "migrate", secrets)
            assert (await kubelet.run_to_end(migrate, within=limit))[0] == 0
            say("the Job migrate is done")
            deployments = {
                name: Deployment(deployment(OVERLAY, name, secrets), kubelet)
                for name in (TRACKER, MANAGER, WORKER, TRACK)
            }
            for one in deployments.values():
                one.scale(one.spec.least)
            for name, one in deployments.items():
                await one.is_ready()
                say(f"{name}: {one.spec.least} ready")
            yield Stage(kubelet, deployments, valkey.url, postgres.url, client, say)


async def make_a_link(at: Stage) -> tuple[str, int]:
    """A domain, a key and a link, as people make them. Returns the key once every tracker has redirected from the link,
    and how many redirects that were."""
    await at.command("domain", "add", _LINK_HOST, "--default")
    key = await at.command("key", "create", "--name", "rehearsal", "--role", "marketer")
    body = json.dumps({"url": "https://www.example.com/black-friday", "slug": _SLUG}).encode()
    made = _request("POST", "/api/v1/links", _STAFF_HOST, key=key, body=body)
    (port, *_) = at.deployments[MANAGER].ports("http")
    assert await exchange(port, made) == 201
    trackers = at.deployments[TRACKER].ports("http")
    for port in trackers:
        await until(partial(_leads_on, port))
    return key, len(trackers)


def crowds(
    at: Stage, *, redirects: float, people: int, staff: float, key: str
) -> tuple[list[Crowd], list[Crowd]]:
    """Those who follow the link, and those who look at the manager's pages: requests a second."""
    numbers, pages = itertools.count(1), itertools.count(1)
    links = at.deployments[TRACKER]
    visits = [
        Crowd(
            name=name,
            ports=lambda: links.ports("http"),
            request=lambda number: _request("GET", f"/{_SLUG}?n={number}", _LINK_HOST, visitor=number),
            numbers=numbers,
            expected=302,
            a_second=redirects * share,
            people=people,
            stays=stays,
        )
        for name, share, stays in (
            ("redirects, connections kept", 1 - _NEW_SHARE, True),
            ("redirects, a new connection each", _NEW_SHARE, False),
        )
    ]
    looks = [
        Crowd(
            name=name,
            ports=lambda: at.deployments[MANAGER].ports("http"),
            request=lambda number, path=path, key=key: _request(
                "GET", path, _STAFF_HOST, visitor=number, key=key
            ),
            numbers=pages,
            expected=200,
            a_second=staff / 2,
            people=4,
            stays=True,
        )
        for name, path, key in (
            ("the sign-in page", "/login", ""),
            ("the list of links, by the API", "/api/v1/links", key),
        )
    ]
    return visits, looks


async def until(
    condition: Callable[[], Awaitable[bool]], *, limit: float = 120.0, every: float = 0.2
) -> None:
    """Wait until it holds. Raises TimeoutError."""
    async with asyncio.timeout(limit):
        while not await condition():
            await asyncio.sleep(every)


def _request(
    method: str, path: str, host: str, *, visitor: int = 0, key: str = "", body: bytes = b""
) -> bytes:
    """As the load balancer passes it on."""
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: {host}",
        f"User-Agent: {_AGENT}",
        f"X-Forwarded-For: 203.0.{visitor // 250 % 250}.{visitor % 250}",
        "X-Forwarded-Proto: https",
    ]
    lines += [f"Authorization: Bearer {key}"] if key else []
    lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def _compile() -> None:
    """Make bytecode of our programs, as the image has it: a pod does not make it anew at each start."""
    folders = ("admin_flask", "core", "tasks", "tracker_quart")
    subprocess.run([sys.executable, "-m", "compileall", "-q", *folders], cwd=ROOT, check=True)


async def _leads_on(port: int) -> bool:
    return await exchange(port, _request("GET", f"/{_SLUG}", _LINK_HOST)) == 302
