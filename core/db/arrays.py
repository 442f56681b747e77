"""Columns of a batch as PostgreSQL's binary arrays: numbers cost a third of what their text costs to write, and the
server need not parse them. A statement casts each to the type that it was made for, as in `cast(:ids as int[])`."""

import struct
from collections.abc import Sequence

from psycopg.adapt import Dumper
from psycopg.pq import Format

_BOOL, _INT8, _INT2, _INT4, _TEXT, _DATE, _TIMESTAMPTZ, _UUID = 16, 20, 21, 23, 25, 1082, 1184, 2950
_EPOCH_DAY = 730_120
"""`date.toordinal` of 2000-01-01, from where PostgreSQL counts days and microseconds."""

_EPOCH_US = 946_684_800_000_000


class BinaryArray(bytes):
    """An array as it travels."""


class BinaryArrayDumper(Dumper):
    """Sends a BinaryArray as it is; its type is what the statement casts it to."""

    format = Format.BINARY

    def dump(self, obj: BinaryArray) -> bytes:
        """psycopg's hook."""
        return obj


def smallints(values: Sequence[int]) -> BinaryArray:
    """A `smallint[]`. Raises struct.error for a number that it can not hold, like all that take numbers."""
    return _numbers(_INT2, "h", 2, values)


def ints(values: Sequence[int]) -> BinaryArray:
    """An `int[]`."""
    return _numbers(_INT4, "i", 4, values)


def bigints(values: Sequence[int]) -> BinaryArray:
    """A `bigint[]`."""
    return _numbers(_INT8, "q", 8, values)


def booleans(values: Sequence[bool]) -> BinaryArray:
    """A `boolean[]`."""
    return _numbers(_BOOL, "?", 1, values)


def dates(ordinals: Sequence[int]) -> BinaryArray:
    """A `date[]` of what `date.toordinal` gave."""
    return _numbers(_DATE, "i", 4, [ordinal - _EPOCH_DAY for ordinal in ordinals])


def instants(seconds: Sequence[int]) -> BinaryArray:
    """A `timestamptz[]` of seconds since 1970."""
    return _numbers(_TIMESTAMPTZ, "q", 8, [second * 1_000_000 - _EPOCH_US for second in seconds])


def uuids(values: Sequence[bytes]) -> BinaryArray:
    """A `uuid[]` of 16 bytes each."""
    return _joined(_UUID, [b"\0\0\0\x10" + value for value in values])


def texts(values: Sequence[str | None]) -> BinaryArray:
    """A `text[]`; None becomes null. The texts must be storable (`core.db.texts`)."""
    return _joined(_TEXT, [_text(value) for value in values])


def _numbers(oid: int, code: str, size: int, values: Sequence[int]) -> BinaryArray:
    number = len(values)
    flat = [size] * (2 * number)
    flat[1::2] = values
    return BinaryArray(_head(oid, number) + struct.pack(">" + ("i" + code) * number, *flat))


def _joined(oid: int, items: Sequence[bytes]) -> BinaryArray:
    return BinaryArray(_head(oid, len(items)) + b"".join(items))


def _head(oid: int, number: int) -> bytes:
    """Dimensions, whether there are nulls (the server looks itself), type; then length and first index of the one."""
    return struct.pack(">iiiii", 1, 1, oid, number, 1) if number else struct.pack(">iii", 0, 0, oid)


def _text(value: str | None) -> bytes:
    if value is None:
        return b"\xff\xff\xff\xff"
    data = value.encode()
    return len(data).to_bytes(4, "big") + data
