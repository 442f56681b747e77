"""What the schedule runs: looking after tables and Redis. Each may run twice, or late, without harm."""

from datetime import UTC, datetime, timedelta

from core.db.partitions import ensure_partitions
from sqlalchemy import delete, func
from sqlalchemy.dialects import postgresql

from core.contracts import keys
from core.db.models import PasswordReset, Session
from core.db.tracking import Books, LinkVisitor, VisitorKey
from core.services.publishing import republish_all
from tasks.registry import Context

MONTHS_AHEAD = 3
VISITOR_DAYS = 3
"""A day's key and visitors are destroyed after so many days: nobody can be followed for longer."""

_BOOKS_DAYS = (
    35  # hours that stay in Redis' hash; a spool can not be older than the oldest partition that matters
)


def make_partitions(context: Context, now: datetime) -> str:
    """Have the partitions of the clicks of this month and the next ones."""
    with context.engine.begin() as connection:
        ensure_partitions(connection, now=now, months_ahead=MONTHS_AHEAD)
    return f"{MONTHS_AHEAD} months ahead"


def republish_when_missing(context: Context, now: datetime) -> str:
    """Write every snapshot again when Redis has lost its ready marker."""
    if context.redis.exists(keys.SNAPSHOTS_READY):
        return "all there"
    return f"{republish_all(context.engine, context.redis)} links published"


def copy_accepted(context: Context, now: datetime) -> str:
    """Copy the clicks accepted by hour from Redis to the books. The counter only rises, so a lower one (Redis was
    emptied) never replaces a higher."""
    counted = {_hour(name): int(count) for name, count in context.redis.hgetall(keys.ACCEPTED).items()}
    if not counted:
        return "none yet"
    rows = [{"hour": hour, "shard": 0, "accepted": counted[hour]} for hour in sorted(counted)]
    new = postgresql.insert(Books).values(rows)
    higher = func.greatest(Books.accepted, new.excluded.accepted)
    with context.engine.begin() as connection:
        connection.execute(
            new.on_conflict_do_update(
                index_elements=[Books.hour, Books.shard],
                set_={"accepted": higher},
                where=Books.accepted < new.excluded.accepted,
            )
        )
    old = [hour.strftime("%Y%m%d%H") for hour in counted if hour < now - timedelta(days=_BOOKS_DAYS)]
    if old:
        context.redis.hdel(keys.ACCEPTED, *old)
    return f"{len(rows)} hours"


def prune_visitors(context: Context, now: datetime) -> str:
    """Destroy visitors and visitor keys of days that are over for three days. Days are the organisation's."""
    oldest = now.astimezone(context.settings.tz_default).date() - timedelta(days=VISITOR_DAYS)
    with context.engine.begin() as connection:
        days = connection.execute(delete(VisitorKey).where(VisitorKey.day < oldest)).rowcount
        visitors = connection.execute(delete(LinkVisitor).where(LinkVisitor.day < oldest)).rowcount
    return f"{days} keys and {visitors} visitors removed"


def prune_sessions(context: Context, now: datetime) -> str:
    """Remove sessions and password resets that have expired."""
    with context.engine.begin() as connection:
        sessions = connection.execute(delete(Session).where(Session.expires_at < now)).rowcount
        resets = connection.execute(delete(PasswordReset).where(PasswordReset.expires_at < now)).rowcount
    return f"{sessions} sessions and {resets} resets removed"


def trim_dead_letters(context: Context, now: datetime) -> str:
    """Remove dead letters older than seven days: they hold full addresses of visitors."""
    oldest = str(max(int(now.timestamp() * 1000) - keys.DEAD_TTL_MS, 0))
    trimmed = [
        context.redis.xtrim(keys.dead(queue), minid=oldest, approximate=False) for queue in keys.QUEUES
    ]
    return f"{sum(trimmed)} removed"


def _hour(name: bytes | str) -> datetime:
    text = name.decode() if isinstance(name, bytes) else name
    return datetime.strptime(text, "%Y%m%d%H").replace(tzinfo=UTC)
