"""A read replica for reports: used while it keeps up, left for the primary while it does not.

Only what need not see its own writes is read there. It lags behind by as much as MOST_LAG_S, which is less than what
the manager calls up to date anyway.
"""

import threading
import time
from collections.abc import Callable

from psycopg.errors import QueryCanceled
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from core.db.engine import is_away, make_sessions
from core.db.queries import query
from core.observe import REPLICA_LAG, logger

log = logger(__name__)

MOST_LAG_S = 5.0
"""How far a replica may be behind to be used."""

LOOK_S = 2.0
"""How long it is believed to be so."""

LEFT_S = 15.0
"""How long it is left alone once it was away or behind."""


class Replica:
    """Says whether reports may be read from a replica. Its connections are made by `make_engine(reads_only=True)`."""

    def __init__(
        self,
        engine: Engine,
        primary: Engine,
        *,
        later: Callable[[Callable[[], None]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`later` runs something beside the caller: nobody waits for a replica that was away."""
        self._engine = engine
        self._primary = primary
        self._later = later
        self._clock = clock
        self._sessions: sessionmaker[Session] = make_sessions(engine)
        self._looking = threading.Lock()
        self._is_fit = False
        self._looked_at = float("-inf")

    def session(self) -> Session | None:
        """A session that reads from the replica, to be closed by the caller; None where the primary is to be asked.

        Never raises. A replica that was fit a moment ago is looked at first, by one thread at a time."""
        old = self._clock() - self._looked_at
        if self._is_fit and old > LOOK_S:
            self._look()
        elif not self._is_fit and old > LEFT_S and not self._looking.locked():
            self._later(self._look)
        return self._sessions() if self._is_fit and not self._looking.locked() else None

    def leaves(self, error: SQLAlchemyError) -> bool:
        """True when `error`, which a session of the replica raised, is the replica's fault: it is left, and the primary
        is to be asked the same. A report that took too long there would do so on the primary."""
        if not is_away(error) or (isinstance(error, DBAPIError) and isinstance(error.orig, QueryCanceled)):
            return False
        self._say(fit=False, lag=None, reason=str(error))
        return True

    def _look(self) -> None:
        if not self._looking.acquire(blocking=False):
            return
        try:
            lag = replica_lag(self._engine, self._primary)
            reason = "it follows no primary" if lag is None else f"it is {lag:.1f} s behind"
            self._say(fit=lag is not None and lag <= MOST_LAG_S, lag=lag, reason=reason)
        except SQLAlchemyError as error:
            self._say(fit=False, lag=None, reason=str(error))
        finally:
            self._looking.release()

    def _say(self, *, fit: bool, lag: float | None, reason: str) -> None:
        self._looked_at = self._clock()
        REPLICA_LAG.set(float("nan") if lag is None else lag)
        if fit != self._is_fit:
            self._is_fit = fit
            if fit:
                log.info("replica.used", lag_s=lag)
            else:
                log.warning("replica.left", reason=reason)


def replica_lag(replica: Engine, primary: Engine) -> float | None:
    """How many seconds the replica is behind; None where it follows no primary. The primary is asked first, so that
    what it writes meanwhile is not missed. Raises SQLAlchemyError."""
    with primary.connect() as connection:
        written = connection.scalar(text("select cast(pg_current_wal_lsn() as text)"))
    with replica.connect() as connection:
        lag = connection.scalar(query("replica_lag"), {"written": written})
    return None if lag is None else float(lag)
