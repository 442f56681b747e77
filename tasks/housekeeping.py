"""What the schedule runs: looking after tables and Redis. Each may run twice, or late, without harm."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, or_
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


def copy_books(context: Context, now: datetime) -> str:
    """Copy the clicks accepted and answered by hour from Redis to the books. Both only rise, so a lower number (Redis
    was emptied) never replaces a higher. Hours long past leave Redis once they stay as they are: a spool that was
    found late, or a tracker whose clock is wrong, adds to one for as long as it has clicks."""
    accepted: Any = context.redis.hgetall(keys.ACCEPTED)
    answered: Any = context.redis.hgetall(keys.ANSWERED)
    rows: dict[datetime, dict[str, int]] = defaultdict(lambda: {"accepted": 0, "answered": 0})
    for field, clicks in accepted.items():
        rows[_hour(field)]["accepted"] += int(clicks)
    for field, clicks in answered.items():  # of each tracker process its own
        rows[_hour(keys.hour_answered(field))]["answered"] += int(clicks)
    if not rows:
        return "none yet"
    values = [{"hour": hour, "shard": 0, **rows[hour]} for hour in sorted(rows)]
    new = postgresql.insert(Books).values(values)
    with context.engine.begin() as connection:
        copied = new.on_conflict_do_update(
            index_elements=[Books.hour, Books.shard],
            set_={
                "accepted": func.greatest(Books.accepted, new.excluded.accepted),
                "answered": func.greatest(Books.answered, new.excluded.answered),
            },
            where=or_(Books.accepted < new.excluded.accepted, Books.answered < new.excluded.answered),
        )
        changed = set(connection.scalars(copied.returning(Books.hour)))
    oldest = now - timedelta(days=_BOOKS_DAYS)
    over = {hour for hour in rows if hour < oldest and hour not in changed}
    old = [field for field in accepted if _hour(field) in over]
    if old:
        context.redis.hdel(keys.ACCEPTED, *old)
    old = [field for field in answered if _hour(keys.hour_answered(field)) in over]
    if old:
        context.redis.hdel(keys.ANSWERED, *old)
    return f"{len(values)} hours"


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
