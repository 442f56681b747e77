"""Whose fault an error is. An outage is nobody's entry: it is waited out, and no attempt is counted."""

import psycopg
import redis
import sqlalchemy.exc

_OUTAGE_CLASSES = ("08", "40", "53", "57", "58")
"""SQLSTATE: connection, serialization and deadlock, resources (disk, memory, connections), intervention, system."""

_SETUP_CLASSES = ("25", "28", "3D", "3F", "42", "55", "F0", "XX")
"""Read-only server, rights, missing database or schema, tables of another release, server's own damage."""

_QUERY_CANCELED = "57014"
_IDLE_FOR_TOO_LONG = "25P03"
_READ_ONLY = "25006"
_REDIS_OUTAGES = (
    "LOADING",
    "READONLY",
    "OOM",
    "MISCONF",
    "CLUSTERDOWN",
    "MASTERDOWN",
    "NOREPLICAS",
    "TRYAGAIN",
    "MOVED ",
    "ASK ",
    "BUSY ",
)


def is_outage(error: BaseException) -> bool:
    """True when PostgreSQL or Redis could not do its part: unreachable, slow, full, restarting, or a transaction that
    lost against another one, or was ended while this process stood still, or met a server that a failover has left
    behind. A query that ran into its time limit is the
    task's own fault."""
    state = _sqlstate(error)
    if state is not None:
        is_ours = state == _QUERY_CANCELED
        return state in (_IDLE_FOR_TOO_LONG, _READ_ONLY) or (state[:2] in _OUTAGE_CLASSES and not is_ours)
    if isinstance(error, redis.ResponseError):
        return str(error).startswith(_REDIS_OUTAGES)
    return isinstance(
        error,
        redis.ConnectionError
        | redis.TimeoutError
        | psycopg.OperationalError
        | psycopg.InterfaceError
        | sqlalchemy.exc.OperationalError
        | sqlalchemy.exc.InterfaceError
        | sqlalchemy.exc.TimeoutError,
    )


def is_nobodys(error: BaseException) -> bool:
    """True when no entry of a batch can be to blame: an outage, a query over its time limit, a database that was not
    migrated or refuses us, or an error of this machine's files, network or memory."""
    if is_outage(error) or isinstance(error, OSError | MemoryError):
        return True
    state = _sqlstate(error)
    return state is not None and (state == _QUERY_CANCELED or state[:2] in _SETUP_CLASSES)


def _sqlstate(error: BaseException) -> str | None:
    """The five characters that PostgreSQL gave, or None when the error did not come from its answer."""
    cause = error.orig if isinstance(error, sqlalchemy.exc.DBAPIError) else error
    return cause.sqlstate if isinstance(cause, psycopg.Error) else None
