"""Redirects per second of a tracker process on one core, beside nginx + Lua and plain Flask on it, round by round."""

import argparse
import http.client
import re
import statistics
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import psycopg
import redis

from core.contracts import click_event, keys
from core.contracts.click_event import ClickEvent
from core.db.engine import make_engine, make_sessions
from core.ops.listening import free_ports
from core.services import domains
from core.services.actor import COMMAND
from core.services.links import create_link
from core.services.publishing import republish_all
from tests.bench import nginx_redirect
from tests.bench.load import Round, client_name, run_round
from tests.bench.stand import Stand, cpu_seconds, print_table, wait_until

SLUG = "black-friday"
TARGET = "https://www.example.com/black-friday?canal=bench"
CORE = 0


@dataclass(slots=True)
class Contestant:
    """A program that redirects on `port`, its rounds, and where a tracker shows its metrics."""

    name: str
    port: int
    pid: int
    cpu: float = 0.0
    rounds: list[Round] = field(default_factory=list)
    metrics_port: int | None = None


def measure(stand: Stand, options: argparse.Namespace) -> None:
    """Programs run all the time; they are asked in turn, so that a busy moment of the machine hits all of them."""
    seconds = options.seconds or (1 if options.quick else 5)
    rounds = options.rounds or (1 if options.quick else 3)
    client = redis.Redis.from_url(stand.settings.redis_url)
    with ExitStack() as stack:
        trackers = [
            _tracker(
                stand, stack, "Rastro's tracker, fast lane, click kept before the answer", fast_lane=True
            ),
            _tracker(stand, stack, "Rastro's tracker, Quart route (FAST_LANE=0)", fast_lane=False),
        ]
        contestants = [*trackers, *_nginx(stand, stack, client), _flask(stand, stack)]
        _make_links(stand, [tracker.port for tracker in trackers])
        for one in contestants:
            wait_until(lambda one=one: _redirects(one.port), limit=30, what=f"an answer of {one.name}")  # type: ignore[misc]
            run_round(_url(one.port), connections=options.connections, seconds=1)  # warm
        for _ in range(rounds):
            for one in contestants:
                used = cpu_seconds(one.pid)
                one.rounds.append(run_round(_url(one.port), connections=options.connections, seconds=seconds))
                one.cpu += cpu_seconds(one.pid) - used
                client.delete(nginx_redirect.CLICKS)
        books = [_balanced(client, tracker) for tracker in trackers]
    client.close()
    base = _middle(contestants[2].rounds).per_second
    print_table(
        f"Redirects: one core, {options.connections} connections, {rounds} round(s) of {seconds:g} s each in turn, "
        f"measured by {client_name()}; middle round",
        ("what", "redirects/s", "ratio", "p50 ms", "p99 ms", "µs of CPU each", "failed"),
        [_row(one, base) for one in contestants],
    )
    print()
    if not nginx_redirect.is_installed():
        print(
            f"nginx with Lua is not on this machine, so it was not measured: apt-get install {nginx_redirect.PACKAGES}"
        )
    print("\n".join(books))


def _tracker(stand: Stand, stack: ExitStack, name: str, *, fast_lane: bool) -> Contestant:
    port, metrics_port = free_ports(2)
    environment = {
        "PORT": str(port),
        "METRICS_PORT": str(metrics_port),
        "HOST": "127.0.0.1",
        "DEFAULT_HOSTS": f"127.0.0.1:{port}",
        "FAST_LANE": "1" if fast_lane else "0",
    }
    words = (sys.executable, "-m", "tracker_quart")
    child = stack.enter_context(stand.program(*words, env=environment, core=CORE))
    return Contestant(name, port, child.pid, metrics_port=metrics_port)


def _nginx(stand: Stand, stack: ExitStack, client: "redis.Redis[Any]") -> list[Contestant]:
    if not nginx_redirect.is_installed():
        return []
    (port,) = free_ports(1)
    client.set(nginx_redirect.LINK + SLUG, TARGET)
    words = nginx_redirect.command(stand.folder / "nginx", port=port, redis_url=stand.settings.redis_url)
    child = stack.enter_context(stand.program(*words, core=CORE))
    return [Contestant("nginx + Lua + Redis, GET and LPUSH in one round trip", port, child.pid)]


def _flask(stand: Stand, stack: ExitStack) -> Contestant:
    (port,) = free_ports(1)
    words = ("-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--worker-class", "gthread", "--threads", "8")
    application = "tests.bench.plain_redirect:create_app()"
    words = (*words, "--keep-alive", "60", application)
    child = stack.enter_context(stand.program(sys.executable, *words, core=CORE))
    return Contestant("Flask + gunicorn, a row inserted per click", port, child.pid)


def _balanced(client: "redis.Redis[Any]", tracker: Contestant) -> str:
    """What became of a tracker's answers. Raises ValueError when its 302s and the clicks in the stream differ."""
    host = f"127.0.0.1:{tracker.port}"
    answered = _redirects_answered(tracker)

    def kept() -> list[bytes]:
        return [click.id for click in _clicks(client) if click.host == host]

    # A click that waited in the spool, because Valkey was slow for a moment, comes a little later.
    wait_until(lambda: len(set(kept())) >= answered, limit=60, what="every answered click in the stream")
    ids = kept()
    seen = sum(result.answered for result in tracker.rounds)
    if not seen <= len(set(ids)) == answered:
        raise ValueError(
            f"{tracker.name}: {answered} answered, {seen} of them measured, {len(set(ids))} ids kept"
        )
    return (
        f"{tracker.name}: {answered:,} redirects answered, {len(set(ids)):,} distinct clicks in the stream, "
        f"{len(ids) - len(set(ids)):,} sent twice."
    )


def _clicks(client: "redis.Redis[Any]") -> Iterator[ClickEvent]:
    after = "-"
    while page := client.xrange(keys.stream("track"), min=after, count=10_000):
        for _, fields in page:
            yield click_event.decode(fields[keys.CLICK_FIELD])
        after = f"({page[-1][0].decode()}"


def _redirects_answered(tracker: Contestant) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{tracker.metrics_port}/metrics", timeout=30) as answer:
        found = re.search(
            r'^rastro_answered_total\{outcome="redirect"\} (\S+)$', answer.read().decode(), re.M
        )
    return int(float(found[1])) if found else 0


def _make_links(stand: Stand, ports: list[int]) -> None:
    now = datetime.now(UTC)
    engine = make_engine(stand.settings.database_url)
    client = redis.Redis.from_url(stand.settings.redis_url)
    with make_sessions(engine)() as session:
        domains.ensure_default_domain(
            session, tracker_url=f"http://127.0.0.1:{ports[0]}", now=now, brand="Bench", redis=client
        )
        create_link(session, url=TARGET, slug=SLUG, actor=COMMAND, now=now, redis=client)
    republish_all(engine, client)
    engine.dispose()
    client.close()
    with psycopg.connect(stand.environment["DATABASE_URL"], autocommit=True) as connection:
        connection.execute("create table plain_links (id bigint primary key, slug text unique, url text)")
        connection.execute(
            "create table plain_visits (id bigint generated always as identity primary key, link_id bigint, "
            "at timestamptz, ip inet, user_agent text, referrer text)"
        )
        connection.execute("insert into plain_links values (1, %s, %s)", (SLUG, TARGET))


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}/{SLUG}"


def _redirects(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", f"/{SLUG}")
        return connection.getresponse().getheader("Location") == TARGET
    except OSError:
        return False
    finally:
        connection.close()


def _middle(results: list[Round]) -> Round:
    middle = statistics.median_low(result.per_second for result in results)
    return next(result for result in results if result.per_second == middle)


def _row(one: Contestant, base: float) -> tuple[str, ...]:
    middle = _middle(one.rounds)
    return (
        one.name,
        f"{middle.per_second:,.0f}",
        f"{middle.per_second / base:.2f}",
        f"{middle.p50:.1f}",
        f"{middle.p99:.1f}",
        f"{one.cpu * 1e6 / max(1, sum(result.answered for result in one.rounds)):.0f}",
        str(sum(result.failed for result in one.rounds)),
    )
