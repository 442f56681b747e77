"""The overlay for EKS, played through on this machine: rollouts under load, and a backlog that wakes the track pool.

Real are the manifests, the programs, PostgreSQL and Redis (Valkey), probes, preStop, signals and grace periods. KEDA
and the HPA are reckoned (tests/bench/autoscaler.py) from the real stream, and move real processes. docs/rehearsal.md
says more. The long form: `./rastro test tests/rehearsal --rehearsal long`.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg
import pytest

from core.contracts import keys
from tests.rehearsal.controllers import Autoscaler
from tests.rehearsal.kubelet import Say
from tests.rehearsal.specs import scaled
from tests.rehearsal.stage import (
    MANAGER,
    OVERLAY,
    TRACK,
    TRACKER,
    WORKER,
    Stage,
    crowds,
    make_a_link,
    stage,
    until,
)

pytestmark = [pytest.mark.faults, pytest.mark.timeout(0)]  # each wait has a limit of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What is played: requests a second to the trackers (by so many people) and to the manager, clicks of the backlog,
    the autoscalers' seconds in one of ours, and how many pods of the track pool this machine bears."""

    redirects: float
    people: int
    staff: float
    backlog: int
    speed: float
    cap: int


SHORT = Form(redirects=100, people=20, staff=4, backlog=80_000, speed=30, cap=2)
LONG = Form(redirects=2000, people=200, staff=8, backlog=1_000_000, speed=1, cap=4)
LIMIT_S = 1800.0


async def test_it_rolls_out_and_scales_without_losing_a_click(
    tmp_path: Path, is_long: bool, say: Say
) -> None:
    form = LONG if is_long else SHORT
    say(f"{form}")
    async with stage(tmp_path, say) as at:
        key, led = await make_a_link(at)
        visits, looks = crowds(at, redirects=form.redirects, people=form.people, staff=form.staff, key=key)
        asking = [asyncio.create_task(crowd.ask()) for crowd in (*visits, *looks)]
        try:
            for name in (TRACKER, MANAGER, WORKER):
                await at.deployments[name].roll()
                say(f"{name}: rolled out")
            autoscaler = await scale_by_a_backlog(at, form)
            await at.kubelet.all_ended()
        finally:
            for crowd in (*visits, *looks):
                crowd.is_over = True
            await asyncio.gather(*asking)

        for crowd in (*visits, *looks):
            say(crowd.told())
        assert [reason for crowd in (*visits, *looks) for reason in crowd.failed] == []
        answered = sum(len(crowd.answered) for crowd in visits)
        say(await close(at, answered=answered, led=led, sent=form.backlog))
        if is_long:  # a spike comes too slowly for a clock that is faster than ours
            say(autoscaler.reaction())
        assert tell_of_pods(at) == []
        assert at.kubelet.faults == []


async def scale_by_a_backlog(at: Stage, form: Form) -> Autoscaler:
    """A spike, while KEDA and the HPA look; returns once all is stored and the pool is back at its floor."""
    rules, stream = scaled(OVERLAY, "worker-track")
    pool = at.deployments[TRACK]
    autoscaler = Autoscaler(
        scaled=rules,
        length=partial(at.length, stream),
        deployment=pool,
        say=at.say,
        speed=form.speed,
        cap=form.cap,
        pods=pool.spec.least,
    )
    looking = asyncio.create_task(autoscaler.run())
    begun = time.monotonic()
    try:
        await at.feed(form.backlog)
        at.say(f"{form.backlog:,} clicks were put into the stream in {time.monotonic() - begun:.0f} s")

        async def is_over() -> bool:
            if looking.done():
                looking.result()  # it ends by an error alone
            return autoscaler.most > 0 and autoscaler.pods == pool.spec.least

        await until(is_over, limit=LIMIT_S)
        at.say(f"the backlog was {autoscaler.deepest:,} clicks deep")
    finally:
        autoscaler.is_over = True  # to cancel it amid a question to Redis is not always heard
        await looking
    return autoscaler


async def close(at: Stage, *, answered: int, led: int, sent: int) -> str:
    """End every pod once no click waits; the books, which must come out: visits `answered` under load, those `led` on
    before it, clicks `sent`. Raises AssertionError."""
    await until(at.stored, limit=LIMIT_S)
    for one in at.deployments.values():
        one.scale(0)
    await at.kubelet.all_ended()
    for queue in keys.QUEUES:
        assert await at.length(keys.dead(queue)) == 0
    books = json.loads(await at.command("reconcile", "--json"))
    total = books["total"]
    with psycopg.connect(at.database_url) as connection:
        rows, ids, visits = connection.execute(
            "select count(*), count(distinct id), count(distinct query) filter (where query ~ '^n=[0-9]+$') from clicks"
        ).fetchone() or (0, 0, 0)
    assert visits == answered
    assert rows == ids == answered + led + sent
    assert (total["answered"], total["accepted"] - total["duplicate"]) == (answered + led, rows)
    return (
        f"{answered + led:,} redirects answered + {sent:,} clicks sent = {rows:,} rows, each id and each visit once; "
        f"reconcile says {books['state']}, sent twice {total['duplicate']:,}; no dead letter"
    )


def tell_of_pods(at: Stage) -> list[str]:
    """How long they took to be ready, what they had then and at most, which single probes failed, of what their logs
    warn. Returns what is worse in their logs than a warning."""
    for name in (TRACKER, MANAGER, WORKER, TRACK):
        pods = [pod for pod in at.kubelet.ended if pod.spec.name == name]
        at.say(
            f"{name}: {len(pods)} pods; start to ready {_range([pod.ready_after_s for pod in pods], '.1f')} s, "
            f"{_range([pod.ready_cpu_s for pod in pods], '.1f')} s of it on a processor; "
            f"{_range([pod.ready_mb for pod in pods], '.0f')} MB then, "
            f"{_range([pod.most_mb for pod in pods], '.0f')} at most; "
            f"end {_range([pod.ended_after_s for pod in pods], '.1f')} s of {pods[0].spec.grace}"
        )
    for missed in at.kubelet.missed:
        at.say(f"a single probe failed: {missed}")
    complaints = sum((pod.complaints for pod in at.kubelet.ended), Counter[str]())
    at.say(f"in the pods' logs: {dict(complaints) or 'no warning'}")
    return [one for one in complaints if not one.startswith("warning")]


def _range(values: Sequence[float], form: str) -> str:
    return f"{min(values):{form}} to {max(values):{form}}"
