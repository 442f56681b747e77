"""The books: read from PostgreSQL and Redis together, judged, copied from one to the other, and put on record."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from redis import Redis, ResponseError
from sqlalchemy import Engine, func, insert, or_, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from core.contracts import keys
from core.contracts.click_event import hour_name
from core.contracts.keys import GROUP
from core.db.tracking import Books as BooksRow
from core.db.tracking import Reconciliation
from core.domain.books import Books, Counts, close
from core.services.queues.letters import index_letters

DAYS = 35
"""How long an hour stays in Redis' hashes: late clicks from a spool still add to it."""

_HOUR = timedelta(hours=1)
_RISING = ("accepted", "answered")
_COLUMNS = (
    BooksRow.answered,
    BooksRow.accepted,
    BooksRow.stored,
    BooksRow.duplicate,
    BooksRow.expired,
    BooksRow.dead,
)


def read_books(
    session: Session, redis: "Redis", *, now: datetime, hours: int, fresh_answers: bool = False
) -> Books:
    """The books of the last so many hours, the running one included.

    Accepted and dead clicks are Redis' counts of now. Those answered are at most a minute old, unless `fresh_answers`
    asks Redis for every tracker's. Raises RedisError, SQLAlchemyError."""
    starts = hour_starts(now, hours)
    names = [hour_name(int(start.timestamp() * 1000)) for start in starts]
    pipe = redis.pipeline(transaction=True)
    pipe.hmget(keys.ACCEPTED, names)
    pipe.xlen(keys.stream("track"))
    pipe.xlen(keys.held("track"))
    accepted, length, held_back = pipe.execute()
    running = entries_running(redis, "track")
    answered = _answered(redis.hgetall(keys.ANSWERED)) if fresh_answers else {}
    index_letters(redis, "track")
    dead: Any = redis.hmget(keys.DEAD_CLICKS, names)
    rows = _rows(session, starts[-1])
    counted = []
    for start, name, accepted_now, dead_now in zip(starts, names, accepted, dead, strict=True):
        kept = rows.get(start, Counts())
        counts = Counts(
            answered=max(kept.answered, answered.get(name, 0)),
            accepted=max(kept.accepted, int(accepted_now or 0)),
            stored=kept.stored,
            duplicate=kept.duplicate,
            expired=kept.expired,
            dead=kept.dead if dead_now is None else int(dead_now),
        )
        if counts != Counts():
            counted.append((start, counts))
    running = min(running, length)
    return close(counted, waiting=length - running + held_back, running=running, now=now)


def copy_books(engine: Engine, redis: "Redis") -> int:
    """Copy the clicks accepted, answered and set aside by hour from Redis to PostgreSQL. Returns the number of hours.

    Accepted and answered only rise, so a lower number (Redis was emptied) never replaces a higher. Raises RedisError,
    SQLAlchemyError."""
    return len({_hour(field) for _, field in _copy(engine, redis)})


def forget_hours(engine: Engine, redis: "Redis", *, now: datetime) -> int:
    """Take hours long past out of Redis, after the books have them. Returns how many counts went.

    To be called once a day and not more often: a spool that was found late, or a tracker whose clock is wrong, adds to
    an hour for as long as it has clicks, and what comes after this is counted from nothing. Raises as `copy_books`."""
    before = now - timedelta(days=DAYS)
    forget = redis.register_script(FORGET)
    gone = 0
    for (name, field), count in _copy(engine, redis).items():
        if _hour(field) < before:
            gone += int(forget(keys=[name], args=[field, count]))
    return gone


def _copy(engine: Engine, redis: "Redis") -> dict[tuple[str, bytes], bytes]:
    """Copy the counts; the fields of Redis' hashes that were copied, with what they said."""
    index_letters(redis, "track")
    found: dict[str, Any] = {
        name: redis.hgetall(name) for name in (keys.ACCEPTED, keys.ANSWERED, keys.DEAD_CLICKS)
    }
    dead = found[keys.DEAD_CLICKS]
    counts: dict[datetime, dict[str, int]] = defaultdict(lambda: dict.fromkeys(_RISING, 0))
    for name, clicks in found[keys.ACCEPTED].items():
        counts[instant(name)]["accepted"] = int(clicks)
    for hour, clicks in _answered(found[keys.ANSWERED]).items():
        counts[instant(hour)]["answered"] = clicks
    with engine.begin() as connection:
        if counts:
            rows = [{"hour": hour, "shard": 0, **counts[hour]} for hour in sorted(counts)]
            connection.execute(_raise_counts(rows))
        if dead:
            rows = [{"hour": instant(name), "shard": 0, "dead": int(dead[name])} for name in sorted(dead)]
            connection.execute(_set_dead(rows))
    return {(name, field): count for name, counted in found.items() for field, count in counted.items()}


FORGET = (
    "return redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] and redis.call('HDEL', KEYS[1], ARGV[1]) or 0"
)
"""Only what stays as it was copied: a click may have come meanwhile."""


def put_on_record(session: Session, books: Books, *, now: datetime) -> None:
    """Keep how the books stood."""
    session.execute(
        insert(Reconciliation).values(
            at=now,
            state=books.state,
            waiting=books.waiting + books.running,
            missing=books.missing,
            unbalanced=[hour.start.isoformat() for hour in books.unbalanced],
            **asdict(books.total),
        )
    )
    session.commit()


def last_records(session: Session, *, most: int = 14) -> Sequence[Reconciliation]:
    """How the books stood the last times they were put on record, newest first."""
    return session.scalars(select(Reconciliation).order_by(Reconciliation.id.desc()).limit(most)).all()


def _raise_counts(rows: Sequence[Mapping[str, Any]]) -> Any:
    new = postgresql.insert(BooksRow).values(rows)
    fresh = {name: func.greatest(getattr(BooksRow, name), new.excluded[name]) for name in _RISING}
    return new.on_conflict_do_update(
        index_elements=[BooksRow.hour, BooksRow.shard],
        set_=fresh,
        where=or_(*(getattr(BooksRow, name) < new.excluded[name] for name in _RISING)),
    )


def _set_dead(rows: Sequence[Mapping[str, Any]]) -> Any:
    new = postgresql.insert(BooksRow).values(rows)
    return new.on_conflict_do_update(
        index_elements=[BooksRow.hour, BooksRow.shard],
        set_={"dead": new.excluded.dead},
        where=BooksRow.dead != new.excluded.dead,
    )


def _rows(session: Session, since: datetime) -> dict[datetime, Counts]:
    sums = [func.sum(column) for column in _COLUMNS]
    found = session.execute(
        select(BooksRow.hour, *sums).where(BooksRow.hour >= since).group_by(BooksRow.hour)
    )
    return {hour: Counts(*map(int, counts)) for hour, *counts in found}


def _answered(told: Any) -> Mapping[str, int]:
    """Clicks answered by hour, of all tracker processes together, from what each has told."""
    hours: dict[str, int] = defaultdict(int)
    for field, clicks in told.items():
        hours[keys.hour_answered(field)] += int(clicks)
    return hours


def entries_running(redis: "Redis", queue: str) -> int:
    """How many entries of a queue workers hold. Raises RedisError."""
    try:
        pending: Any = redis.xpending(keys.stream(queue), GROUP)
    except ResponseError:  # no worker has come yet
        return 0
    return int(pending["pending"])


def hour_starts(now: datetime, hours: int) -> list[datetime]:
    """The starts of the last so many hours (UTC), the running one first."""
    this = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    return [this - _HOUR * back for back in range(hours)]


def _hour(field: bytes) -> datetime:
    """Of a count, whether it is one for all trackers or one of them."""
    return instant(keys.hour_answered(field))


def instant(name: bytes | str) -> datetime:
    """The start of an hour by its name in the books."""
    text = name.decode() if isinstance(name, bytes) else name
    return datetime.strptime(text, "%Y%m%d%H").replace(tzinfo=UTC)
