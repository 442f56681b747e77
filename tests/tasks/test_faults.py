"""Whose fault an error is."""

import errno

import psycopg
import pytest
import redis
import sqlalchemy.exc
from psycopg import errors

from tasks.faults import is_nobodys, is_outage


def wrapped(error: psycopg.Error) -> sqlalchemy.exc.DBAPIError:
    return sqlalchemy.exc.DBAPIError("select", {}, error)


def reply(text: str) -> redis.ResponseError:
    return redis.ResponseError(text)


@pytest.mark.parametrize(
    ("error", "outage", "nobodys"),
    [
        (redis.ConnectionError("refused"), True, True),
        (redis.TimeoutError("silent"), True, True),
        (redis.exceptions.BusyLoadingError("LOADING"), True, True),
        (reply("OOM command not allowed when used memory > 'maxmemory'."), True, True),
        (reply("READONLY You can't write against a read only replica."), True, True),
        (reply("WRONGTYPE Operation against a key"), False, False),
        (reply("BUSYGROUP Consumer Group name already exists"), False, False),
        (psycopg.OperationalError("connection refused"), True, True),
        (sqlalchemy.exc.OperationalError("select", {}, psycopg.OperationalError("gone")), True, True),
        (sqlalchemy.exc.TimeoutError("pool"), True, True),
        (wrapped(errors.ConnectionFailure()), True, True),
        (wrapped(errors.DeadlockDetected()), True, True),
        (errors.SerializationFailure(), True, True),
        (wrapped(errors.DiskFull()), True, True),
        (wrapped(errors.TooManyConnections()), True, True),
        (wrapped(errors.AdminShutdown()), True, True),
        (wrapped(errors.IoError()), True, True),
        (wrapped(errors.IdleInTransactionSessionTimeout()), True, True),
        (wrapped(errors.QueryCanceled()), False, True),
        (wrapped(errors.UndefinedTable()), False, True),
        (wrapped(errors.InsufficientPrivilege()), False, True),
        (wrapped(errors.ReadOnlySqlTransaction()), True, True),
        (OSError(errno.ENOSPC, "no space"), False, True),
        (ConnectionRefusedError("mail server"), False, True),
        (MemoryError(), False, True),
        (wrapped(errors.UniqueViolation()), False, False),
        (wrapped(errors.NumericValueOutOfRange()), False, False),
        (wrapped(errors.UntranslatableCharacter()), False, False),
        (ValueError("content"), False, False),
        (KeyError("bug"), False, False),
    ],
)
def test_it_says_whose_fault_it_is(error: Exception, outage: bool, nobodys: bool) -> None:
    assert (is_outage(error), is_nobodys(error)) == (outage, nobodys)
