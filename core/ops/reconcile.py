"""`rastro reconcile`: whether every click and every postback is accounted for."""

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
from core.services.postback_books import PostbackBooks, read_postback_books
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
    clicks, postbacks = books
    said = {**_as_json(clicks), "postbacks": _postbacks_as_json(postbacks)}
    text = _as_text(clicks) + "\n" + _postbacks_as_text(postbacks)
    sys.stdout.write(json.dumps(said, indent=2) + "\n" if args.json else text)
    return 0 if clicks.state == postbacks.state == "balanced" else 1


def _read(args: argparse.Namespace) -> tuple[Books, PostbackBooks]:
    with servers(args.data) as settings:
        engine = make_engine(settings.database_url)
        redis = make_redis(settings.redis_url, connect_timeout=5, timeout=10)
        try:
            with make_sessions(engine)() as session:
                now, hours = datetime.now(UTC), DAYS * 24
                clicks = read_books(session, redis, now=now, hours=hours, fresh_answers=True)
                postbacks = read_postback_books(
                    session, redis, now=now, hours=hours, kept_days=settings.postbacks_kept_days
                )
                return clicks, postbacks
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
    return "\n".join([*lines, *_odd_hours(books), ""])


def _odd_hours(books: Books) -> list[str]:
    odd = [hour for hour in books.hours if hour.state != "balanced"]
    lines = ["", "  Hours (UTC) that do not come out:"] if odd else []
    for hour in odd[:48]:
        counts = hour.counts
        what = f"{counts.missing:,} missing" if counts.missing else f"{counts.surplus:,} too many"
        lines.append(f"  {hour.start:%Y-%m-%d %H:00}  {hour.state:10}  {what}")
    return lines


def _postbacks_as_json(found: PostbackBooks) -> dict[str, Any]:
    total = found.books.total
    return {
        "state": found.state,
        "received": total.accepted,
        "stored": total.stored,
        "waiting": found.books.waiting,
        "running": found.books.running,
        "dead": total.dead,
        "duplicate": total.duplicate,
        "missing": found.books.missing,
        "unaccounted": found.unaccounted,
        "verdicts": found.verdicts,
        "hours": [
            {
                "hour": hour.start.isoformat(),
                "state": hour.state,
                "received": hour.counts.accepted,
                "stored": hour.counts.stored,
                "duplicate": hour.counts.duplicate,
                "dead": hour.counts.dead,
                "missing": hour.counts.missing,
                "surplus": hour.counts.surplus,
            }
            for hour in found.books.hours
        ],
    }


def _postbacks_as_text(found: PostbackBooks) -> str:
    books, total = found.books, found.books.total
    lines = [
        {
            "balanced": "Every postback is accounted for.",
            "settling": "Not every postback has come yet: the books still settle.",
            "unbalanced": "The books of the postbacks do not balance.",
        }[found.state],
        "",
        f"  {total.accepted:>15,} received, which are",
        "",
        f"  {total.stored:>15,} in the inbox",
        f"  {books.waiting:>15,} waiting",
        f"  {books.running:>15,} running",
        f"  {total.dead:>15,} set aside (see /queues)",
        f"  {books.sent_twice:>15,} sent twice, kept once",
    ]
    if books.missing:
        lines += ["", f"  {books.missing:>15,} missing: still on a tracker's disk, or lost"]
    if found.verdicts:
        lines += ["", "  What became of those in the inbox:"]
    for verdict, codes in sorted(found.verdicts.items(), key=lambda pair: -sum(pair[1].values())):
        reasons = ", ".join(
            f"{code} {n:,}" for code, n in sorted(codes.items(), key=lambda pair: -pair[1]) if code
        )
        lines.append(f"  {sum(codes.values()):>15,} {verdict}" + (f" ({reasons})" if reasons else ""))
    if found.unaccounted:
        lines += ["", f"  {found.unaccounted:>15,} counted as kept, and not in the inbox"]
    return "\n".join([*lines, *_odd_hours(books), ""])
