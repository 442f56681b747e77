"""Engines and sessions, made on demand and never at import."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, select
from sqlalchemy.orm import Session, sessionmaker

from core.db.arrays import BinaryArray, BinaryArrayDumper


def make_engine(database_url: str, *, pool_size: int = 5, idle_limit: int = 0) -> Engine:
    """An engine for `database_url` (the form of Settings.database_url).

    Prepared statements are off, so that PgBouncer in transaction mode works; a connection is tried before use, since a
    database that failed over has dropped it; three seconds to connect, so that an outage is noticed and not waited out;
    errors do not show the values that were sent, since they are logged: hashes of passwords and tokens, addresses.
    `idle_limit` is in seconds: the server ends a transaction whose client does nothing for longer (0: it waits), which
    frees what a program had locked whose host died. It is said anew in each transaction, for that one alone: behind
    PgBouncer what a session is told is told to whoever comes next. This costs one round trip a transaction.
    """
    engine = create_engine(
        database_url,
        pool_size=pool_size,
        max_overflow=5,
        pool_pre_ping=True,
        pool_recycle=1800,
        hide_parameters=True,
        connect_args={"prepare_threshold": None, "connect_timeout": 3, "application_name": "rastro"},
    )
    event.listen(engine, "connect", _know_arrays)
    if idle_limit:
        event.listen(engine, "begin", lambda connection: _limit_idle(connection, idle_limit))
    return engine


def server_time(engine: Engine) -> datetime:
    """What the clock of the database says, aware."""
    with engine.connect() as connection:
        return connection.scalars(select(func.now())).one()


def make_sessions(engine: Engine) -> sessionmaker[Session]:
    """A factory of sessions whose objects stay readable after a commit."""
    return sessionmaker(engine, expire_on_commit=False)


def _know_arrays(connection: Any, _record: object) -> None:
    connection.adapters.register_dumper(BinaryArray, BinaryArrayDumper)


def _limit_idle(connection: Connection, seconds: int) -> None:
    connection.exec_driver_sql(f"set local idle_in_transaction_session_timeout = '{seconds}s'")
