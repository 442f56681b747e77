"""What the HorizontalPodAutoscaler and KEDA would decide, as functions of what they see.

After kube-controller-manager's replica calculator and behaviour rules (autoscaling/v2) and KEDA's executor: the HPA
looks every `sync_s`, ignores what lies within its tolerance, climbs by its policies and comes down to the highest count
that it wanted within its window; KEDA polls the stream itself, but only to wake a pool from zero and to put it
back there.
"""

import math
from dataclasses import dataclass, replace

Past = tuple[tuple[int, int], ...]
"""(second, number) in the order of time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """An HPA's `minReplicas`, `maxReplicas` and `behavior`. What has a default here is Kubernetes' own default."""

    least: int
    most: int
    sync_s: int = 15
    tolerance: float = 0.1
    up_pods: int = 4
    up_percent: int = 100
    up_period_s: int = 15
    down_percent: int = 100
    down_period_s: int = 15
    down_window_s: int = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Keda:
    """A ScaledObject with one trigger `redis-streams` without a consumer group. `rules.least` is `minReplicaCount`."""

    rules: Rules
    target: int
    """`streamLength`: entries a pod."""

    activation: int
    """`activationLagCount`, with which KEDA compares whatever it reads: more wakes the pool, and keeps it awake."""

    polling_s: int = 5
    cooldown_s: int = 300


@dataclass(frozen=True, slots=True)
class Memory:
    """What an autoscaler remembers: what it wanted, by how much it changed the pods, when it last saw work."""

    wanted: Past = ()
    changes: Past = ()
    active_at: int | None = None


def wanted_by_length(rules: Rules, *, pods: int, length: int, target: int) -> int:
    """Pods for a stream of this length, at `target` entries a pod (`AverageValue` of an external metric)."""
    if abs(length - target * pods) <= rules.tolerance * target * pods:
        return pods
    return math.ceil(length / target)


def wanted_by_cpu(rules: Rules, *, pods: int, metered: int, used: float, target: float) -> int:
    """Pods for `used` vCPU on the `metered` of them, at `target` vCPU a pod. Pods that have no figures yet count as
    idle when there is too little, so that those on their way are not asked for again."""
    if metered == 0:
        return pods
    ratio = used / metered / target
    counted = pods if ratio > 1 else metered
    if counted != metered and used / counted / target <= 1:
        return pods
    ratio = used / counted / target
    return pods if abs(ratio - 1) <= rules.tolerance else math.ceil(ratio * counted)


def hpa(rules: Rules, memory: Memory, *, now: int, pods: int, wanted: int) -> tuple[int, Memory]:
    """Pods after one look of the HPA. It leaves a pool at zero alone: that is KEDA's."""
    if pods == 0:
        return 0, memory
    wishes = (*(one for one in memory.wanted if one[0] > now - rules.down_window_s), (now, wanted))
    floor = max(wish for _, wish in wishes)
    goal = wanted if wanted > pods else min(pods, floor)
    if goal > pods:
        before = pods - _changed(memory.changes, since=now - rules.up_period_s)
        limit = max(before + rules.up_pods, math.ceil(before * (1 + rules.up_percent / 100)))
        goal = min(goal, max(pods, limit))
    elif goal < pods:
        before = pods - _changed(memory.changes, since=now - rules.down_period_s)
        goal = max(goal, min(pods, int(before * (1 - rules.down_percent / 100))))
    goal = min(max(goal, rules.least, 1), rules.most)
    return goal, replace(memory, wanted=wishes, changes=_noted(memory.changes, now, goal - pods))


def keda(scaled: Keda, memory: Memory, *, now: int, pods: int, length: int) -> tuple[int, Memory]:
    """Pods after one poll of KEDA: from zero to one, or, whatever their number, to zero once the cooldown is over."""
    least = scaled.rules.least
    if length > scaled.activation:
        return max(pods, least, 1), replace(memory, active_at=now)
    rested = memory.active_at is None or now - memory.active_at > scaled.cooldown_s
    if least == 0 and pods > 0 and rested:
        return 0, Memory(active_at=memory.active_at)
    return max(pods, least), memory


def _changed(changes: Past, *, since: int) -> int:
    return sum(number for second, number in changes if second > since)


def _noted(changes: Past, now: int, number: int) -> Past:
    return (*changes[-8:], (now, number)) if number else changes
