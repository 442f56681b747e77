"""Monthly partitions of `clicks`, by the time in a click's id. There is no default partition."""

import time
from collections.abc import Callable, Collection
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from sqlalchemy import Connection, Engine, select, text

from core.db.tracking import ClickRetention

_LOCK = 0x5261737472  # one process makes partitions at a time
_REMEMBERED_S = 60.0


def ensure_partitions(connection: Connection, *, now: datetime, months_ahead: int = 3) -> list[str]:
    """Make the partitions of this month and the next `months_ahead` where they are missing; the names of new ones.

    Attaching takes a lock that lets clicks be stored meanwhile. Holds an advisory lock until the caller's transaction
    ends, so that transaction should be short.
    """
    months = [month_of(now)]
    for _ in range(months_ahead):
        months.append(_next(months[-1]))
    return make_partitions(connection, months)


def make_partitions(connection: Connection, months: Collection[date]) -> list[str]:
    """Make the partitions of `months` (first days, UTC) that are missing; the names of new ones."""
    connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    there = _partitions(connection)
    made = []
    for month in sorted(months):
        name = _name(month)
        if name in there:
            continue
        first, end = (UUID(int=_ms(day) << 80) for day in (month, _next(month)))
        connection.execute(text(f"create table {name} (like clicks including all)"))
        connection.execute(
            text(f"alter table clicks attach partition {name} for values from ('{first}') to ('{end}')")
        )
        made.append(name)
    return made


def month_of(instant: datetime) -> date:
    """The first day of the UTC month that names an instant's partition."""
    return instant.astimezone(UTC).date().replace(day=1)


class KnownPartitions:
    """Which partitions exist, as far as this process knows; what it knows it believes for a minute."""

    def __init__(self, engine: Engine, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine = engine
        self._clock = clock
        self._names: set[str] = set()
        self._kept_from = date.min
        self._read_at = float("-inf")

    def admit(self, months: Collection[date]) -> set[date]:
        """See to it that every month can take clicks; the months that retention removed, which can not."""
        if self._clock() - self._read_at > _REMEMBERED_S:
            self._read()
        removed = {month for month in months if month < self._kept_from}
        missing = {month for month in months if _name(month) not in self._names} - removed
        if missing:
            with self._engine.begin() as connection:
                make_partitions(connection, missing)
            self._names.update(map(_name, missing))
        return removed

    def forget(self) -> None:
        """Ask the database the next time."""
        self._read_at = float("-inf")

    def _read(self) -> None:
        with self._engine.begin() as connection:
            self._names = _partitions(connection)
            self._kept_from = connection.scalar(select(ClickRetention.kept_from)) or date.min
        self._read_at = self._clock()


def _partitions(connection: Connection) -> set[str]:
    found = connection.scalars(
        text("select inhrelid::regclass::text from pg_inherits where inhparent = 'clicks'::regclass")
    )
    return {name.rpartition(".")[2] for name in found}


def _name(month: date) -> str:
    return f"clicks_{month:%Y_%m}"


def _next(month: date) -> date:
    return (month + timedelta(days=31)).replace(day=1)


def _ms(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
