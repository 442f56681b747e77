"""The books of postbacks: what Redis has accepted must be written down, set aside, or wait; and what is written down
has a verdict."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from redis import Redis
from sqlalchemy import Engine, func, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from core.contracts import keys
from core.contracts.click_event import hour_name
from core.db.conversions import PostbackBooks as BooksRow
from core.db.postback_store import first_id
from core.db.queries import query
from core.domain.books import Books, Counts, State, close
from core.services.books import DAYS, FORGET, entries_running, hour_starts, instant
from core.services.queues.letters import index_letters

_QUEUE = "conversion"


@dataclass(frozen=True, slots=True)
class PostbackBooks:
    """`books` with received postbacks as `accepted`; `verdicts` are what was made of the stored ones, as
    {verdict: {reason: postbacks}}, and `unaccounted` how many more (or, below 0, fewer) were stored than have one."""

    books: Books
    verdicts: Mapping[str, Mapping[str, int]]
    unaccounted: int

    @property
    def state(self) -> State:
        """Whether everything comes out."""
        return "unbalanced" if self.unaccounted else self.books.state


def read_postback_books(
    session: Session, redis: "Redis", *, now: datetime, hours: int, kept_days: int = 0
) -> PostbackBooks:
    """The books of the last so many hours; verdicts of those hours that the inbox, which keeps `kept_days`, still has
    (0: they are not counted, which costs a second for every few million postbacks).

    A dead letter of a postback that is in the inbox (its judging failed) is not counted a second time.
    Raises RedisError, SQLAlchemyError."""
    starts = hour_starts(now, hours)
    names = [hour_name(int(start.timestamp() * 1000)) for start in starts]
    pipe = redis.pipeline(transaction=True)
    pipe.hmget(keys.RECEIVED, names)
    pipe.xlen(keys.stream(_QUEUE))
    pipe.xlen(keys.held(_QUEUE))
    received, length, held_back = pipe.execute()
    running = min(entries_running(redis, _QUEUE), length)
    index_letters(redis, _QUEUE)
    dead: Any = redis.hmget(keys.DEAD_POSTBACKS, names)
    rows = {row.hour: row for row in session.scalars(select(BooksRow).where(BooksRow.hour >= starts[-1]))}
    counted = []
    for start, received_now, dead_now in zip(starts, received, dead, strict=True):
        row = rows.get(start)
        counts = _counts(row, int(received_now or 0), None if dead_now is None else int(dead_now))
        if counts != Counts():
            counted.append((start, counts))
    books = close(counted, waiting=length - running + held_back, running=running, now=now)
    if not kept_days:
        return PostbackBooks(books, {}, 0)
    verdicts, stored = _verdicts(session, since=max(starts[-1], _kept_from(now, kept_days)))
    return PostbackBooks(books, verdicts, stored - sum(sum(codes.values()) for codes in verdicts.values()))


def copy_postback_books(engine: Engine, redis: "Redis") -> int:
    """Copy the postbacks received and set aside by hour from Redis to PostgreSQL. Returns the number of hours.

    Received ones only rise, so a lower number (Redis was emptied) never replaces a higher. Raises RedisError,
    SQLAlchemyError."""
    received, dead = _copy(engine, redis)
    return len({*received, *dead})


def forget_postback_hours(engine: Engine, redis: "Redis", *, now: datetime) -> int:
    """Take hours long past out of Redis, after the books have them. Returns how many counts went. Raises as
    `copy_postback_books`."""
    before = now - timedelta(days=DAYS)
    forget = redis.register_script(FORGET)
    gone = 0
    for name, counts in zip((keys.RECEIVED, keys.DEAD_POSTBACKS), _copy(engine, redis), strict=True):
        for hour, count in counts.items():
            if instant(hour) < before:
                gone += int(forget(keys=[name], args=[hour, count]))
    return gone


def _copy(engine: Engine, redis: "Redis") -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
    index_letters(redis, _QUEUE)
    received: Any = redis.hgetall(keys.RECEIVED)
    dead: Any = redis.hgetall(keys.DEAD_POSTBACKS)
    with engine.begin() as connection:
        if received:
            connection.execute(_upsert("received", received, func.greatest))
        if dead:
            connection.execute(_upsert("dead", dead, lambda _, fresh: fresh))
    return received, dead


def _upsert(name: str, hours: Mapping[bytes, bytes], latest: Callable[[Any, Any], Any]) -> Any:
    new = postgresql.insert(BooksRow).values(
        [{"hour": instant(hour), name: int(hours[hour])} for hour in sorted(hours)]
    )
    fresh = {name: latest(getattr(BooksRow, name), new.excluded[name])}
    return new.on_conflict_do_update(index_elements=[BooksRow.hour], set_=fresh)


def _counts(row: BooksRow | None, received: int, dead: int | None) -> Counts:
    kept = row or BooksRow(received=0, stored=0, duplicate=0, dead=0)
    received = max(received, kept.received)
    dead = kept.dead if dead is None else dead
    open_ = max(received - kept.duplicate - kept.stored, 0)
    return Counts(accepted=received, stored=kept.stored, duplicate=kept.duplicate, dead=min(dead, open_))


def _verdicts(session: Session, *, since: datetime) -> tuple[dict[str, dict[str, int]], int]:
    verdicts: dict[str, dict[str, int]] = {}
    stored = 0
    for row in session.execute(query("postback_verdicts"), {"first": first_id(since), "since": since}):
        if row.verdict:
            verdicts.setdefault(row.verdict, {})[row.code] = row.postbacks
        else:
            stored = int(row.postbacks)
    return verdicts, stored


def _kept_from(now: datetime, kept_days: int) -> datetime:
    """The first hour that the inbox has all postbacks of."""
    return hour_starts(now - timedelta(days=kept_days), 1)[0] + timedelta(hours=2)
