"""The capacity plan: what autoscalers decide, that no click is made or lost on the way, and what the document says."""

from dataclasses import replace
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.bench.autoscaler import Keda, Memory, Rules, hpa, keda, wanted_by_cpu, wanted_by_length
from tests.bench.capacity import (
    INPUTS,
    curve,
    plan_of,
    redis_gb,
    spike,
    steady,
    tables,
    text_of,
    track_pods,
    tracker_pods,
)
from tests.bench.simulation import Line, Outcome, Plan, reaction_s, simulate
from tests.bench.stand import ROOT

RULES = Rules(least=1, most=20)
SCALED = Keda(rules=Rules(least=0, most=4), target=20_000, activation=20_000, cooldown_s=60)

rates = st.lists(st.integers(0, 150_000), min_size=1, max_size=6)


def every(minute: list[int]) -> Outcome:
    """Each number of visitors a second for a minute."""
    return simulate(plan_of(), lambda second: minute[second // 60], seconds=60 * len(minute))


@pytest.mark.parametrize(
    ("pods", "length", "wanted"),
    [(1, 0, 0), (1, 19_000, 1), (1, 22_000, 1), (1, 22_001, 2), (4, 40_000, 2), (2, 1_000_000, 50)],
)
def test_it_wants_pods_by_the_length_of_the_stream(pods: int, length: int, wanted: int) -> None:
    assert wanted_by_length(RULES, pods=pods, length=length, target=20_000) == wanted


@pytest.mark.parametrize(
    ("pods", "metered", "used", "wanted"),
    [
        (3, 3, 0.9, 3),  # just what is aimed at
        (3, 3, 0.98, 3),  # within the tolerance
        (3, 3, 1.2, 4),
        (3, 3, 0.3, 1),
        (6, 3, 1.8, 6),  # three that have no figures yet take half of it
        (6, 3, 2.7, 9),  # not enough, those three counted
        (6, 3, 0.3, 1),  # on the way down only those that have figures count
        (3, 0, 0.0, 3),
    ],
)
def test_it_wants_pods_by_cpu(pods: int, metered: int, used: float, wanted: int) -> None:
    assert wanted_by_cpu(RULES, pods=pods, metered=metered, used=used, target=0.3) == wanted


def test_it_climbs_by_the_larger_of_both_policies() -> None:
    pods, memory, seen = 1, Memory(), []
    for now in range(0, 75, 15):
        pods, memory = hpa(RULES, memory, now=now, pods=pods, wanted=50)
        seen.append(pods)
    assert seen == [5, 10, 20, 20, 20]


def test_it_comes_down_once_nothing_more_was_wanted_within_the_window() -> None:
    pods, memory = hpa(RULES, Memory(), now=0, pods=1, wanted=4)
    for now in range(15, 315, 15):
        wanted = 2 if now == 60 else 1
        before, (pods, memory) = pods, hpa(RULES, memory, now=now, pods=pods, wanted=wanted)
        assert (before, pods) == ((4, 2) if now == 300 else (4, 4))
    pods, _ = hpa(RULES, memory, now=360, pods=pods, wanted=1)
    assert pods == 1


@given(
    wanted=st.lists(st.integers(0, 60), min_size=1, max_size=80),
    least=st.integers(1, 4),
    most=st.integers(4, 30),
    window=st.sampled_from((0, 60, 300)),
)
def test_it_stays_within_its_bounds_and_its_window(
    wanted: list[int], least: int, most: int, window: int
) -> None:
    rules = Rules(least=least, most=most, down_window_s=window)
    pods, memory = least, Memory()
    for place, wish in enumerate(wanted):
        before, (pods, memory) = pods, hpa(rules, memory, now=15 * place, pods=pods, wanted=wish)
        recent = wanted[max(0, place - (window - 1) // 15) : place + 1] if window else [wish]
        assert least <= pods <= most
        assert pods >= min(before, max(recent))


@pytest.mark.parametrize(
    ("pods", "length", "active_at", "after"),
    [
        (0, 20_000, None, 0),  # not more than the threshold
        (0, 20_001, None, 1),
        (3, 20_001, 0, 3),  # further pods are the HPA's
        (3, 20_000, 41, 3),  # cools down
        (3, 20_000, 40, 3),
        (3, 20_000, 39, 0),  # the whole pool at once
    ],
)
def test_it_wakes_the_pool_and_puts_it_to_sleep(
    pods: int, length: int, active_at: int | None, after: int
) -> None:
    assert keda(SCALED, Memory(active_at=active_at), now=100, pods=pods, length=length)[0] == after


def test_it_keeps_as_many_pods_as_it_is_told() -> None:
    kept = replace(SCALED, rules=Rules(least=2, most=4))
    assert keda(kept, Memory(), now=1000, pods=2, length=0)[0] == 2
    assert keda(kept, Memory(), now=1000, pods=0, length=0)[0] == 2


def test_it_leaves_a_pool_at_zero_to_keda() -> None:
    assert hpa(RULES, Memory(), now=0, pods=0, wanted=5)[0] == 0


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=30))
def test_it_serves_a_line_in_order(steps: list[tuple[int, int]]) -> None:
    line, here = Line(), []
    for now, (come, room) in enumerate(steps):
        line.join(now, come)
        here += [now] * come
        gone, here = here[:room], here[room:]
        assert line.leave(now, len(gone)) == (now - gone[0] if gone else 0)
        assert line.length == len(here)


@settings(max_examples=25, deadline=None)
@given(rates, st.integers(0, 200), st.integers(0, 120))
def test_it_stores_or_keeps_every_click(minutes: list[int], away_from: int, away_for: int) -> None:
    away = range(away_from, away_from + away_for)
    plan = plan_of()
    seconds = 60 * len(minutes)
    outcome = simulate(plan, lambda second: minutes[second // 60], seconds=seconds, away=[away])
    assert outcome.arrived == 60 * sum(minutes)
    assert outcome.arrived == outcome.unanswered + outcome.stored + outcome.waiting
    assert outcome.deepest == max(waiting for _, waiting, _, _ in outcome.seconds)
    for _, _, trackers, track in outcome.seconds:
        assert plan.trackers.rules.least <= trackers <= plan.trackers.rules.most
        assert 0 <= track <= plan.workers.scaled.rules.most


@settings(max_examples=25, deadline=None)
@given(rates)
def test_it_takes_pods_away_only_after_window_or_cooldown(minutes: list[int]) -> None:
    quiet = [*minutes, *([0] * 15)]
    outcome, plan = every(quiet), plan_of()
    for one in outcome.decisions:
        rules = plan.trackers.rules if one.who == "tracker" else plan.workers.scaled.rules
        if one.after < one.before:
            ups = [
                up.second for up in outcome.of(one.who) if up.after > up.before and up.second <= one.second
            ]
            assert ups and one.second - ups[-1] >= min(rules.down_window_s, plan.workers.scaled.cooldown_s)
    busy = [second for second, (came, waiting, _, _) in enumerate(outcome.seconds) if came or waiting]
    rested = len(outcome.seconds) - max(busy, default=0)
    if rested > plan.workers.scaled.cooldown_s + 2 * plan.workers.scaled.polling_s:
        assert outcome.seconds[-1][3] == 0


def test_it_starts_nothing_for_what_the_base_takes() -> None:
    outcome = simulate(plan_of(), steady(10_000), seconds=600)
    assert outcome.decisions == []
    assert (outcome.stored, outcome.longest_wait_s) == (6_000_000, 0)


def test_it_gives_the_same_outcome_again() -> None:
    profile = spike(1_000, peak=90_000, start=60, length=120)
    assert simulate(plan_of(), profile, seconds=400) == simulate(plan_of(), profile, seconds=400)


def test_it_stores_nothing_while_postgresql_is_away_and_everything_afterwards() -> None:
    outcome = simulate(plan_of(), steady(5_000), seconds=900, away=[range(60, 360)])
    assert outcome.deepest == 300 * 5_000
    assert outcome.longest_wait_s == 300
    assert outcome.waiting == 0


@pytest.mark.parametrize("peak", [24_000, 60_000, 100_000])
def test_it_asks_for_enough_pods_within_thirty_seconds(peak: int) -> None:
    plan: Plan = plan_of()
    first, enough, working = reaction_s(plan, before=2_000, after=peak)
    assert first <= enough < 30
    assert working == enough + plan.workers.start_s


def test_it_draws_straight_lines_between_points() -> None:
    at = curve([(1, 100), (2, 160), (4, 0)])
    assert [at(second) for second in (0, 60, 90, 120, 180, 240, 999)] == [100, 100, 130, 160, 80, 0, 0]


@pytest.mark.parametrize(
    ("rate", "tracker", "track"), [(0, 3, 0), (16_000, 3, 0), (16_001, 3, 1), (50_000, 4, 4), (100_000, 7, 9)]
)
def test_it_reckons_pods(rate: int, tracker: int, track: int) -> None:
    assert (tracker_pods(INPUTS, rate), track_pods(INPUTS, rate)) == (tracker, track)


def test_it_reckons_more_for_more_clicks() -> None:
    gigabytes = [redis_gb(INPUTS, rate) for rate in (0, 1_000, 10_000)]
    assert gigabytes == list(accumulate(gigabytes, max))
    assert gigabytes[1] == pytest.approx(
        100_000 * INPUTS.link_bytes / 1e9 + 1_800_000 * INPUTS.waiting_bytes / 1e9
    )


def test_it_prints_what_the_document_shows() -> None:
    document = (ROOT / "docs" / "capacity.md").read_text(encoding="utf-8")
    missing = [table[0] for table in tables() if text_of(table) not in document]
    assert not missing, "docs/capacity.md must be renewed from ./rastro bench capacity"
