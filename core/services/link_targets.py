"""The rules and splits of links as trackers read them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, or_, select

from core.contracts.link_snapshot import Rule, Variant
from core.db.models import Link, LinkRule, LinkVariant
from core.domain.urls import ascii_url
from core.services.link_rules import condition_of


@dataclass(frozen=True, slots=True)
class Targets:
    """What a link leads to beside its own destination."""

    rules: tuple[Rule, ...] = ()
    split: tuple[Variant, ...] = ()
    split_key: bytes = b""


NO_TARGETS = Targets()


def targets_of(connection: Connection, link_ids: Sequence[int]) -> dict[int, Targets]:
    """The rules and splits of now; links that have none are left out. Three statements, however many links."""
    rules = connection.execute(
        select(LinkRule.id, LinkRule.link_id, LinkRule.conditions, LinkRule.url)
        .where(LinkRule.link_id.in_(link_ids), LinkRule.position.is_not(None))
        .order_by(LinkRule.position)
    ).all()
    splits = _splits(connection, link_ids, [row.id for row in rules])
    by_link: defaultdict[int, list[Rule]] = defaultdict(list)
    for row in rules:
        conditions = tuple(condition_of(fields) for fields in row.conditions)
        split = tuple(splits.get(("rule", row.id), ()))
        by_link[row.link_id].append(
            Rule(id=row.id, conditions=conditions, url=ascii_url(row.url), split=split)
        )
    links = by_link.keys() | {link_id for owner, link_id in splits if owner == "link"}
    if not links:
        return {}
    keys = connection.execute(select(Link.id, Link.split_key).where(Link.id.in_(links)))
    return {
        row.id: Targets(
            rules=tuple(by_link.get(row.id, ())),
            split=tuple(splits.get(("link", row.id), ())),
            split_key=row.split_key or b"",
        )
        for row in keys
    }


def _splits(
    connection: Connection, link_ids: Sequence[int], rule_ids: Sequence[int]
) -> dict[tuple[str, int], list[Variant]]:
    """The variants of links and rules, by their owner."""
    rows = connection.execute(
        select(LinkVariant.id, LinkVariant.link_id, LinkVariant.rule_id, LinkVariant.url, LinkVariant.weight)
        .where(
            LinkVariant.position.is_not(None),
            or_(LinkVariant.link_id.in_(link_ids), LinkVariant.rule_id.in_(rule_ids)),
        )
        .order_by(LinkVariant.position)
    )
    found: dict[tuple[str, int], list[Variant]] = {}
    for row in rows:
        owner = ("link", row.link_id) if row.link_id is not None else ("rule", row.rule_id)
        found.setdefault(owner, []).append(Variant(id=row.id, url=ascii_url(row.url), weight=row.weight))
    return found
