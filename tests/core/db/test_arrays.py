"""Binary arrays arrive as what they were made of."""

from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Engine, text

from core.db import arrays
from core.db.arrays import BinaryArray

_DAY = date(2026, 11, 27)
_AT = datetime(2026, 11, 27, 18, tzinfo=UTC)
_ID = UUID("019ab2b9-0000-7000-8000-0000000000ff")


@pytest.mark.parametrize(
    ("kind", "array", "expected"),
    [
        ("smallint", arrays.smallints([-(2**15), 0, 2**15 - 1]), [-(2**15), 0, 2**15 - 1]),
        ("int", arrays.ints([-(2**31), 2**31 - 1]), [-(2**31), 2**31 - 1]),
        ("bigint", arrays.bigints((-(2**63), 2**63 - 1)), [-(2**63), 2**63 - 1]),
        ("boolean", arrays.booleans([True, False]), [True, False]),
        (
            "date",
            arrays.dates([_DAY.toordinal(), date(1999, 12, 31).toordinal()]),
            [_DAY, date(1999, 12, 31)],
        ),
        ("timestamptz", arrays.instants([int(_AT.timestamp()), 0]), [_AT, datetime(1970, 1, 1, tzinfo=UTC)]),
        ("uuid", arrays.uuids([_ID.bytes]), [_ID]),
        ("text", arrays.texts(["", None, 'a"{,}\\', "é😀"]), ["", None, 'a"{,}\\', "é😀"]),
        *((kind, make([]), []) for kind, make in (("int", arrays.ints), ("text", arrays.texts))),
    ],
)
def test_it_arrives_as_it_was(engine: Engine, kind: str, array: BinaryArray, expected: list[Any]) -> None:
    with engine.connect() as connection:
        found = connection.scalar(text(f"select cast(:array as {kind}[])"), {"array": array})
        length = connection.scalar(text(f"select cardinality(cast(:array as {kind}[]))"), {"array": array})
    assert (found, length) == (expected, len(expected))
