"""Links whose answer is at hand: only those that lead everybody alike, whatever fields a later release adds."""

from typing import Any

import msgspec
import pytest

from core.contracts import link_snapshot
from core.contracts.domain_snapshot import DomainSnapshot
from core.contracts.link_snapshot import AppLinks, Condition, LinkSnapshot, Rule, Variant
from core.domain.decide import Targeted, decide, steps_of
from core.domain.facts import Asked, Facts
from tracker_quart.compiled import Compiled, compile_link, without_password

URL = "https://shop.example/a"
PLAIN = LinkSnapshot(link_id=7, url=URL)
DOMAIN = DomainSnapshot(domain_id=1, host="go.example")
ASKED = Asked(
    ip="192.0.2.7", address=None, user_agent="x", query="", referrer="", host="go.example", language=""
)

HARMLESS: dict[str, Any] = {
    "link_id": 8,
    "url": "https://shop.example/b",
    "fallback_url": "https://shop.example/c",
    "status": 307,
    "no_referrer": True,
    "pass_query": False,
    "split_key": b"0123456789abcdef",
    "campaign_id": 3,
    "campaign": "Black Friday",
}
DECIDING: dict[str, Any] = {
    "state": "paused",
    "starts_ms": 1,
    "expires_ms": 1,
    "rules": (Rule(id=1, conditions=(Condition("robot"),), url=URL),),
    "split": (Variant(id=1, url=URL),),
    "click_id_param": "subid",
    "click_cap": 1,
    "password_hash": "$argon2id$",
    "apps": AppLinks(ios="myapp://a"),
}


def compiled(link: LinkSnapshot) -> Compiled:
    return compile_link(link_snapshot.encode(link, revision=5))


def test_it_knows_what_every_field_does() -> None:
    assert {*HARMLESS, *DECIDING, "schema"} == {field.name for field in msgspec.structs.fields(LinkSnapshot)}


@pytest.mark.parametrize("name", HARMLESS)
def test_it_has_the_answer_at_hand(name: str) -> None:
    link = msgspec.structs.replace(PLAIN, **{name: HARMLESS[name]})
    answer = compiled(link).answer
    assert answer is not None and compiled(link).steps == steps_of(link) == ()
    assert (answer.status, answer.headers[0]) == (link.status, ("location", link.url))
    assert (("referrer-policy", "no-referrer") in answer.headers) is link.no_referrer
    assert answer.head.startswith(f"HTTP/1.1 {link.status} \r\nlocation: {link.url}\r\n".encode())


@pytest.mark.parametrize("name", DECIDING)
def test_it_leaves_to_the_decision(name: str) -> None:
    link = msgspec.structs.replace(PLAIN, **{name: DECIDING[name]})
    assert compiled(link).answer is None and compiled(link).steps == steps_of(link)


@pytest.mark.parametrize(
    "link", [LinkSnapshot(), LinkSnapshot(url=URL), msgspec.structs.replace(PLAIN, url=URL + "?a={click_id}")]
)
def test_it_leaves_strangers_and_macros_to_the_decision(link: LinkSnapshot) -> None:
    assert compiled(link).answer is None


def test_it_opens_a_link_for_who_knows_the_password() -> None:
    locked = compiled(
        msgspec.structs.replace(PLAIN, state="locked", password_hash="$argon2id$", split=DECIDING["split"])
    )
    opened = without_password(locked)
    assert (opened.link.state, opened.link.password_hash) == ("live", "")
    assert (opened.revision, opened.plan, opened.answer) == (5, locked.plan, None)


def test_it_says_what_rules_and_a_split_alone_lead_to() -> None:
    ruled = msgspec.structs.replace(PLAIN, rules=DECIDING["rules"], split=DECIDING["split"])
    leads = compiled(ruled).leads
    assert leads is not None
    plan = compiled(ruled).plan
    assert plan is not None
    for door_bot in ("agent", ""):
        facts = Facts(1, ASKED, door_bot)
        assert leads(facts) == decide(ruled, domain=DOMAIN, now_ms=1, targeted=Targeted(plan, facts))


@pytest.mark.parametrize(
    "more",
    [
        *({name: DECIDING[name]} for name in DECIDING if name not in ("rules", "split")),
        {"url": URL + "?a={click_id}"},
        {"split": (Variant(id=1, url=URL + "?utm_source=a"),)},
        {"rules": (Rule(id=1, conditions=(Condition("returning"),), url=URL),), "split_key": b"k" * 16},
        {"link_id": 0},
    ],
)
def test_it_leaves_all_else_beside_rules_to_the_decision(more: dict[str, Any]) -> None:
    link = msgspec.structs.replace(PLAIN, **{"rules": DECIDING["rules"], **more})
    assert compiled(link).leads is None and compiled(link).plan is not None
