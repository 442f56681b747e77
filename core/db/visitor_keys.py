"""The key of each day that visitors are hashed with: made when first needed, destroyed after KEPT_DAYS."""

import secrets
from collections.abc import Callable
from datetime import date, timedelta

from sqlalchemy import Connection, Engine, delete, select
from sqlalchemy.dialects.postgresql import insert

from core.db.tracking import LinkVisitor, VisitorKey
from core.domain.visitors import KEPT_DAYS

KEY_BYTES = 32


class VisitorKeys:
    """Keys by day of the organisation's zone; at most a handful is held in memory. For one thread alone."""

    def __init__(
        self, engine: Engine, *, make_key: Callable[[], bytes] = lambda: secrets.token_bytes(KEY_BYTES)
    ) -> None:
        self._engine = engine
        self._make_key = make_key
        self._keys: dict[date, bytes] = {}

    def key_of(self, day: date, *, today: date) -> bytes | None:
        """The key of `day`, made when there is none yet; None for a day whose key was (or would be) destroyed, and for
        one further ahead than tomorrow."""
        if not is_kept(day, today=today) or day > today + timedelta(days=1):
            return None
        key = self._keys.get(day)
        if key is None:
            key = self._fetch(day)
            self._keys = {held: k for held, k in self._keys.items() if is_kept(held, today=today)}
            self._keys[day] = key
        return key

    def _fetch(self, day: date) -> bytes:
        with self._engine.begin() as connection:
            wanted = select(VisitorKey.key).where(VisitorKey.day == day)
            key = connection.scalar(wanted)
            if key is None:
                draft = insert(VisitorKey).values(day=day, key=self._make_key())
                connection.execute(draft.on_conflict_do_nothing())
                key = connection.scalars(wanted).one()
        return bytes(key)


def is_kept(day: date, *, today: date) -> bool:
    """True while a day's key, and the visitors counted with it, may exist."""
    return day >= today - timedelta(days=KEPT_DAYS)


def forget_visitors(connection: Connection, *, today: date) -> int:
    """Destroy the keys of days that are over, and with them the rows that only served to count; how many rows went."""
    oldest = today - timedelta(days=KEPT_DAYS)
    connection.execute(delete(VisitorKey).where(VisitorKey.day < oldest))
    return connection.execute(delete(LinkVisitor).where(LinkVisitor.day < oldest)).rowcount
