"""Rules and splits of a link as people set them: checked, kept under lasting ids, and shown again.

A list that is given replaces the one that is there. What carries the id of a present rule or variant stays that one,
and so does a variant of the same name; what is left out is taken out, and keeps its row for the clicks that it led.
"""

import random
from collections.abc import Collection, Iterable, Sequence
from string import ascii_uppercase
from typing import Any, TypeVar

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.contracts.link_snapshot import Condition
from core.db.models import Link, LinkRule, LinkVariant
from core.domain.conditions import RETURNING, ConditionRefused, check_condition, describe
from core.domain.urls import DestinationRefused, check_destination
from core.services.link_errors import LinkRefused
from core.services.link_words import check_name

MOST_RULES, MOST_CONDITIONS, MOST_VARIANTS, LARGEST_WEIGHT = 50, 20, 20, 10_000
_KEY_BYTES = 16


class VariantFields(msgspec.Struct, frozen=True):
    """One destination of a split. Its share is its weight by the sum of all; without a name it gets a letter."""

    url: str
    weight: int
    name: str = ""
    id: int | None = None


class RuleFields(msgspec.Struct, frozen=True):
    """Where visitors go for whom all conditions hold: to `url`, or to one of `split`."""

    conditions: tuple[Condition, ...]
    url: str = ""
    split: tuple[VariantFields, ...] = ()
    name: str = ""
    id: int | None = None


def put_rules(link: Link, rules: Sequence[RuleFields], *, own_hosts: Collection[str]) -> None:
    """Give a link that is in its session these rules. Raises LinkRefused, `field` like
    "rules.0.conditions.1.values"."""
    if len(rules) > MOST_RULES:
        raise LinkRefused("rules", f"A link has at most {MOST_RULES} rules; these are {len(rules)}.")
    known = {row.id: row for row in link.every_rule}
    for row in link.every_rule:
        row.position = None
    for place, fields in enumerate(rules):
        path = f"rules.{place}"
        row = _present(known, fields.id, path, "rule") or LinkRule(url="")
        row.name = check_name(f"{path}.name", fields.name)
        row.conditions = _conditions(fields.conditions, f"{path}.conditions")
        row.url = _rule_url(row.url, fields, path, own_hosts)
        row.position = place
        _put_variants(row.every_variant, fields.split, f"{path}.split", own_hosts)
        if row not in link.every_rule:
            link.every_rule.append(row)


def put_split(link: Link, split: Sequence[VariantFields], *, own_hosts: Collection[str]) -> None:
    """Give a link that is in its session this split, or none. Raises LinkRefused, `field` like "split.0.weight"."""
    _put_variants(link.every_variant, split, "split", own_hosts)


def put_split_key(link: Link, rng: random.Random) -> None:
    """Give a link that must tell visitors apart (a split, a rule for returning ones) its key, which lasts: with another
    one every visitor would be dealt anew, and nobody would return."""
    if link.split_key is None and (link.split or any(map(_tells_apart, link.rules))):
        link.split_key = rng.randbytes(_KEY_BYTES)


def rules_json(link: Link) -> list[dict[str, Any]]:
    """The rules as the API and the history show them."""
    return [
        {
            "id": row.id,
            "name": row.name,
            "conditions": row.conditions,
            "url": row.url,
            "split": _variants_json(row.split),
        }
        for row in link.rules
    ]


def split_json(link: Link) -> list[dict[str, Any]]:
    """The link's own split as the API and the history show it."""
    return _variants_json(link.split)


def condition_of(fields: dict[str, Any]) -> Condition:
    """The condition in its written form, as `conditions` of a rule's row has it."""
    return Condition(
        kind=fields["kind"],
        is_not=fields["op"] == "is_not",
        values=tuple(fields["values"]),
        name=fields.get("name", ""),
        zone=fields.get("zone", ""),
        weekdays=tuple(fields.get("weekdays", ())),
    )


def names_of(session: Session, *, kind: str, ids: Collection[int]) -> dict[int, str]:
    """What to call rules or variants (`kind` is "rule" or "variant"), those that were taken out too. A rule without a
    name is called by its conditions."""
    if kind == "variant":
        found = session.execute(select(LinkVariant.id, LinkVariant.name).where(LinkVariant.id.in_(ids)))
        return {row.id: row.name for row in found}
    rules = session.execute(
        select(LinkRule.id, LinkRule.name, LinkRule.conditions).where(LinkRule.id.in_(ids))
    )
    return {row.id: row.name or _described(row.conditions) for row in rules}


def _tells_apart(rule: LinkRule) -> bool:
    return bool(rule.split) or any(fields["kind"] == RETURNING for fields in rule.conditions)


def _rule_url(url: str, fields: RuleFields, path: str, own_hosts: Collection[str]) -> str:
    if fields.split:
        if fields.url.strip():
            raise LinkRefused(f"{path}.url", "A rule leads to an address or to a split, not to both.")
        return ""
    if not fields.url.strip():
        raise LinkRefused(f"{path}.url", "Type the address that the rule leads to, or give it a split.")
    return _destination(url, fields.url, path, own_hosts)


def _put_variants(
    rows: list[LinkVariant], split: Sequence[VariantFields], path: str, own_hosts: Collection[str]
) -> None:
    if len(split) == 1 or len(split) > MOST_VARIANTS:
        raise LinkRefused(path, f"A split has 2 to {MOST_VARIANTS} variants.")
    names = _names(split, path)
    known = {row.id: row for row in rows}
    given = {fields.id for fields in split}
    by_name = {row.name: row.id for row in rows if row.position is not None and row.id not in given}
    for row in rows:
        row.position = None
    for place, (fields, name) in enumerate(zip(split, names, strict=True)):
        here = f"{path}.{place}"
        row = _present(known, fields.id or by_name.get(name), here, "variant") or LinkVariant(url="")
        if not 1 <= fields.weight <= LARGEST_WEIGHT:
            raise LinkRefused(f"{here}.weight", f"A weight is a whole number from 1 to {LARGEST_WEIGHT:,}.")
        row.name, row.weight, row.position = name, fields.weight, place
        row.url = _destination(row.url, fields.url, here, own_hosts)
        if row not in rows:
            rows.append(row)


def _names(split: Sequence[VariantFields], path: str) -> list[str]:
    """Every variant's name, each once; letters for those that have none."""
    typed = [check_name(f"{path}.{place}.name", fields.name) for place, fields in enumerate(split)]
    letters = (letter for letter in ascii_uppercase if letter not in typed)
    names = [name or next(letters) for name in typed]
    twice = next((place for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise LinkRefused(f"{path}.{twice}.name", f"Another variant is called “{names[twice]}”, too.")
    return names


Row = TypeVar("Row", LinkRule, LinkVariant)


def _present(known: dict[int, Row], row_id: int | None, path: str, what: str) -> Row | None:
    """The row of this id, which is used up by it; None without an id."""
    if row_id is None:
        return None
    try:
        return known.pop(row_id)
    except KeyError as error:
        raise LinkRefused(f"{path}.id", f"There is no {what} {row_id} here, or it is given twice.") from error


def _conditions(conditions: Sequence[Condition], path: str) -> list[dict[str, Any]]:
    if not 1 <= len(conditions) <= MOST_CONDITIONS:
        raise LinkRefused(path, f"A rule has 1 to {MOST_CONDITIONS} conditions.")
    checked = []
    for place, condition in enumerate(conditions):
        try:
            checked.append(_condition_json(check_condition(condition)))
        except ConditionRefused as refused:
            raise LinkRefused(f"{path}.{place}.{refused.field}", refused.message) from refused
    return checked


def _destination(old: str, url: str, path: str, own_hosts: Collection[str]) -> str:
    """Checked, unless it is what is there: a host may have become ours since."""
    if old and url.strip() == old:
        return old
    try:
        return check_destination(url, own_hosts=own_hosts)
    except DestinationRefused as refused:
        raise LinkRefused(f"{path}.url", refused.message) from refused


def _condition_json(condition: Condition) -> dict[str, Any]:
    written: dict[str, Any] = {
        "kind": condition.kind,
        "op": "is_not" if condition.is_not else "is",
        "values": list(condition.values),
    }
    more = {"name": condition.name, "zone": condition.zone, "weekdays": list(condition.weekdays)}
    return written | {name: value for name, value in more.items() if value}


def _variants_json(rows: Iterable[LinkVariant]) -> list[dict[str, Any]]:
    return [{"id": row.id, "name": row.name, "url": row.url, "weight": row.weight} for row in rows]


def _described(conditions: Sequence[dict[str, Any]]) -> str:
    return "; ".join(describe(condition_of(fields)) for fields in conditions)
