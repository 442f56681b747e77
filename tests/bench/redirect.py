"""Redirects per second of a tracker process on one core, beside plain Flask on the same core, round by round."""

import argparse
import http.client
import statistics
import sys
from contextlib import ExitStack
from datetime import UTC, datetime

import psycopg
import redis

from core.contracts import keys
from core.db.engine import make_engine, make_sessions
from core.ops.listening import free_ports
from core.services import domains
from core.services.actor import COMMAND
from core.services.links import create_link
from core.services.publishing import republish_all
from tests.bench.load import Round, client_name, run_round
from tests.bench.stand import Stand, print_table, wait_until

SLUG = "black-friday"
TARGET = "https://www.example.com/black-friday?canal=bench"
CORE = 0


def measure(stand: Stand, options: argparse.Namespace) -> None:
    """Both programs run all the time; they are asked in turn, so that a busy moment of the machine hits both."""
    seconds = options.seconds or (1 if options.quick else 5)
    rounds = options.rounds or (1 if options.quick else 3)
    ours, plain = free_ports(2)
    _make_links(stand, ours)
    client = redis.Redis.from_url(stand.settings.redis_url)
    with ExitStack() as stack:
        env = {"PORT": str(ours), "HOST": "127.0.0.1", "DEFAULT_HOSTS": f"127.0.0.1:{ours}"}
        stack.enter_context(stand.program(sys.executable, "-m", "tracker_quart", env=env, core=CORE))
        words = (
            "-m",
            "gunicorn",
            "--bind",
            f"127.0.0.1:{plain}",
            "--worker-class",
            "gthread",
            "--threads",
            "8",
        )
        application = "tests.bench.plain_redirect:create_app()"
        stack.enter_context(
            stand.program(sys.executable, *words, "--keep-alive", "60", application, core=CORE)
        )
        found: dict[int, list[Round]] = {ours: [], plain: []}
        for port in found:
            wait_until(lambda port=port: _redirects(port), limit=30, what=f"an answer on port {port}")  # type: ignore[misc]
            run_round(_url(port), connections=options.connections, seconds=1)  # warm
        kept_before = client.xlen(keys.stream("track"))
        for _ in range(rounds):
            for port, results in found.items():
                results.append(run_round(_url(port), connections=options.connections, seconds=seconds))
        answered = sum(result.answered for result in found[ours])

        def kept() -> int:
            return client.xlen(keys.stream("track")) - kept_before

        # A click that waited in the spool, because Valkey was slow for a moment, comes a little later.
        wait_until(lambda: kept() >= answered, limit=30, what="every answered click in the stream")
        clicks = kept()
    client.close()
    base = _middle(found[plain]).per_second
    print_table(
        f"Redirects: one core, {options.connections} connections, {rounds} round(s) of {seconds:g} s each in turn, "
        f"measured by {client_name()}; middle round",
        ("what", "redirects/s", "ratio", "p50 ms", "p99 ms", "failed"),
        [
            _row("Rastro's tracker, click kept before the answer", found[ours], base),
            _row("Flask + gunicorn, a row inserted per click", found[plain], base),
        ],
    )
    print(f"\nAnswered by the tracker: {answered:,}. Clicks in the stream: {clicks:,}.")


def _make_links(stand: Stand, port: int) -> None:
    now = datetime.now(UTC)
    engine = make_engine(stand.settings.database_url)
    client = redis.Redis.from_url(stand.settings.redis_url)
    with make_sessions(engine)() as session:
        domains.ensure_default_domain(
            session, tracker_url=f"http://127.0.0.1:{port}", now=now, brand="Bench", redis=client
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


def _row(name: str, results: list[Round], base: float) -> tuple[str, ...]:
    middle = _middle(results)
    failed = sum(result.failed for result in results)
    return (
        name,
        f"{middle.per_second:,.0f}",
        f"{middle.per_second / base:.1f}",
        f"{middle.p50:.1f}",
        f"{middle.p99:.1f}",
        str(failed),
    )
