"""Rules and splits by the API: set, read, changed, reported, and everything that can be wrong with them."""

from datetime import date
from typing import Any

import pytest
from sqlalchemy.orm import Session

from core.db.tracking import DICTIONARIES, Dictionary, RollupDim
from tests.admin_flask.api.conftest import Caller, errors

URL, PHONE = "https://example.com/tv", "https://example.com/m"
ON_PHONE = {"kind": "device", "op": "is", "values": ["mobile"]}
RULE = {"conditions": [ON_PHONE], "url": PHONE}
SPLIT = [{"url": URL, "weight": 3, "name": "Old"}, {"url": PHONE, "weight": 1}]


def test_it_sets_reads_and_changes_them(api: Caller) -> None:
    night = {
        "kind": "time",
        "op": "is_not",
        "values": ["22:00-06:00"],
        "zone": "America/Sao_Paulo",
        "weekdays": ["sat", "fri"],
    }
    rules = [RULE, {"conditions": [{"kind": "query", "name": "vip"}, night], "split": SPLIT, "name": "VIPs"}]
    answer = api.post("/links", url=URL, slug="a", rules=rules, split=SPLIT)
    assert answer.status_code == 201, answer.get_json()
    made = answer.get_json()
    first, second = made["rules"]
    assert first == {"id": first["id"], "name": "", "conditions": [ON_PHONE], "url": PHONE, "split": []}
    assert second["conditions"] == [
        {"kind": "query", "op": "is", "values": [], "name": "vip"},
        {**night, "weekdays": ["fri", "sat"]},
    ]
    assert [(each["name"], each["weight"], each["url"]) for each in second["split"]] == [
        *(("Old", 3, URL), ("A", 1, PHONE))
    ]
    assert [each["name"] for each in made["split"]] == ["Old", "A"]
    path = f"/links/{made['id']}"
    assert api.get(path).get_json() == made == api.patch(path, rules=made["rules"]).get_json()
    assert api.get("/links").get_json()["items"][0]["rules"] == made["rules"]
    changed = api.patch(path, rules=[second, first], version=1).get_json()
    assert (changed["rules"], changed["split"], changed["version"]) == ([second, first], made["split"], 2)
    assert api.patch(path, rules=[], split=[]).get_json()["rules"] == []


def test_it_warns_of_macros_that_are_none_wherever_they_stand(api: Caller) -> None:
    urls = [f"https://example.com/?a={{click_id}}&b={{{name}}}" for name in ("sky", "sea", "sun", "sky")]
    split = [{"url": urls[1], "weight": 1}, {"url": urls[2], "weight": 1}]
    rules = [{"conditions": [ON_PHONE], "url": urls[3]}, {"conditions": [ON_PHONE], "split": split}]
    made = api.post("/links", url=urls[0], slug="a", rules=rules).get_json()
    assert [warning.split()[0] for warning in made["warnings"]] == ["{sky}", "{sea}", "{sun}"]


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"rules": None}, {"rules"}),
        ({"rules": RULE}, {"rules"}),
        ({"rules": [RULE, 7]}, {"rules.1"}),
        ({"rules": [{"url": PHONE}]}, {"rules.0.conditions"}),
        ({"rules": [{**RULE, "conditions": []}]}, {"rules.0.conditions"}),
        ({"rules": [{**RULE, "colour": "red"}]}, {"rules.0.colour"}),
        ({"rules": [{**RULE, "id": "7"}]}, {"rules.0.id"}),
        ({"rules": [{**RULE, "id": 7}]}, {"rules.0.id"}),
        ({"rules": [{"conditions": [ON_PHONE]}]}, {"rules.0.url"}),
        ({"rules": [RULE, {**RULE, "url": "example.com"}]}, {"rules.1.url"}),
        ({"rules": [{**RULE, "split": SPLIT}]}, {"rules.0.url"}),
        ({"rules": [{"conditions": [ON_PHONE], "split": [{"url": URL}]}]}, {"rules.0.split.0.weight"}),
        ({"rules": [{**RULE, "conditions": [{"kind": "weather"}]}]}, {"rules.0.conditions.0.kind"}),
        ({"rules": [{**RULE, "conditions": [{**ON_PHONE, "op": "has"}]}]}, {"rules.0.conditions.0.op"}),
        (
            {"rules": [{**RULE, "conditions": [ON_PHONE, {**ON_PHONE, "values": ["tv", "pc"]}]}]},
            {"rules.0.conditions.1.values.1"},
        ),
        (
            {"rules": [{**RULE, "conditions": [{"kind": "time", "weekdays": ["friday"]}]}]},
            {"rules.0.conditions.0.weekdays.0"},
        ),
        ({"rules": [RULE] * 51}, {"rules"}),
        ({"split": SPLIT[:1]}, {"split"}),
        ({"split": [SPLIT[0], {**SPLIT[1], "weight": 0}]}, {"split.1.weight"}),
        ({"split": [SPLIT[0], {**SPLIT[1], "weight": 1.5}]}, {"split.1.weight"}),
        ({"split": [SPLIT[0], {**SPLIT[1], "url": "https://go.example.com/x"}]}, {"split.1.url"}),
        ({"split": [SPLIT[0], SPLIT[0]]}, {"split.1.name"}),
    ],
)
def test_it_names_the_part_that_is_wrong(api: Caller, fields: dict[str, Any], wrong: set[str]) -> None:
    found = errors(api.send("POST", "/links", json={"url": URL, **fields}))
    assert set(found) == wrong
    assert all(message.endswith((".", "tv", "example.com")) for message in found.values())
    assert api.get("/links").get_json()["total"] == 0


def test_it_breaks_down_by_their_names(api: Caller, db: Session) -> None:
    made = api.post("/links", url=URL, rules=[RULE, {**RULE, "name": "VIPs"}], split=SPLIT).get_json()
    (described, named), (old, _) = made["rules"], made["split"]
    for kind, identity, clicks in (
        ("rule", described["id"], 5),
        ("rule", named["id"], 7),
        ("variant", old["id"], 3),
    ):
        entry = Dictionary(kind=DICTIONARIES[kind], value=str(identity))
        db.add(entry)
        db.flush()
        add_counts(db, made["id"], DICTIONARIES[kind], entry.id, clicks)
    add_counts(db, made["id"], 0, 0, 20)
    db.commit()
    api.patch(f"/links/{made['id']}", rules=[], split=[])
    rows = api.get("/reports/breakdown", link_id=made["id"], by="rule").get_json()["rows"]
    assert [(row["value"], row["id"], row["clicks"]) for row in rows] == [
        ("", None, 8),
        ("VIPs", named["id"], 7),
        ("device is mobile", described["id"], 5),
    ]
    rows = api.get("/reports/breakdown", by="variant", link_id=made["id"]).get_json()["rows"]
    assert [(row["value"], row["id"]) for row in rows] == [("", None), ("Old", old["id"])]


def add_counts(db: Session, link_id: int, kind: int, value: int, clicks: int) -> None:
    day = date(2026, 11, 27)
    db.add(
        RollupDim(link_id=link_id, day=day, kind=kind, value=value, shard=0, clicks=clicks, uniques=1, bots=0)
    )
