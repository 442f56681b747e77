"""Which rule matches whom: every kind of condition, order, time over midnight and over changes of the clock."""

import tracemalloc
import weakref
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.contracts.domain_snapshot import DomainSnapshot
from core.contracts.link_snapshot import Condition, LinkSnapshot, Rule, Variant
from core.domain.decide import Targeted, decide
from core.domain.decision import Decision
from core.domain.facts import Asked, Facts
from core.domain.networks import number_of
from core.domain.targeting import Plan, plan_of

URL, RULED = "https://shop.example/", "https://shop.example/ruled"
ANDROID = (
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/131.0.0.0 Mobile Safari/537.36"
)
MAC = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.1 Safari/605.1.15"
)
COUNTRIES = {"203.0.113.9": "BR", "2001:db8::7": "PT"}


def at(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


def facts(**fields: Any) -> Facts:
    said = dict.fromkeys(("query", "referrer", "host", "language"), "") | {
        "ip": "203.0.113.9",
        "user_agent": ANDROID,
    }
    said |= {name: fields.pop(name) for name in said if name in fields}
    known = {"now_ms": at("2026-11-27T12:00"), "country_of": lambda ip, address: COUNTRIES.get(ip, "")}
    return Facts(asked=Asked(**said, address=number_of(said["ip"])), **{**known, **fields})


def led(url: str, **ids: int) -> Decision:
    return Decision(302, "redirect", url, **ids)


def matches(condition: Condition, **fields: Any) -> bool:
    link = LinkSnapshot(link_id=7, url=URL, rules=(Rule(id=1, conditions=(condition,), url=RULED),))
    return Plan(link).by_rule(facts(**fields)) is not None


def when(kind: str, *values: str, **more: Any) -> Condition:
    return Condition(kind=kind, values=values, **more)


CASES: list[tuple[Condition, dict[str, Any], bool]] = [
    (when("country", "AR", "BR"), {}, True),
    (when("country", "BR"), {"ip": "2001:db8::7"}, False),
    (when("country", "PT"), {"ip": "2001:db8::7"}, True),
    (when("country", "BR"), {"ip": ""}, False),
    (when("country", "BR"), {"ip": "198.51.100.1"}, False),
    (when("device", "mobile"), {}, True),
    (when("device", "tablet", "desktop", "tv"), {}, False),
    (when("device", "desktop"), {"user_agent": MAC}, True),
    (when("device", "mobile"), {"user_agent": ""}, False),
    (when("os", "android"), {}, True),
    (when("os", "iOS", "macOS"), {"user_agent": MAC}, True),
    (when("os", "iOS"), {}, False),
    (when("browser", "CHROME"), {}, True),
    (when("browser", "Safari"), {"user_agent": MAC}, True),
    (when("browser", "Safari"), {}, False),
    (when("language", "pt"), {"language": "pt-BR,en;q=0.5"}, True),
    (when("language", "pt"), {"language": "pt"}, True),
    (when("language", "pt-BR"), {"language": "pt-br"}, True),
    (when("language", "pt-BR"), {"language": "pt-PT,pt-BR"}, False),
    (when("language", "pt-BR"), {"language": "pt"}, False),
    (when("language", "pt"), {"language": "ptu"}, False),
    (when("language", "pt"), {"language": ""}, False),
    (when("language", "pt"), {"language": "en,pt"}, False),
    (when("query", name="q"), {"query": "q=1"}, True),
    (when("query", name="q"), {"query": "a=2&q"}, True),
    (when("query", name="q"), {"query": "Q=1"}, False),
    (when("query", name="q"), {"query": ""}, False),
    (when("query", "é b", name="q"), {"query": "q=%C3%A9+b"}, True),
    (when("query", "1", "2", name="q"), {"query": "q=3&q=2"}, True),
    (when("query", "1", name="q"), {"query": "q=11"}, False),
    (when("query", "", name="q"), {"query": "x=1&q"}, True),
    (when("query", "", name="q"), {"query": "q="}, True),
    (when("query", "", name="q"), {"query": "q=1"}, False),
    (when("query", "", name="q"), {"query": "x"}, False),
    (when("query", name="a b"), {"query": "a%20b=%FF"}, True),
    (when("referrer", "google.com"), {"referrer": "https://www.google.com/search?q=x"}, True),
    (when("referrer", "google.com"), {"referrer": "https://news.google.com/"}, True),
    (when("referrer", "google.com"), {"referrer": "https://notgoogle.com/"}, False),
    (when("referrer", "google.com"), {"referrer": ""}, False),
    (when("referrer", ""), {"referrer": ""}, True),
    (when("referrer", ""), {"referrer": "https://go.example/x", "host": "go.example"}, True),
    (when("referrer", ""), {"referrer": "https://a.example/"}, False),
    (when("ip", "203.0.113.0/24"), {}, True),
    (when("ip", "203.0.113.9"), {}, True),
    (when("ip", "203.0.113.10", "198.51.100.0/24"), {}, False),
    (when("ip", "203.0.113.0/24"), {"ip": "::ffff:203.0.113.200"}, True),
    (when("ip", "203.0.113.0/24"), {"ip": "2001:db8::7"}, False),
    (when("ip", "2001:db8::/32"), {"ip": "2001:DB8:0::7"}, True),
    (when("ip", "2001:db8::/32"), {"ip": "2001:db9::7"}, False),
    (when("ip", "::/0", "0.0.0.0/0"), {"ip": "no address"}, False),
    (when("robot"), {"door_bot": "agent"}, True),
    (when("robot"), {}, False),
    (when("robot", "head", "prefetch"), {"door_bot": "prefetch"}, True),
    (when("robot", "head"), {"door_bot": "prefetch"}, False),
    (when("returning"), {"returning": True}, True),
    (when("returning"), {}, False),
]


@pytest.mark.parametrize(("condition", "visit", "holds"), CASES)
def test_it_knows_when_a_condition_holds(condition: Condition, visit: dict[str, Any], holds: bool) -> None:
    assert matches(condition, **visit) is holds
    opposite = Condition(condition.kind, True, condition.values, condition.name)
    assert matches(opposite, **visit) is not holds


@pytest.mark.parametrize(
    ("value", "zone", "moment", "holds"),
    [
        ("2026-11-27/2026-11-28", "UTC", at("2026-11-27T00:00"), True),
        ("2026-11-27/2026-11-28", "UTC", at("2026-11-27T00:00") - 1, False),
        ("2026-11-27/2026-11-28", "UTC", at("2026-11-28T00:00"), False),
        ("2026-11-27/2026-11-28", "America/Sao_Paulo", at("2026-11-27T02:59"), False),
        ("2026-11-27/2026-11-28", "America/Sao_Paulo", at("2026-11-27T03:00"), True),
        ("2026-11-27/2026-11-28", "America/Sao_Paulo", at("2026-11-28T02:59"), True),
        ("2026-11-27T09:30/2026-11-27T10:00", "Asia/Kolkata", at("2026-11-27T04:00"), True),
        ("2026-11-27T09:30/..", "UTC", at("2199-01-01T00:00"), True),
        ("2026-11-27T09:30/..", "UTC", at("2026-11-27T09:29"), False),
        ("../2026-11-27T09:30", "UTC", at("1999-01-01T00:00"), True),
        ("2026-11-27T09:30+02:00/..", "UTC", at("2026-11-27T07:30"), True),
        # The clock of Berlin went back at 03:00 on the 25th: that day has 25 hours.
        ("2026-10-25/2026-10-26", "Europe/Berlin", at("2026-10-24T22:00"), True),
        ("2026-10-25/2026-10-26", "Europe/Berlin", at("2026-10-25T22:59"), True),
        ("2026-10-25/2026-10-26", "Europe/Berlin", at("2026-10-25T23:00"), False),
    ],
)
def test_it_knows_dates_of_a_zone(value: str, zone: str, moment: int, holds: bool) -> None:
    assert matches(when("date", value, zone=zone), now_ms=moment) is holds


@pytest.mark.parametrize(
    ("windows", "weekdays", "here", "holds"),
    [
        (["09:00-18:00"], [], "2026-11-27T09:00", True),
        (["09:00-18:00"], [], "2026-11-27T08:59:59", False),
        (["09:00-18:00"], [], "2026-11-27T18:00", False),
        (["00:00-24:00"], ["fri"], "2026-11-27T23:59:59", True),
        (["00:00-24:00"], ["fri"], "2026-11-28T00:00", False),
        (["08:00-12:00", "13:00-17:00"], ["mon", "fri"], "2026-11-27T12:30", False),
        (["08:00-12:00", "13:00-17:00"], ["mon", "fri"], "2026-11-27T13:00", True),
        # Over midnight, a window belongs to the day that it starts on.
        (["22:00-06:00"], [], "2026-11-27T23:00", True),
        (["22:00-06:00"], [], "2026-11-27T05:59", True),
        (["22:00-06:00"], [], "2026-11-27T12:00", False),
        (["22:00-06:00"], ["fri"], "2026-11-27T22:00", True),
        (["22:00-06:00"], ["fri"], "2026-11-28T05:59", True),
        (["22:00-06:00"], ["fri"], "2026-11-28T06:00", False),
        (["22:00-06:00"], ["fri"], "2026-11-27T05:00", False),
        (["22:00-06:00"], ["sun"], "2026-11-30T05:00", True),
        (["22:00-06:00"], ["fri"], "2026-11-28T22:00", False),
    ],
)
def test_it_knows_the_time_of_day_of_a_zone(
    windows: list[str], weekdays: list[str], here: str, holds: bool
) -> None:
    zone = "America/Sao_Paulo"
    condition = when("time", *windows, zone=zone, weekdays=tuple(weekdays))
    assert matches(condition, now_ms=at(here, zone)) is holds


@pytest.mark.parametrize(
    ("moment", "holds"),
    [
        ("2026-10-25T00:29", False),  # 02:29 in Berlin, before the clock goes back
        ("2026-10-25T00:30", True),  # 02:30, the first time
        ("2026-10-25T01:15", False),  # 02:15 again
        ("2026-10-25T01:30", True),  # 02:30, the second time
        ("2026-10-25T02:00", False),  # 03:00
        ("2026-03-29T00:59", False),  # 01:59; the next minute is 03:00, so the window never comes
        ("2026-03-29T01:00", False),
    ],
)
def test_it_goes_by_the_clock_on_the_wall_when_that_is_changed(moment: str, holds: bool) -> None:
    assert matches(when("time", "02:30-03:00", zone="Europe/Berlin"), now_ms=at(moment)) is holds


def test_it_takes_the_first_rule_whose_conditions_all_hold() -> None:
    mobile, brazil, never = when("device", "mobile"), when("country", "BR"), when("country", "PT")
    link = LinkSnapshot(
        link_id=7,
        url=URL,
        rules=(
            Rule(id=1, conditions=(mobile, never), url="https://a.example/1"),
            Rule(id=2, conditions=(mobile, brazil), url="https://a.example/2"),
            Rule(id=3, conditions=(mobile,), url="https://a.example/3"),
        ),
    )
    assert Plan(link).by_rule(facts()) == led("https://a.example/2", rule=2)
    assert Plan(link).by_rule(facts(ip="198.51.100.1")) == led("https://a.example/3", rule=3)
    assert Plan(link).by_rule(facts(user_agent=MAC)) is None


def test_it_decides_rule_then_split_then_destination() -> None:
    ends = (Variant(id=11, url="https://a.example/11"), Variant(id=12, url="https://a.example/12"))
    own = (Variant(id=21, url="https://a.example/21"), Variant(id=22, url="https://a.example/22"))
    rules = (Rule(id=5, conditions=(when("device", "mobile"),), split=ends),)
    both = LinkSnapshot(link_id=7, url=URL, rules=rules, split=own, split_key=b"k" * 16)

    def decided(link: LinkSnapshot, **visit: Any) -> Decision:
        plan, asked = plan_of(link), facts(**visit)
        targeted = None if plan is None else Targeted(plan, asked)
        return decide(link, domain=DomainSnapshot(domain_id=1), now_ms=asked.now_ms, targeted=targeted)

    ruled = decided(both)
    assert (ruled.status, ruled.outcome, ruled.rule) == (302, "redirect", 5)
    assert (ruled.url, ruled.variant) in {(each.url, each.id) for each in ends}
    split = decided(both, user_agent=MAC)
    assert split.rule == 0 and (split.url, split.variant) in {(each.url, each.id) for each in own}
    unsplit = LinkSnapshot(link_id=7, url=URL, rules=rules)
    assert decided(unsplit, user_agent=MAC) == Decision(302, "redirect", URL)
    held = LinkSnapshot(link_id=7, url=URL, state="paused", rules=rules, split=own)
    assert decided(held) == Decision(404, "paused")
    assert plan_of(LinkSnapshot(link_id=7, url=URL)) is None


@pytest.mark.parametrize(
    "condition",
    [
        when("weather", "sunny"),
        when("time", "25:00-26:00", zone="UTC"),
        when("date", "2026-11-27/..", zone="Mars/Olympus"),
        when("ip", "here"),
    ],
)
@pytest.mark.parametrize("is_not", [False, True])
def test_it_matches_nobody_by_what_it_can_not_read(condition: Condition, is_not: bool) -> None:
    odd = Condition(condition.kind, is_not, condition.values, zone=condition.zone)
    other = Rule(id=2, conditions=(when("device", "mobile"),), url=RULED)
    link = LinkSnapshot(link_id=7, rules=(Rule(id=1, conditions=(odd,), url="https://no.example/"), other))
    assert Plan(link).by_rule(facts()) == led(RULED, rule=2)


@pytest.mark.parametrize(
    ("kinds", "key", "asks"),
    [
        (["robot", "returning"], b"k" * 16, True),
        (["robot"], b"k" * 16, False),
        ([], b"k" * 16, False),
        (["returning"], b"", False),  # without a key nobody can be told apart
    ],
)
def test_it_says_whether_it_must_know_who_returns(kinds: list[str], key: bytes, asks: bool) -> None:
    rules = tuple(Rule(id=n, conditions=(when(kind),), url=RULED) for n, kind in enumerate(kinds, 1))
    assert Plan(LinkSnapshot(link_id=7, rules=rules, split_key=key)).asks_returning is asks


def test_it_computes_a_fact_only_when_a_rule_asks_and_then_once() -> None:
    asked: list[str] = []

    def country_of(ip: str, address: object) -> str:
        asked.append(ip)
        return "BR"

    elsewhere = when("country", "AR")
    rules = tuple(Rule(id=n, conditions=(when("query", name="q"), elsewhere)) for n in (1, 2, 3))
    plan = Plan(LinkSnapshot(link_id=7, rules=rules))
    plan.by_rule(facts(country_of=country_of))
    assert asked == []
    plan.by_rule(facts(country_of=country_of, query="q"))
    assert asked == ["203.0.113.9"]


texts = st.text(max_size=40)


@given(st.builds(Condition, kind=st.sampled_from([case[0].kind for case in CASES]), values=st.tuples(texts)))
def test_it_never_fails_on_what_a_stranger_sends(condition: Condition) -> None:
    plan = Plan(LinkSnapshot(link_id=7, rules=(Rule(id=1, conditions=(condition,), url=RULED),)))
    odd = {
        "ip": "::1%x",
        "user_agent": "\ufffd",
        "query": "%&=&%f0",
        "referrer": "http://[",
        "language": "*;",
    }
    assert plan.by_rule(facts(**odd)) in (None, led(RULED, rule=1))


def test_it_remembers_what_browsers_mean_and_nothing_of_great_length() -> None:
    """Made-up texts differ for every visitor, and a character may take four bytes."""
    shop, portuguese = when("referrer", "a.example"), when("language", "pt")
    link = LinkSnapshot(link_id=7, url=URL, rules=(Rule(id=1, conditions=(shop, portuguese), url=RULED),))
    plan = Plan(link)
    kept = memory_of(plan, agent="x" * 300, referrer="https://a.example/" + "x" * 300)
    assert kept > 300_000
    long = "\U0001f600" * 401
    assert memory_of(plan, agent=long, referrer=f"https://a.example/{long}") < 1_000_000


def memory_of(plan: Plan, *, agent: str, referrer: str) -> int:
    """Bytes that a thousand visits leave behind, each with an end of its own to both texts."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(1000):
            asked = facts(user_agent=agent + str(number), referrer=referrer + str(number), language="pt")
            assert plan.by_rule(asked) == led(RULED, rule=1)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return after - before


def test_it_holds_on_to_no_link_that_is_gone() -> None:
    link = LinkSnapshot(
        link_id=7, url=URL, rules=(Rule(id=1, conditions=(when("device", "tv"),), url=RULED),)
    )
    plan = Plan(link)
    plan.by_rule(facts())
    gone = weakref.ref(plan)
    parts = [weakref.ref(leaves.__self__) for _, leaves in plan._parts]  # type: ignore[attr-defined]
    del plan
    assert gone() is None and [part() for part in parts] == [None]
