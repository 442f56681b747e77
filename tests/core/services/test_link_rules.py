"""Rules and splits as people set them: ids that last, history, what is published, and what is refused."""

import random
from datetime import datetime
from typing import Any

import msgspec
import pytest
from redis import Redis
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from core.contracts import keys, link_snapshot
from core.contracts.link_snapshot import Condition, LinkSnapshot, Rule, Variant
from core.db.models import Domain, Link, LinkHistory, LinkRule, LinkVariant
from core.services import links, publishing
from core.services.actor import Actor
from core.services.link_rules import names_of
from core.services.links import LinkRefused, RuleFields, VariantFields

URL, BRAZIL, PHONE = "https://shop.example/", "https://shop.example/br", "https://shop.example/m"
IN_BRAZIL = Condition("country", values=("br",))
ON_PHONE = Condition("device", values=("mobile",))
HALVES = (VariantFields(url=f"{URL}1", weight=50), VariantFields(url=f"{URL}2", weight=50))


@pytest.fixture
def link(db: Session, domain: Domain, valkey: Redis, actor: Actor, now: datetime) -> Link:
    """Slug `a` with two rules, the second with a split of its own, and a split; published."""
    return links.create_link(
        db,
        url=URL,
        slug="a",
        rules=[
            RuleFields(conditions=(IN_BRAZIL,), url=f" {BRAZIL}/é ", name=" In  Brazil "),
            RuleFields(conditions=(ON_PHONE, Condition("robot", is_not=True)), split=HALVES),
        ],
        split=(VariantFields(url=PHONE, weight=1, name="Old"), VariantFields(url=URL, weight=3, name="New")),
        actor=actor,
        now=now,
        redis=valkey,
        rng=random.Random(1),
    )


@pytest.fixture
def edit(db: Session, link: Link, valkey: Redis, actor: Actor, now: datetime) -> Any:
    """`edit(rules=...)`: save changes and publish them."""
    return lambda **changes: links.edit_link(
        db, link_id=link.id, actor=actor, now=now, redis=valkey, **changes
    )


def published(valkey: Redis, link: Link) -> LinkSnapshot:
    framed = valkey.get(keys.link(link.domain_id, link.slug_key))
    assert isinstance(framed, bytes)
    return link_snapshot.decode(framed)


def as_fields(row: LinkRule, **changes: Any) -> RuleFields:
    """A rule as it is, to be sent again."""
    known = {
        "id": row.id,
        "name": row.name,
        "url": row.url,
        "conditions": tuple(
            Condition(c["kind"], c["op"] == "is_not", tuple(c["values"])) for c in row.conditions
        ),
        "split": tuple(VariantFields(v.url, v.weight, v.name, v.id) for v in row.split),
    }
    return RuleFields(**{**known, **changes})


def test_it_publishes_what_was_set(link: Link, valkey: Redis) -> None:
    first, second = link.rules
    snapshot = published(valkey, link)
    assert snapshot.rules == (
        Rule(id=first.id, conditions=(Condition("country", values=("BR",)),), url=f"{BRAZIL}/%C3%A9"),
        Rule(
            id=second.id,
            conditions=(ON_PHONE, Condition("robot", is_not=True)),
            split=tuple(Variant(id=row.id, url=row.url, weight=50) for row in second.split),
        ),
    )
    assert snapshot.split == tuple(Variant(id=row.id, url=row.url, weight=row.weight) for row in link.split)
    assert snapshot.split_key == link.split_key and len(snapshot.split_key) == 16
    assert [row.name for row in second.split] == ["A", "B"]
    assert (first.name, first.url) == ("In Brazil", f"{BRAZIL}/é")


def test_it_writes_them_into_history(db: Session, link: Link, edit: Any) -> None:
    edit(rules=[as_fields(link.rules[1])])
    newest, oldest = links.history_of(db, link_id=link.id)
    assert newest.changed == ["rules"] and [rule["id"] for rule in newest.fields["rules"]] == [
        oldest.fields["rules"][1]["id"]
    ]
    assert oldest.fields["rules"][0] == {
        "id": oldest.fields["rules"][0]["id"],
        "name": "In Brazil",
        "conditions": [{"kind": "country", "op": "is", "values": ["BR"]}],
        "url": f"{BRAZIL}/é",
        "split": [],
    }
    assert [variant["name"] for variant in oldest.fields["split"]] == ["Old", "New"]


def test_it_changes_nothing_when_the_same_is_saved(db: Session, link: Link, edit: Any) -> None:
    split = [VariantFields(row.url, row.weight, row.name) for row in link.split]
    assert edit(rules=[as_fields(row) for row in link.rules], split=split).version == 1
    assert edit(title="Other").version == 2
    assert len(db.scalars(select(LinkHistory)).all()) == 2 and len(link.rules) == 2


def test_it_keeps_ids_in_any_order_and_makes_new_ones(link: Link, edit: Any, valkey: Redis) -> None:
    first, second = link.rules
    added = RuleFields(conditions=(ON_PHONE,), url=PHONE)
    edit(rules=[as_fields(second), added, as_fields(first, url=PHONE)])
    ids = [rule.id for rule in published(valkey, link).rules]
    assert [ids[0], ids[2]] == [second.id, first.id] and ids[1] not in (first.id, second.id)
    assert published(valkey, link).rules[2].url == PHONE


def test_it_takes_rules_out_but_keeps_their_names(db: Session, link: Link, edit: Any, valkey: Redis) -> None:
    (first, second), (old, new) = link.rules, link.split
    edit(rules=[], split=[])
    assert published(valkey, link).rules == () and published(valkey, link).split == ()
    assert (link.rules, link.split) == ([], [])
    assert names_of(db, kind="rule", ids=[first.id, second.id]) == {
        first.id: "In Brazil",
        second.id: "device is mobile; robot is not there",
    }
    assert names_of(db, kind="variant", ids=[old.id, new.id]) == {old.id: "Old", new.id: "New"}
    edit(rules=[as_fields(first)])
    assert [rule.id for rule in published(valkey, link).rules] == [first.id]


def test_it_keeps_variants_by_name_and_the_key_for_ever(link: Link, edit: Any, valkey: Redis) -> None:
    before, key = [row.id for row in link.split], link.split_key
    new = VariantFields(url=PHONE, weight=2)
    edit(
        split=[
            VariantFields(url=URL, weight=9, name="New"),
            new,
            VariantFields(url=URL, weight=1, name="Old"),
        ]
    )
    after = published(valkey, link)
    assert [after.split[2].id, after.split[0].id] == before and after.split[0].weight == 9
    assert link.split[1].name == "A"
    edit(split=[])
    edit(split=HALVES)
    assert published(valkey, link).split_key == key


def test_it_has_no_key_without_a_split(db: Session, domain: Domain, actor: Actor, now: datetime) -> None:
    rules = [RuleFields(conditions=(ON_PHONE,), url=PHONE)]
    made = links.create_link(db, url=URL, rules=rules, actor=actor, now=now)
    assert made.split_key is None and len(made.rules) == 1


@pytest.mark.parametrize("is_not", [False, True])
def test_it_has_a_key_for_returning_visitors(
    db: Session, domain: Domain, valkey: Redis, actor: Actor, now: datetime, is_not: bool
) -> None:
    rule = RuleFields(conditions=(Condition("returning", is_not=is_not),), url=BRAZIL)
    link = links.create_link(db, url=URL, rules=[rule], actor=actor, now=now, redis=valkey)
    assert link.split_key is not None and len(link.split_key) == 16
    snapshot = published(valkey, link)
    assert snapshot.split_key == link.split_key
    assert snapshot.rules[0].conditions == (Condition("returning", is_not=is_not),)


def test_it_republishes_them(engine: Engine, link: Link, edit: Any, valkey: Redis) -> None:
    edit(rules=[as_fields(link.rules[1])])
    before = published(valkey, link)
    valkey.flushdb()
    publishing.republish_all(engine, valkey)
    assert published(valkey, link) == before and len(before.rules) == 1


GOOD = RuleFields(conditions=(ON_PHONE,), url=PHONE)
TWO = HALVES


def rule(**changes: Any) -> dict[str, Any]:
    return {"rules": [GOOD, msgspec.structs.replace(GOOD, **changes)]}


def split(**changes: Any) -> dict[str, Any]:
    return {"split": [TWO[0], msgspec.structs.replace(TWO[1], **changes)]}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"rules": [GOOD] * 51}, "rules"),
        (rule(conditions=()), "rules.1.conditions"),
        (rule(conditions=(ON_PHONE,) * 21), "rules.1.conditions"),
        (
            rule(conditions=(ON_PHONE, Condition("country", values=("BR", "x")))),
            "rules.1.conditions.1.values.1",
        ),
        (rule(conditions=(Condition("weather"),)), "rules.1.conditions.0.kind"),
        (rule(url=""), "rules.1.url"),
        (rule(url="javascript:alert(1)"), "rules.1.url"),
        (rule(url="https://go.example.com/b"), "rules.1.url"),
        (rule(split=TWO), "rules.1.url"),
        (rule(url="", split=TWO[:1]), "rules.1.split"),
        (rule(url="", split=(TWO[0], VariantFields("ftp://a.example", 1))), "rules.1.split.1.url"),
        (rule(name="x" * 101), "rules.1.name"),
        (rule(name="a\0b"), "rules.1.name"),
        (rule(id=10**6), "rules.1.id"),
        (split(id=10**6), "split.1.id"),
        (split(weight=0), "split.1.weight"),
        (split(weight=-1), "split.1.weight"),
        (split(weight=10_001), "split.1.weight"),
        (split(url=""), "split.1.url"),
        (split(url="https://GO.example.com"), "split.1.url"),
        (split(name="A"), "split.1.name"),
        ({"split": TWO[:1]}, "split"),
        ({"split": [VariantFields(URL, 1)] * 21}, "split"),
    ],
)
def test_it_names_the_part_that_can_not_be_taken_and_saves_nothing(
    db: Session, link: Link, edit: Any, changes: dict[str, Any], field: str
) -> None:
    if field == "split.1.name":
        changes = {"split": [VariantFields(URL, 1, "A"), VariantFields(URL, 1, " A ")]}
    before = links.fields_of(link)
    with pytest.raises(LinkRefused) as refused:
        edit(title="Other", **changes)
    assert refused.value.field == field and refused.value.message.endswith(".")
    db.expire_all()
    assert links.fields_of(links.get_link(db, link_id=link.id)) == before


def test_it_takes_no_id_twice_and_none_of_another_link(
    db: Session, link: Link, edit: Any, actor: Actor, now: datetime
) -> None:
    first = as_fields(link.rules[0])
    with pytest.raises(LinkRefused, match="given twice") as refused:
        edit(rules=[first, first])
    assert refused.value.field == "rules.1.id"
    with pytest.raises(LinkRefused):
        links.create_link(db, url=URL, rules=[first], actor=actor, now=now)
    assert len(db.scalars(select(Link)).all()) == 1 and len(db.scalars(select(LinkVariant)).all()) == 4
