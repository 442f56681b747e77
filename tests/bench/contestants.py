"""Programs that redirect, each on a port of its own and all on the same core, and how they are started."""

import http.client
import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

import psycopg
import redis

from core.ops.listening import free_ports
from tests.bench import links, nginx_redirect
from tests.bench.stand import Stand
from tests.tasks.mmdb import write_countries

CORE = 0
"""The core that the programs share; everything else stays off it."""

_CODES = ("AR", "BR", "CL", "CO", "DE", "ES", "FR", "GB", "IN", "IT", "MX", "PE", "PT", "US")


@dataclass(frozen=True, slots=True)
class Contestant:
    """A program that redirects on `port`, and where a tracker shows its metrics. It is asked as `host`."""

    name: str
    host: str
    port: int
    pid: int
    metrics_port: int = 0

    def get(self, path: str) -> http.client.HTTPResponse | None:
        """Its answer, or None while it does not listen."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path, headers={"Host": self.host})
            return connection.getresponse()
        except OSError:
            return None
        finally:
            connection.close()

    def redirects(self, path: str) -> bool:
        """True when it leads somewhere from there."""
        answer = self.get(path)
        return answer is not None and answer.status == 302 and bool(answer.getheader("Location"))


def start_tracker(stand: Stand, stack: ExitStack, name: str, *, host: str, **more: str) -> Contestant:
    """A tracker behind a load balancer, with `more` in its environment. It does not yet answer."""
    port, metrics_port = free_ports(2)
    environment = {
        "PORT": str(port),
        "METRICS_PORT": str(metrics_port),
        "HOST": "127.0.0.1",
        "DEFAULT_HOSTS": host,
        "TRUSTED_PROXIES": "127.0.0.1/32",
        "GEOIP_MMDB": _countries(stand),
        **more,
    }
    words = (sys.executable, "-m", "tracker_quart")
    child = stack.enter_context(stand.program(*words, env=environment, core=CORE))
    return Contestant(name, host, port, child.pid, metrics_port)


def start_nginx(stand: Stand, stack: ExitStack, client: "redis.Redis[Any]") -> Contestant | None:
    """nginx with Lua, where it is installed; it knows the plain link alone."""
    if not nginx_redirect.is_installed():
        return None
    (port,) = free_ports(1)
    client.set(nginx_redirect.LINK + links.PLAIN.removeprefix("/"), links.TARGET)
    words = nginx_redirect.command(stand.folder / "nginx", port=port, redis_url=stand.settings.redis_url)
    child = stack.enter_context(stand.program(*words, core=CORE))
    return Contestant(
        "nginx + Lua + Redis, GET and LPUSH in one round trip", "nginx.bench.example", port, child.pid
    )


def start_flask(stand: Stand, stack: ExitStack) -> Contestant:
    """Flask on gunicorn, eight threads; it knows the plain link alone."""
    with psycopg.connect(stand.environment["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("create table plain_links (id bigint primary key, slug text unique, url text)")
        connection.execute(
            "create table plain_visits (id bigint generated always as identity primary key, link_id bigint, "
            "at timestamptz, ip inet, user_agent text, referrer text)"
        )
        slug = links.PLAIN.removeprefix("/")
        connection.execute("insert into plain_links values (1, %s, %s)", (slug, links.TARGET))
    (port,) = free_ports(1)
    words = ("-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--worker-class", "gthread", "--threads", "8")
    words = (*words, "--keep-alive", "60", "tests.bench.plain_redirect:create_app()")
    child = stack.enter_context(stand.program(sys.executable, *words, core=CORE))
    return Contestant("Flask + gunicorn, a row inserted per click", "flask.bench.example", port, child.pid)


def _countries(stand: Stand) -> str:
    """A file of some 360,000 networks: of the blocks of 65,536 addresses a quarter has no country, a half lies in one,
    and a quarter is parted among many, a fifth of that in networks of 1,024 addresses."""
    path = stand.folder / "countries.mmdb"
    if not path.exists():
        write_countries(path, _networks(random.Random(5)))
    return str(path)


def _networks(rng: random.Random) -> Iterator[tuple[IPv4Network, dict[str, Any]]]:
    for block in range(1 << 24, 224 << 24, 1 << 16):
        (size,) = rng.choices((None, 16, 20, 22), (25, 50, 20, 5))
        if size is None:
            continue
        for start in range(block, block + (1 << 16), 1 << (32 - size)):
            yield IPv4Network((start, size)), {"country": {"iso_code": rng.choice(_CODES)}}
