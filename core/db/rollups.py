"""Counts of a batch, and adding them to the rollups: one sorted upsert a table, on one shard."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from sqlalchemy import Connection

from core.contracts.click_event import OUTCOMES, REDIRECT
from core.db.queries import query
from core.db.tracking import ALL_LINKS, ALL_REDIRECTS, DICTIONARIES, DIMENSIONS

_REDIRECT = OUTCOMES.index(REDIRECT)

TotalKey = tuple[int, int]
"""Link, quarter hour since 1970."""
DimKey = tuple[int, int, date, int]
"""Link, kind, day, value: the order of the primary key."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What a batch adds. Lists are [clicks, uniques, bots, others] and [clicks, uniques, bots]."""

    totals: dict[TotalKey, list[int]] = field(default_factory=dict)
    dims: dict[DimKey, list[int]] = field(default_factory=dict)


def count(
    rows: Iterable[tuple[int, int, date, int, int, bool]],
    values: Mapping[str, Sequence[int]],
    wanted: Sequence[int],
) -> Counts:
    """Count the rows at the indexes `wanted`.

    A row is (link, quarter hour, day, outcome, robot's reason, unique); `values` has a column of ids per dimension.
    """
    counts = Counts()
    totals, dims = counts.totals, counts.dims
    facts = list(rows)
    columns = [(DICTIONARIES[name], values[name]) for name in DIMENSIONS]
    for index in wanted:
        link, quarter, day, outcome, bot, unique = facts[index]
        total = totals.get((link, quarter))
        if total is None:
            total = totals[link, quarter] = [0, 0, 0, 0]
        if outcome != _REDIRECT:
            total[3] += 1
            continue
        place = 2 if bot else 0
        total[place] += 1
        total[1] += unique
        keys = [(link, kind, day, column[index]) for kind, column in columns if column[index]]
        keys.append((link, ALL_REDIRECTS, day, 0))
        for key in keys:
            dim = dims.get(key)
            if dim is None:
                dim = dims[key] = [0, 0, 0]
            dim[place] += 1
            dim[1] += unique
    _add_all_links(counts)
    return counts


def add_to_rollups(connection: Connection, counts: Counts, *, shard: int) -> None:
    """Add counts in the caller's transaction. Keys are sorted, so that even two writers of one shard never deadlock."""
    if counts.totals:
        keys = sorted(counts.totals)
        found = [counts.totals[key] for key in keys]
        connection.execute(
            query("add_totals"),
            {
                "shard": shard,
                "links": array(key[0] for key in keys),
                "slots": array(f'"{datetime.fromtimestamp(key[1] * 900, UTC).isoformat()}"' for key in keys),
                **_columns(("clicks", "uniques", "bots", "others"), found),
            },
        )
    if counts.dims:
        dim_keys = sorted(counts.dims)
        found = [counts.dims[key] for key in dim_keys]
        connection.execute(
            query("add_dims"),
            {
                "shard": shard,
                "links": array(key[0] for key in dim_keys),
                "kinds": array(key[1] for key in dim_keys),
                "days": array(key[2] for key in dim_keys),
                "values": array(key[3] for key in dim_keys),
                **_columns(("clicks", "uniques", "bots"), found),
            },
        )


def array(values: Iterable[object]) -> str:
    """A PostgreSQL array of values that need no quoting (numbers, dates, ids): several times faster to write, and to
    read for the server, than one parameter a value."""
    return "{" + ",".join(map(str, values)) + "}"


def _add_all_links(counts: Counts) -> None:
    """Add the sums under the link ALL_LINKS, from what was counted by link: few keys instead of every click."""
    all_totals: dict[TotalKey, list[int]] = {}
    for (_, quarter), found in counts.totals.items():
        _add(all_totals.setdefault((ALL_LINKS, quarter), [0, 0, 0, 0]), found)
    counts.totals.update(all_totals)
    all_dims: dict[DimKey, list[int]] = {}
    for (_, kind, day, value), found in counts.dims.items():
        _add(all_dims.setdefault((ALL_LINKS, kind, day, value), [0, 0, 0]), found)
    counts.dims.update(all_dims)


def _add(total: list[int], found: list[int]) -> None:
    for place, number in enumerate(found):
        total[place] += number


def _columns(names: Sequence[str], found: Sequence[Sequence[int]]) -> dict[str, str]:
    return {name: array(row[place] for row in found) for place, name in enumerate(names)}
