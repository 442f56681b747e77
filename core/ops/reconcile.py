"""`rastro reconcile`: whether every click is accounted for."""

import argparse
import json
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from redis import RedisError
from sqlalchemy.exc import SQLAlchemyError

from core.db.engine import make_engine, make_sessions
from core.domain.books import Books
from core.ops.commands import CommandFailed
from core.ops.connect import servers
from core.services.books import DAYS, read_books
from core.services.redis_client import make_redis

UNREADABLE = 2


def run_reconcile(args: argparse.Namespace) -> int:
    """Print the books of the last 35 days. 0: they balance; 1: they do not, or not yet; 2: they can not be read."""
    try:
        books = _read(args)
    except CommandFailed as error:
        raise CommandFailed(str(error), status=UNREADABLE) from error
    except (RedisError, SQLAlchemyError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise CommandFailed(f"The books can not be read: {reason}", status=UNREADABLE) from error
    sys.stdout.write(json.dumps(_as_json(books), indent=2) + "\n" if args.json else _as_text(books))
    return 0 if books.state == "balanced" else 1


def _read(args: argparse.Namespace) -> Books:
    with servers(args.data) as settings:
        engine = make_engine(settings.database_url)
        redis = make_redis(settings.redis_url, connect_timeout=5, timeout=10)
        try:
            with make_sessions(engine)() as session:
                return read_books(session, redis, now=datetime.now(UTC), hours=DAYS * 24, fresh_answers=True)
        finally:
            redis.close()
            engine.dispose()


def _as_json(books: Books) -> dict[str, Any]:
    return {
        "state": books.state,
        "total": {
            **asdict(books.total),
            "waiting": books.waiting,
            "running": books.running,
            "missing": books.missing,
        },
        "hours": [
            {
                "hour": hour.start.isoformat(),
                "state": hour.state,
                **asdict(hour.counts),
                "missing": hour.counts.missing,
                "surplus": hour.counts.surplus,
            }
            for hour in books.hours
        ],
    }


def _as_text(books: Books) -> str:
    total = books.total
    lines = [
        {
            "balanced": "Every click is accounted for.",
            "settling": "Not everything has come yet: the books still settle.",
            "unbalanced": "The books do not balance.",
        }[books.state],
        "",
        f"  {total.answered:>15,} answered by the trackers",
        f"  {total.accepted:>15,} accepted by Redis, which are",
        "",
        f"  {total.stored:>15,} stored",
        f"  {books.waiting:>15,} waiting",
        f"  {books.running:>15,} running",
        f"  {total.dead:>15,} set aside (see /queues)",
        f"  {total.expired:>15,} too old to be stored",
        f"  {books.sent_twice:>15,} sent twice, stored once",
    ]
    if books.moving:
        lines.append(f"  {books.moving:>15,} on their way from one to the next")
    if books.missing:
        lines += ["", f"  {books.missing:>15,} missing: still on a tracker's disk, or lost"]
    odd = [hour for hour in books.hours if hour.state != "balanced"]
    if odd:
        lines += ["", "  Hours (UTC) that do not come out:"]
    for hour in odd[:48]:
        counts = hour.counts
        what = f"{counts.missing:,} missing" if counts.missing else f"{counts.surplus:,} too many"
        lines.append(f"  {hour.start:%Y-%m-%d %H:00}  {hour.state:10}  {what}")
    return "\n".join([*lines, ""])
