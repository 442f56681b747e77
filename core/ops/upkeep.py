"""`rastro migrate` and `rastro republish`."""

import argparse
import sys

from core.db.engine import make_engine
from core.db.migrate import migrate
from core.ops.connect import servers
from core.services.publishing import republish_all
from core.services.redis_client import make_redis


def run_migrate(args: argparse.Namespace) -> int:
    """Bring the database to this release's tables; two at once wait for one another. Needs no Redis."""
    with servers(args.data, needs_redis=False) as settings:
        print(f"The database is at revision {migrate(settings.database_url)}.")
    return 0


def run_republish(args: argparse.Namespace) -> int:
    """Write every domain and link to Redis again. Trackers answer all the while."""
    live = sys.stdout.isatty()

    def progress(done: int, total: int) -> None:
        if live:
            print(f"\rPublished {done:,} of {total:,} links ", end="", flush=True)

    with servers(args.data) as settings:
        engine = make_engine(settings.database_url)
        redis = make_redis(settings.redis_url, connect_timeout=5, timeout=30)
        try:
            count = republish_all(engine, redis, progress)
        finally:
            redis.close()
            engine.dispose()
    print(f"{chr(13) if live else ''}Published {count:,} links.         ".rstrip())
    return 0
