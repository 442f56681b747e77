"""`rastro demo`: example links, clicks and sales, made through the store that real ones go through."""

import argparse
import random
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from redis import Redis
from sqlalchemy import Engine

from core.db.engine import make_engine
from core.ops.connect import servers
from core.services.demo import make_demo
from core.services.redis_client import make_redis


def run_demo(args: argparse.Namespace) -> int:
    """Add the asked number of links and clicks, and sales that fit them, to what is there."""
    with servers(args.data) as settings:
        engine = make_engine(settings.database_url)
        redis = make_redis(settings.redis_url, connect_timeout=5, timeout=10)
        try:
            fill(
                engine,
                redis,
                links=args.links,
                clicks=args.clicks,
                days=args.days,
                zone=settings.tz_default,
                report_currency=settings.report_currency,
                say=print,
            )
        finally:
            redis.close()
            engine.dispose()
    return 0


def fill(
    engine: Engine,
    redis: Redis,
    *,
    links: int,
    clicks: int,
    days: int,
    zone: ZoneInfo,
    report_currency: str,
    say: Callable[[str], None],
) -> None:
    """Make example data and tell how far it is: on a terminal in one line that counts, else at the end."""
    live = sys.stdout.isatty()

    def progress(done: int, total: int) -> None:
        if live:
            print(f"\rMaking clicks: {done:,} of {total:,} ", end="", flush=True)

    make_demo(
        engine,
        redis,
        links=links,
        clicks=clicks,
        days=days,
        now=datetime.now(UTC),
        zone=zone,
        report_currency=report_currency,
        rng=random.Random(),  # noqa: S311 (example data)
        progress=progress,
    )
    say(
        f"{chr(13) if live else ''}Made {links:,} example links, {clicks:,} clicks and their sales over {days} days."
    )
