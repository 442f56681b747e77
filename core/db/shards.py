"""Which shard of the rollups a process writes. Two writers of one shard would only wait for one another, so a lease
that ran out unnoticed costs time and never a count."""

import time
import zlib
from collections.abc import Callable

from sqlalchemy import Engine, text

from core.db.queries import query

LEASE_S = 60
_RENEW_S = 20.0


class ShardLease:
    """One writer's shard, of the first `shards` that there are. A name in a table, not a session's lock, so that it
    works behind PgBouncer.

    Writers of one shard wait for each other at the end of a batch, which costs nothing where PostgreSQL has no
    processor free to do more. A shard more is a further copy of all rows of counts (docs/adr/0010)."""

    def __init__(
        self, engine: Engine, *, owner: str, shards: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`shards` is at most 16, as many as the table has."""
        self._engine = engine
        self._owner = owner
        self._shards = shards
        self._clock = clock
        self._shard = 0
        self._asked_at = float("-inf")

    def shard(self) -> int:
        """The shard to write to. Renewed every 20 s; with more writers than shards, some share one."""
        if self._clock() - self._asked_at > _RENEW_S:
            leased = self._lease()
            self._shard = zlib.crc32(self._owner.encode()) % self._shards if leased is None else leased
            self._asked_at = self._clock()
        return self._shard

    def _lease(self) -> int | None:
        with self._engine.begin() as connection:
            connection.execute(query("make_shards"))
            leased: int | None = connection.scalar(
                query("lease_shard"), {"owner": self._owner, "seconds": LEASE_S, "shards": self._shards}
            )
        return leased

    def release(self) -> None:
        """Leave the shard to whoever comes next, before the lease ends by itself."""
        with self._engine.begin() as connection:
            connection.execute(
                text("update rollup_shards set leased_until = '-infinity' where owner = :owner"),
                {"owner": self._owner},
            )
