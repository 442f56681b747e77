"""Conversions on their way between the table and whoever judges: loaded with a lock, inserted once, changed with their
history."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from itertools import takewhile
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, select

from core.db.arrays import bigints, texts, uuids
from core.db.conversions import Conversion, ConversionHistory
from core.db.queries import query
from core.db.rates import TOO_MUCH, rates_of
from core.domain.amounts import in_digits
from core.domain.attribution import time_of
from core.domain.conversions import REJECTED

Key = tuple[int, uuid.UUID, str, str]
"""Source, click as it was reported, transaction, event."""

NOBODY = uuid.UUID(int=0)
"""The nil UUID: no click, no postback."""

_POSTBACK = "postback:"
_KEPT = Decimal("0.000001")
_MONEY = ("revenue", "currency", "payout", "cost")

WITHDRAW = "withdraw"
"""Action of a version that takes back: by the postback that made the conversion, the conversion; by any other, what it
had changed, so that what was set before counts again."""


class ConversionRow(msgspec.Struct, kw_only=True):
    """The columns of a conversion."""

    source_id: int
    ref_click: uuid.UUID
    transaction_id: str
    event: str
    status: str
    at: datetime
    currency: str
    revenue: Decimal
    payout: Decimal
    cost: Decimal
    id: int = 0
    repeat: int = 0
    is_rebill: bool = False
    is_late: bool = False
    click_id: uuid.UUID | None = None
    link_id: int | None = None
    rule: int = 0
    variant: int = 0
    clicked_at: datetime | None = None
    attributed_by: str = ""
    customer_id: str = ""
    coupon: str = ""
    fields: dict[str, Any] = {}
    version: int = 1
    rate: Decimal | None = None
    report_revenue: Decimal | None = None
    report_payout: Decimal | None = None
    report_cost: Decimal | None = None

    @property
    def key(self) -> Key:
        return self.source_id, self.ref_click, self.transaction_id, self.event


@dataclass(frozen=True, slots=True, order=True)
class Cause:
    """What set a value: when, and the postback that did (the nil UUID for a person). Later ones are greater."""

    at: datetime
    postback: uuid.UUID = NOBODY

    @property
    def actor(self) -> str:
        return f"{_POSTBACK}{self.postback}"


class Version(msgspec.Struct):
    """A row of the history that is still to be written."""

    version: int
    actor: str
    action: str
    status: str
    changed: dict[str, list[Any]]
    conversion_id: int = 0


class Change(NamedTuple):
    """What set the status or the amounts, and which values stood there until then (as the history has them)."""

    cause: Cause
    before: dict[str, Any]


@dataclass(slots=True, eq=False)
class Kept:
    """A conversion that this transaction has locked or made, with the changes of its status (`moves`) and amounts
    (`prices`) that were not taken back, the making first."""

    row: ConversionRow
    moves: list[Change]
    prices: list[Change]
    versions: list[Version] = field(default_factory=list)
    written: int = 0
    """How many of its versions are in the database."""

    @classmethod
    def made(cls, row: ConversionRow, cause: Cause) -> "Kept":
        """A new one."""
        first = Change(cause, {})
        return cls(row, [first], [first], [Version(1, cause.actor, "create", row.status, {})])

    @property
    def moved(self) -> Cause:
        """What set its status."""
        return self.moves[-1].cause

    @property
    def priced(self) -> Cause:
        """What set its amounts."""
        return self.prices[-1].cause

    @property
    def maker(self) -> uuid.UUID:
        """The postback that made it."""
        return self.moves[0].cause.postback

    @property
    def is_withdrawn(self) -> bool:
        """Whether the postback that made it has taken it back."""
        return self.row.status == REJECTED and len(self.moves) > 1 and self.moved.postback == self.maker

    def has_change_of(self, postback: uuid.UUID) -> bool:
        """Whether a postback has made or changed it, even if others have changed it since."""
        return any(one.cause.postback == postback for one in (*self.moves, *self.prices))

    def undo(self, cause: Cause) -> bool:
        """Set what stood before the changes of a postback, where nobody has changed it since; whether any differed."""
        before: dict[str, Any] = {}
        for changes in (self.moves, self.prices):
            for one in _last_of(changes, cause.postback):
                before |= one.before
        return self.change(cause, WITHDRAW, {name: _typed(name, value) for name, value in before.items()})

    def note(self, cause: Cause, action: str, changed: Mapping[str, list[Any]]) -> None:
        """Remember what a version of the history has changed."""
        if action == WITHDRAW and cause.postback != self.maker:
            for changes in (self.moves, self.prices):
                del changes[len(changes) - len(_last_of(changes, cause.postback)) :]
            return
        before = {name: pair[0] for name, pair in changed.items() if pair}
        if "status" in changed:
            self.moves.append(Change(cause, {name: before[name] for name in before if name == "status"}))
        prices = "revenue" in changed or "currency" in changed
        if prices or (self.priced.postback == cause.postback and not changed.keys().isdisjoint(_MONEY)):
            self.prices.append(Change(cause, {name: before[name] for name in before if name in _MONEY}))

    def change(self, cause: Cause, action: str, values: Mapping[str, Any]) -> bool:
        """Set columns; whether any of them differed. A version of the history tells which."""
        differing = {name: value for name, value in values.items() if getattr(self.row, name) != value}
        if not differing:
            return False
        changed = {
            name: [_plain(getattr(self.row, name)), _plain(value)] for name, value in differing.items()
        }
        for name, value in differing.items():
            setattr(self.row, name, value)
        self.note(cause, action, changed)
        self.row.version += 1
        self.versions.append(Version(self.row.version, cause.actor, action, self.row.status, changed))
        return True


def load(connection: Connection, keys: Iterable[Key], ids: Iterable[int] = ()) -> list[Kept]:
    """Lock the conversions with these keys (all repeats) and ids, in the order of their ids."""
    wanted_keys = sorted(keys)
    columns = [getattr(Conversion, name) for name in ConversionRow.__struct_fields__]
    rows: dict[int, ConversionRow] = {}
    missing = set(ids) | set(_find(connection, wanted_keys))
    while missing:
        found = select(*columns).where(Conversion.id.in_(missing)).order_by(Conversion.id).with_for_update()
        rows |= {row["id"]: ConversionRow(**row) for row in connection.execute(found).mappings()}
        again = set(_find(connection, wanted_keys))  # who held the lock may have made one more
        missing = again - missing - rows.keys()
    never = Change(Cause(datetime.min.replace(tzinfo=UTC)), {})
    kept = {id_: Kept(row, [never], [never]) for id_, row in rows.items()}
    _recall(connection, kept)
    return list(kept.values())


def insert(
    connection: Connection, made: Sequence[Kept], *, now: datetime, report_currency: str
) -> list[Kept]:
    """Insert conversions whose keys and repeats differ; those that were there already are left out of the answer."""
    if not made:
        return []
    _price(connection, [kept.row for kept in made], report_currency)
    values = {"rows": _json([kept.row for kept in made]), "now": now}
    inserted = connection.execute(query("insert_conversions"), values)
    ids = {(row[1:5], row.repeat): row.id for row in inserted}
    fresh = []
    for kept in made:
        found = ids.get((kept.row.key, kept.row.repeat))
        if found is not None:
            kept.row.id = found
            fresh.append(kept)
    return fresh


def write(connection: Connection, kept: Sequence[Kept], *, now: datetime, report_currency: str) -> None:
    """Write changes and history of conversions that are in the table, as far as they are not written yet."""
    changed = [one.row for one in kept if one.written < len(one.versions) and one.versions[-1].version > 1]
    if changed:
        _price(connection, changed, report_currency)
        values = {"rows": _json(changed), "now": now}
        connection.execute(query("update_conversions"), values)
    versions = []
    for one in kept:
        for version in one.versions[one.written :]:
            version.conversion_id = one.row.id
            versions.append(version)
        one.written = len(one.versions)
    if versions:
        connection.execute(query("insert_history"), {"rows": _json(versions), "now": now})


def _find(connection: Connection, keys: Sequence[Key]) -> Sequence[int]:
    if not keys:
        return []
    sources, clicks, transactions, events = zip(*keys, strict=True)
    values = {
        "source_ids": bigints(sources),
        "ref_clicks": uuids([click.bytes for click in clicks]),
        "transaction_ids": texts(transactions),
        "events": texts(events),
    }
    return connection.scalars(query("find_conversions"), values).all()


def _recall(connection: Connection, kept: Mapping[int, Kept]) -> None:
    """Let conversions know what has set their status and amounts; asked once they are locked."""
    if not kept:
        return
    history = (
        select(
            ConversionHistory.conversion_id,
            ConversionHistory.version,
            ConversionHistory.at,
            ConversionHistory.actor,
            ConversionHistory.action,
            ConversionHistory.changed,
        )
        .where(ConversionHistory.conversion_id.in_(kept))
        .order_by(ConversionHistory.conversion_id, ConversionHistory.version)
    )
    for row in connection.execute(history):
        one, cause = kept[row.conversion_id], _cause(row.actor, row.at)
        if row.version == 1:
            one.moves, one.prices = [Change(cause, {})], [Change(cause, {})]
        else:
            one.note(cause, row.action, row.changed)


def _last_of(changes: Sequence[Change], postback: uuid.UUID) -> list[Change]:
    """The changes of a postback that no other's follow, latest first; the making is none."""
    return list(takewhile(lambda one: one.cause.postback == postback, reversed(changes[1:])))


def _typed(name: str, value: Any) -> Any:
    """A value of the history as it is in the row."""
    return Decimal(value) if name in ("revenue", "payout", "cost") else value


def _price(connection: Connection, rows: Sequence[ConversionRow], report_currency: str) -> None:
    """Count amounts in the reporting currency, at the rate of the conversion's day (UTC); rounded as `fill_rates.sql`
    does."""
    days = [(row.currency, row.at.astimezone(UTC).date()) for row in rows]
    rates = rates_of(connection, days, report_currency=report_currency)
    for row, day in zip(rows, days, strict=True):
        rate = rates.get(day)
        if rate is not None and max(row.revenue, row.payout, row.cost) * rate >= TOO_MUCH:
            rate = None
        row.rate = rate
        row.report_revenue, row.report_payout, row.report_cost = (
            None if rate is None else (amount * rate).quantize(_KEPT, ROUND_HALF_UP)
            for amount in (row.revenue, row.payout, row.cost)
        )


def _cause(actor: str, at: datetime) -> Cause:
    if not actor.startswith(_POSTBACK):
        return Cause(at)
    postback = uuid.UUID(actor.removeprefix(_POSTBACK))
    return Cause(min(time_of(postback), at), postback)


def _json(rows: Sequence[msgspec.Struct]) -> str:
    return msgspec.json.encode(rows).decode()


def _plain(value: Any) -> Any:
    return in_digits(value) if isinstance(value, Decimal) else msgspec.to_builtins(value)
