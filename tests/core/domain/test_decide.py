"""What a link answers: its state, its time, and where visitors are sent instead."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from core.contracts.domain_snapshot import DomainSnapshot
from core.contracts.link_snapshot import Condition, LinkSnapshot, Rule, Variant
from core.domain.decide import STEPS, Targeted, decide, opened, steps_of
from core.domain.decision import Decision
from core.domain.facts import Asked, Facts
from core.domain.targeting import plan_of

URL, OVER, PARKED = (
    "https://shop.example/a?b=%20c#d",
    "https://shop.example/over",
    "https://shop.example/parked",
)
NOW = 1_764_230_400_000
ASKED = Asked(ip="192.0.2.7", user_agent="x", query="", referrer="", host="go.example", language="")
PLAIN = DomainSnapshot(domain_id=1, host="go.example")
PARKING = DomainSnapshot(
    domain_id=1, host="go.example", expired_url=PARKED, not_found_url=PARKED, root_url=PARKED
)


@pytest.mark.parametrize(
    ("link", "decision"),
    [
        (LinkSnapshot(link_id=7, url=URL), Decision(302, "redirect", URL)),
        (LinkSnapshot(link_id=7, url=URL, status=307), Decision(307, "redirect", URL)),
        (LinkSnapshot(link_id=7, url=URL, state="paused"), Decision(404, "paused")),
        (LinkSnapshot(link_id=7, url=URL, state="gone"), Decision(410, "gone")),
        (LinkSnapshot(link_id=7, url=URL, state="a state of a later release"), Decision(404, "paused")),
        (LinkSnapshot(), Decision(404, "unknown")),
        (LinkSnapshot(state="paused"), Decision(404, "unknown")),
    ],
)
def test_it_decides_by_state(link: LinkSnapshot, decision: Decision) -> None:
    assert decide(link, domain=PLAIN, now_ms=NOW) == decision


@pytest.mark.parametrize(
    ("starts", "expires", "outcome"),
    [
        (None, None, "redirect"),
        (NOW, None, "redirect"),
        (NOW + 1, None, "scheduled"),
        (None, NOW, "expired"),
        (None, NOW + 1, "redirect"),
        (NOW - 5, NOW + 5, "redirect"),
        (NOW + 1, NOW + 5, "scheduled"),
        (NOW - 5, NOW, "expired"),
        (-1, None, "redirect"),
        (None, 0, "expired"),
    ],
)
def test_it_decides_by_time(starts: int | None, expires: int | None, outcome: str) -> None:
    link = LinkSnapshot(link_id=7, url=URL, starts_ms=starts, expires_ms=expires)
    page = {"redirect": Decision(302, "redirect", URL), "scheduled": Decision(404, "scheduled")}
    assert decide(link, domain=PLAIN, now_ms=NOW) == page.get(outcome, Decision(410, "expired"))


@pytest.mark.parametrize(
    ("link", "domain", "decision"),
    [
        (LinkSnapshot(expires_ms=1, fallback_url=OVER), PARKING, Decision(302, "expired", OVER)),
        (LinkSnapshot(expires_ms=1, fallback_url=OVER), PLAIN, Decision(302, "expired", OVER)),
        (LinkSnapshot(expires_ms=1), PARKING, Decision(302, "expired", PARKED)),
        (LinkSnapshot(expires_ms=1, status=307), PARKING, Decision(302, "expired", PARKED)),
        (LinkSnapshot(starts_ms=NOW + 1, fallback_url=OVER), PARKING, Decision(302, "scheduled", OVER)),
        (LinkSnapshot(starts_ms=NOW + 1), PARKING, Decision(404, "scheduled")),
        (LinkSnapshot(state="paused", expires_ms=1, fallback_url=OVER), PARKING, Decision(404, "paused")),
        (LinkSnapshot(state="gone", fallback_url=OVER), PARKING, Decision(410, "gone")),
    ],
)
def test_it_sends_visitors_elsewhere(link: LinkSnapshot, domain: DomainSnapshot, decision: Decision) -> None:
    owned = LinkSnapshot(**{**{name: getattr(link, name) for name in link.__struct_fields__}, "link_id": 7})
    assert decide(owned, domain=domain, now_ms=NOW) == decision


SECRET = "$argon2id$..."


@pytest.mark.parametrize(
    ("link", "decision", "once_opened"),
    [
        (LinkSnapshot(state="locked"), Decision(423, "locked"), Decision(302, "redirect", URL)),
        (LinkSnapshot(state="live"), Decision(423, "locked"), Decision(302, "redirect", URL)),
        (LinkSnapshot(state="locked", status=307), Decision(423, "locked"), Decision(307, "redirect", URL)),
        (LinkSnapshot(state="paused"), Decision(404, "paused"), Decision(404, "paused")),
        (LinkSnapshot(state="gone"), Decision(410, "gone"), Decision(410, "gone")),
        (
            LinkSnapshot(state="locked", starts_ms=NOW + 1),
            Decision(404, "scheduled"),
            Decision(404, "scheduled"),
        ),
        (
            LinkSnapshot(state="locked", expires_ms=1, fallback_url=OVER),
            Decision(302, "expired", OVER),
            Decision(302, "expired", OVER),
        ),
    ],
)
def test_it_asks_for_the_password_of_a_link_that_is_open(
    link: LinkSnapshot, decision: Decision, once_opened: Decision
) -> None:
    locked = replace(link, link_id=7, url=URL, password_hash=SECRET)
    assert decide(locked, domain=PLAIN, now_ms=NOW) == decision
    assert decide(opened(locked), domain=PLAIN, now_ms=NOW) == once_opened


def test_it_holds_back_a_locked_link_whose_password_is_not_there() -> None:
    assert decide(LinkSnapshot(link_id=7, state="locked", url=URL), domain=PLAIN, now_ms=NOW) == Decision(
        404, "paused"
    )


def test_it_asks_for_the_password_before_any_rule() -> None:
    rule = Rule(id=3, conditions=(Condition("robot"),), url=OVER)
    link = LinkSnapshot(link_id=7, state="locked", url=URL, rules=(rule,), password_hash=SECRET)
    plan = plan_of(link)
    assert plan is not None
    robot = Targeted(plan, Facts(NOW, ASKED, "agent"))
    assert decide(link, domain=PLAIN, now_ms=NOW, targeted=robot) == Decision(423, "locked")
    assert decide(opened(link), domain=PLAIN, now_ms=NOW, targeted=robot) == Decision(
        302, "redirect", OVER, rule=3
    )


def test_it_walks_named_steps_in_order() -> None:
    assert [step.__name__ for step in STEPS] == [
        "known",
        "active",
        "started",
        "unexpired",
        "password",
        "rule",
        "variant",
    ]


@pytest.mark.parametrize(
    ("link", "domain", "decision"),
    [
        (LinkSnapshot(click_cap=3), PLAIN, Decision(302, "redirect", URL, if_capped=Decision(410, "capped"))),
        (
            LinkSnapshot(click_cap=3, status=307, fallback_url=OVER),
            PARKING,
            Decision(307, "redirect", URL, if_capped=Decision(302, "capped", OVER)),
        ),
        (
            LinkSnapshot(click_cap=3),
            PARKING,
            Decision(302, "redirect", URL, if_capped=Decision(302, "capped", PARKED)),
        ),
        (LinkSnapshot(click_cap=3, expires_ms=1), PLAIN, Decision(410, "expired")),
        (LinkSnapshot(click_cap=3, starts_ms=NOW + 1), PLAIN, Decision(404, "scheduled")),
        (LinkSnapshot(click_cap=3, state="paused"), PLAIN, Decision(404, "paused")),
        (LinkSnapshot(click_cap=0, fallback_url=OVER), PARKING, Decision(302, "redirect", URL)),
    ],
)
def test_it_leaves_a_cap_to_whoever_counts(
    link: LinkSnapshot, domain: DomainSnapshot, decision: Decision
) -> None:
    owned = replace(link, link_id=7, url=URL)
    assert decide(owned, domain=domain, now_ms=NOW) == decision


def test_it_caps_rules_and_splits_too() -> None:
    link = LinkSnapshot(
        link_id=7,
        url=URL,
        rules=(Rule(id=3, conditions=(Condition("robot"),), url=OVER),),
        split=(Variant(id=5, url=PARKED),),
        split_key=b"0123456789abcdef",
        click_cap=1,
    )
    plan = plan_of(link)
    assert plan is not None
    for door_bot, led in (("agent", (OVER, 3, 0)), ("", (PARKED, 0, 5))):
        facts = Facts(NOW, ASKED, door_bot)
        decision = decide(link, domain=PLAIN, now_ms=NOW, targeted=Targeted(plan, facts))
        assert (decision.url, decision.rule, decision.variant) == led
        assert decision.if_capped == Decision(410, "capped")


_ms = st.none() | st.integers(-10, 10)


@given(
    link=st.builds(
        LinkSnapshot,
        link_id=st.integers(0, 9),
        state=st.text(max_size=8) | st.just("live"),
        url=st.just(URL),
        starts_ms=_ms,
        expires_ms=_ms,
        fallback_url=st.sampled_from(["", OVER]),
        status=st.sampled_from([302, 307]),
        password_hash=st.sampled_from(["", SECRET]),
        rules=st.sampled_from([(), (Rule(id=3, conditions=(Condition("robot"),), url=URL),)]),
        split=st.sampled_from([(), (Variant(id=5, url=URL),)]),
    ),
    domain=st.sampled_from([PLAIN, PARKING]),
    now_ms=st.integers(-11, 11),
)
def test_it_leads_to_the_destination_only_live_and_in_time(
    link: LinkSnapshot, domain: DomainSnapshot, now_ms: int
) -> None:
    plan = plan_of(link)
    targeted = None if plan is None else Targeted(plan, Facts(now_ms, ASKED, "agent"))
    decision = decide(link, domain=domain, now_ms=now_ms, targeted=targeted)
    in_time = (link.starts_ms is None or link.starts_ms <= now_ms) and (
        link.expires_ms is None or now_ms < link.expires_ms
    )
    leads = link.link_id > 0 and link.state == "live" and in_time and not link.password_hash
    assert (decision.outcome == "redirect") == (decision.url == URL) == leads
    assert (decision.status in (302, 307)) == bool(decision.url)
    steps = steps_of(link)
    assert decide(link, domain=domain, now_ms=now_ms, targeted=targeted, steps=steps) == decision
