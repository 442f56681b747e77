"""What the schedule runs: looking after tables and Redis. Each may run twice, or late, without harm."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func
from sqlalchemy.dialects import postgresql

from core.contracts import keys
from core.db.models import PasswordReset, Session
from core.db.partitions import ensure_partitions
from core.db.tracking import Books
from core.db.visitor_keys import forget_visitors
from core.services.publishing import republish_all
from tasks.registry import Context

MONTHS_AHEAD = 3

_BOOKS_DAYS = 35  # how long an hour stays in Redis' hash: late clicks from a spool still add to it


def make_partitions(context: Context, now: datetime) -> str:
    """Have the partitions of the clicks of this month and the next ones."""
    with context.engine.begin() as connection:
        made = ensure_partitions(connection, now=now, months_ahead=MONTHS_AHEAD)
    return f"made {', '.join(made)}" if made else "all there"


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
    """Destroy the visitor keys of days that are over for three days, and who was counted with them."""
    today = now.astimezone(context.settings.tz_default).date()
    with context.engine.begin() as connection:
        visitors = forget_visitors(connection, today=today)
    return f"{visitors} visitors forgotten"


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
