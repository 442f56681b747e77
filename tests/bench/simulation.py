"""Clicks, pods and autoscalers second by second: what waits, for how long, and who decides what.

Pure and deterministic, and it knows nothing of queues in detail: visitors wait for a tracker, clicks wait in the
stream, both in order; whoever has room takes what is first. A pod works from the second on in which it is ready.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from tests.bench.autoscaler import Keda, Memory, Rules, hpa, keda, wanted_by_cpu, wanted_by_length

Profile = Callable[[int], int]
"""Second -> visitors who arrive in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trackers:
    """The tracker's Deployment and its HPA on CPU."""

    rules: Rules
    a_pod: int
    """Redirects a second."""

    cpu_us: float
    """Of CPU a redirect."""

    target_cpu: float
    """vCPU a pod that the HPA aims at: its target utilisation times the pod's request."""

    metrics_s: int = 15
    """The HPA sees the mean of so many seconds, as they were so many seconds ago; so long has a new pod no figures."""

    start_s: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Workers:
    """Both pools of workers, and what the servers take in all. `scaled` is the pool `track`."""

    scaled: Keda
    base: int
    """Pods of the pool `default`, which nobody scales here."""

    a_base_pod: int
    a_pod: int
    lot: int
    """Clicks that a thread holds at most; they are in the stream until they are stored."""

    postgres: int
    """Clicks a second that PostgreSQL stores at most, however many pods ask it to."""

    redis_us: int
    """Of CPU that Redis may use in a second: it works on one core, for trackers and workers alike."""

    redirect_us: float
    store_us: float
    """Of Redis' CPU: to keep a click, and to hand it to a worker and let it go."""

    start_s: int = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A deployment. The clocks of the autoscalers start at any moment: `polled_at` and `synced_at` shift them."""

    trackers: Trackers
    workers: Workers
    polled_at: int = 0
    synced_at: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """An autoscaler's, and what it saw: clicks in the stream, or % of the tracker's target."""

    second: int
    who: str
    before: int
    after: int
    saw: int


@dataclass(slots=True)
class Outcome:
    """What became of the visitors. `seconds` has (visitors, stream, tracker pods, ready track pods) for each."""

    arrived: int = 0
    stored: int = 0
    unanswered: int = 0
    waiting: int = 0
    deepest: int = 0
    longest_wait_s: int = 0
    longest_answer_s: int = 0
    decisions: list[Decision] = field(default_factory=list)
    seconds: list[tuple[int, int, int, int]] = field(default_factory=list)

    def of(self, who: str) -> list[Decision]:
        """The decisions of one autoscaler."""
        return [one for one in self.decisions if one.who == who]


class Line:
    """Those who wait, in order, by the second in which they came."""

    def __init__(self) -> None:
        self.length = 0
        self._lots: deque[list[int]] = deque()

    def join(self, second: int, number: int) -> None:
        """So many come."""
        if number:
            self._lots.append([second, number])
            self.length += number

    def leave(self, now: int, number: int) -> int:
        """The first ones go, `number` of them; how long the first of all has waited."""
        longest = now - self._lots[0][0] if number and self._lots else 0
        self.length -= number
        while number:
            taken = min(number, self._lots[0][1])
            self._lots[0][1] -= taken
            number -= taken
            if not self._lots[0][1]:
                self._lots.popleft()
        return longest


@dataclass(slots=True)
class _Pool:
    """Pods of a Deployment by the second in which they are ready, oldest first, and its autoscaler's memory."""

    who: str
    start_s: int
    pods: list[int]
    memory: Memory = field(default_factory=Memory)

    def ready(self, now: int) -> int:
        if not self.pods or self.pods[-1] <= now:
            return len(self.pods)
        return sum(second <= now for second in self.pods)

    def decide(self, outcome: Outcome, now: int, after: tuple[int, Memory], *, saw: int) -> None:
        """Start pods, or stop the youngest. A pod that is told to stop gives back at once what it holds."""
        number, self.memory = after
        before = len(self.pods)
        if number != before:
            outcome.decisions.append(Decision(now, self.who, before, number, saw))
        self.pods = self.pods[:number] + [now + self.start_s] * (number - before)


def simulate(plan: Plan, profile: Profile, *, seconds: int, away: Sequence[range] = ()) -> Outcome:
    """Let visitors come for so long; PostgreSQL is away in the seconds of `away`."""
    door, work = plan.trackers, plan.workers
    trackers = _Pool("tracker", door.start_s, [0] * door.rules.least)
    pool = _Pool("track", work.start_s, [0] * work.scaled.rules.least)
    visitors, stream, used = Line(), Line(), deque[float](maxlen=2 * door.metrics_s)
    outcome = Outcome()
    for now in range(seconds):
        came = profile(now)
        outcome.arrived += came
        visitors.join(now, came)
        answered = min(
            visitors.length, door.a_pod * trackers.ready(now), int(work.redis_us / work.redirect_us)
        )
        outcome.longest_answer_s = max(outcome.longest_answer_s, visitors.leave(now, answered))
        used.append(answered * door.cpu_us / 1e6)
        stream.join(now, answered)
        ready = pool.ready(now)
        postgres = 0 if any(now in one for one in away) else work.postgres
        # Trackers ask often and for little, so that what they leave of Redis' core is the workers'.
        redis = int((work.redis_us - answered * work.redirect_us) / work.store_us)
        stored = min(stream.length, work.a_base_pod * work.base + work.a_pod * ready, postgres, redis)
        outcome.stored += stored
        outcome.longest_wait_s = max(outcome.longest_wait_s, stream.leave(now, stored))
        # What is stored within this second has lain in a worker's hands for a part of it, where KEDA sees it as well.
        length = stream.length + min(stored // 2, work.lot * (work.base + 2 * ready))
        outcome.deepest = max(outcome.deepest, stream.length)
        outcome.seconds.append((came, stream.length, len(trackers.pods), ready))
        _scale_track(plan, pool, outcome, now, length)
        if (now - plan.synced_at) % door.rules.sync_s == 0:
            _scale_trackers(door, trackers, outcome, now, used)
    outcome.unanswered, outcome.waiting = visitors.length, stream.length
    return outcome


def reaction_s(plan: Plan, *, before: int, after: int) -> tuple[int, int, int]:
    """A spike from `before` to `after` visitors a second: seconds until the first pod is asked for, until enough are,
    and until those work. The slowest of all positions of the autoscalers' clocks, pods of the tracker aside."""
    scaled = plan.workers.scaled
    plenty = replace(plan.trackers, a_pod=after, rules=replace(plan.trackers.rules, least=9, most=9))
    slowest = (0, 0, 0)
    for polled_at in range(scaled.polling_s):
        for synced_at in range(scaled.rules.sync_s):
            shifted = replace(plan, trackers=plenty, polled_at=polled_at, synced_at=synced_at)
            slowest = _later(slowest, _reaction(shifted, before=before, after=after))
    return slowest


def _reaction(plan: Plan, *, before: int, after: int) -> tuple[int, int, int]:
    start, work = 30, plan.workers
    outcome = simulate(plan, lambda now: before if now < start else after, seconds=start + 90)
    needed = min(-(-(after - work.base * work.a_base_pod) // work.a_pod), work.scaled.rules.most)
    asked = [one for one in outcome.of("track") if one.second >= start]
    first = next(one.second for one in asked)
    enough = next(one.second for one in asked if one.after >= needed)
    return first - start, enough - start, enough - start + work.start_s


def _later(one: tuple[int, int, int], other: tuple[int, int, int]) -> tuple[int, int, int]:
    return max(one[0], other[0]), max(one[1], other[1]), max(one[2], other[2])


def _scale_track(plan: Plan, pool: _Pool, outcome: Outcome, now: int, length: int) -> None:
    scaled = plan.workers.scaled
    if (now - plan.polled_at) % scaled.polling_s == 0:
        after = keda(scaled, pool.memory, now=now, pods=len(pool.pods), length=length)
        pool.decide(outcome, now, after, saw=length)
    if pool.pods and (now - plan.synced_at) % scaled.rules.sync_s == 0:
        pods = len(pool.pods)
        wanted = wanted_by_length(scaled.rules, pods=pods, length=length, target=scaled.target)
        after = hpa(scaled.rules, pool.memory, now=now, pods=pods, wanted=wanted)
        pool.decide(outcome, now, after, saw=length)


def _scale_trackers(
    door: Trackers, trackers: _Pool, outcome: Outcome, now: int, used: Sequence[float]
) -> None:
    seen = list(used)[: door.metrics_s]
    if len(used) < 2 * door.metrics_s:
        return
    pods, metered = len(trackers.pods), trackers.ready(now - 2 * door.metrics_s)
    vcpu = sum(seen) / len(seen)
    wanted = wanted_by_cpu(door.rules, pods=pods, metered=metered, used=vcpu, target=door.target_cpu)
    after = hpa(door.rules, trackers.memory, now=now, pods=pods, wanted=wanted)
    saw = round(100 * vcpu / (door.target_cpu * max(metered, 1)))
    trackers.decide(outcome, now, after, saw=saw)
