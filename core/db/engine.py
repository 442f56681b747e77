"""Engines and sessions, made on demand and never at import."""

from datetime import datetime
from typing import Any

import psycopg
from psycopg.errors import ReadOnlySqlTransaction
from sqlalchemy import Connection, Engine, create_engine, event, func, make_url, select
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session, sessionmaker

from core.db.arrays import BinaryArray, BinaryArrayDumper

_NETWORK = {
    "connect_timeout": 3,
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 10_000,
}
"""What a URL may say otherwise. Without these a server whose host vanished holds whoever waits for its answer for two
hours, and whoever sends to it for a quarter of an hour; with them for ten to fifteen seconds, several times the
longest pause of a network that works. `tcp_user_timeout` is in milliseconds, all others in seconds."""


_HASTY = {"connect_timeout": 2, "keepalives_idle": 2, "keepalives_interval": 2, "tcp_user_timeout": 4_000}
"""The same for a server that another one stands in for."""


def make_engine(
    database_url: str, *, pool_size: int = 5, idle_limit: int = 0, reads_only: bool = False
) -> Engine:
    """An engine for `database_url` (the form of Settings.database_url).

    Prepared statements are off, so that PgBouncer in transaction mode works; a connection is tried before use, since a
    database that failed over has dropped it; three seconds to connect, so that an outage is noticed and not waited out;
    errors do not show the values that were sent, since they are logged: hashes of passwords and tokens, addresses.
    A server that takes no writes is left, at once or when it ceases to: after a failover the same name may lead to the
    old one for a while. It is asked itself: libpq's `target_session_attrs` believes what PgBouncer remembers of the
    first server that it met.
    `idle_limit` is in seconds: the server ends a transaction whose client does nothing for longer (0: it waits), which
    frees what a program had locked whose host died. It is said anew in each transaction, for that one alone: behind
    PgBouncer what a session is told is told to whoever comes next. This costs one round trip a transaction.
    `reads_only` is for a read replica: every transaction is a read-only one, and less patience is had with it.
    """
    said = make_url(database_url).query
    network = {**_NETWORK, **(_HASTY if reads_only else {})}
    engine = create_engine(
        database_url,
        pool_size=pool_size,
        max_overflow=5,
        pool_pre_ping=True,
        pool_recycle=1800,
        hide_parameters=True,
        execution_options={"postgresql_readonly": True} if reads_only else {},
        connect_args={
            "prepare_threshold": None,
            "application_name": "rastro",
            **{name: value for name, value in network.items() if name not in said},
        },
    )
    event.listen(engine, "connect", _know_arrays)
    if not reads_only:
        event.listen(engine, "connect", _require_writes)
    event.listen(engine, "handle_error", _leave_read_only)
    if idle_limit:
        event.listen(engine, "begin", lambda connection: _limit_idle(connection, idle_limit))
    return engine


def is_away(error: BaseException) -> bool:
    """True when the database could not do its part: no connection, a lost one, or a server that takes no writes."""
    return isinstance(error, OperationalError | PoolTimeout) or _is_lost(error)


def is_in_doubt(error: BaseException) -> bool:
    """True when the connection was lost while a transaction was being committed: it may have been, or not."""
    return isinstance(error, DBAPIError) and _is_lost(error) and error.statement is None


def server_time(engine: Engine) -> datetime:
    """What the clock of the database says, aware."""
    with engine.connect() as connection:
        return connection.scalars(select(func.now())).one()


def make_sessions(engine: Engine) -> sessionmaker[Session]:
    """A factory of sessions whose objects stay readable after a commit."""
    return sessionmaker(engine, expire_on_commit=False)


def _know_arrays(connection: Any, _record: object) -> None:
    connection.adapters.register_dumper(BinaryArray, BinaryArrayDumper)


def _require_writes(connection: Any, _record: object) -> None:
    """Refuse a server that takes no writes. One round trip, and only for a new connection."""
    try:
        if connection.execute("show transaction_read_only").fetchone() == ("on",):
            raise psycopg.OperationalError("the server takes no writes: it is a standby, or was demoted")
        connection.rollback()
    except BaseException:
        connection.close()
        raise


def _leave_read_only(context: ExceptionContext) -> None:
    """A server that was demoted keeps its connections: each of the pool leads there, so all of them go."""
    if isinstance(context.original_exception, ReadOnlySqlTransaction):
        context.is_disconnect = True


def _is_lost(error: BaseException) -> bool:
    return isinstance(error, DBAPIError) and error.connection_invalidated


def _limit_idle(connection: Connection, seconds: int) -> None:
    connection.exec_driver_sql(f"set local idle_in_transaction_session_timeout = '{seconds}s'")
