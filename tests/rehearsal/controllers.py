"""Keeps Deployments at their number of pods, rolls them out anew, and lets KEDA and the HPA say what the number is."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.bench.autoscaler import Keda, Memory, hpa, keda, wanted_by_length
from tests.rehearsal.kubelet import TICK_S, Kubelet, Pod, Say
from tests.rehearsal.specs import DeploymentSpec

READY_LIMIT_S = 120.0


class Deployment:
    """Pods of one kind; those that are on their way out no longer count."""

    def __init__(self, spec: DeploymentSpec, kubelet: Kubelet) -> None:
        self.spec = spec
        self._kubelet = kubelet
        self._pods: list[Pod] = []

    @property
    def ready(self) -> list[Pod]:
        """Pods that are ready and stay."""
        return [pod for pod in self._pods if pod.serves]

    def ports(self, name: str) -> list[int]:
        """Where its Service leads new connections to; that may be a pod which is gone already."""
        known = (*self._kubelet.pods, *self._kubelet.ended)
        return [pod.ports[name] for pod in known if pod.spec is self.spec.pod and pod.is_led_to]

    def scale(self, number: int) -> None:
        """Start what is missing; end what is too much, the youngest and what is not ready first."""
        for _ in range(number - len(self._pods)):
            self._pods.append(self._kubelet.start(self.spec.pod))
        for pod in sorted(self._pods, key=lambda one: (one.ready, -one.began))[: len(self._pods) - number]:
            self._let_go(pod)

    async def is_ready(self) -> None:
        """Return once every pod is. Raises TimeoutError."""
        await self._until(lambda: len(self.ready) == len(self._pods))

    async def roll(self) -> None:
        """Replace every pod, as a new version does: no more pods at a time than maxSurge allows, no fewer ready ones
        than maxUnavailable. Returns once the new ones are ready; old ones may still be on their way out."""
        old, wanted = list(self._pods), len(self._pods)
        most = wanted + self.spec.surge(wanted)
        least = wanted - self.spec.unavailable(wanted)
        while old:
            new = [pod for pod in self._pods if pod not in old]
            for _ in range(min(most - len(self._pods), wanted - len(new))):
                self._pods.append(self._kubelet.start(self.spec.pod))
            if len(self.ready) > least:
                self._let_go(old.pop(0))
            else:
                await self._until(lambda: len(self.ready) > least)
        await self.is_ready()

    async def _until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(READY_LIMIT_S):
            while not done():
                await asyncio.sleep(TICK_S)

    def _let_go(self, pod: Pod) -> None:
        self._pods.remove(pod)
        self._kubelet.end(pod)


@dataclass(slots=True)
class Autoscaler:
    """KEDA and the HPA that it makes, over a Deployment: what they read is real, and so are the pods that they start.

    `speed`: seconds of theirs in a second. `cap`: pods that this machine runs at most; what is decided stays as it is.
    """

    scaled: Keda
    length: Callable[[], Awaitable[int]]
    deployment: Deployment
    say: Say
    speed: float
    cap: int
    pods: int = 0
    second: int = 0
    deepest: int = 0
    most: int = 0
    spike_at: int | None = None
    woke_at: int | None = None
    grew_at: int | None = None
    is_over: bool = False

    async def run(self) -> None:
        """Decide until `is_over`; the clock begins now. A look that comes late is followed by the next ones at once."""
        memory, begun = Memory(), time.monotonic()
        while not self.is_over:
            length = await self.length()
            self._saw(length)
            if self.second % self.scaled.polling_s == 0:
                number, memory = keda(self.scaled, memory, now=self.second, pods=self.pods, length=length)
                self._decide("KEDA", number, length, wanted=number)
            if self.pods and self.second % self.scaled.rules.sync_s == 0:
                wanted = wanted_by_length(
                    self.scaled.rules, pods=self.pods, length=length, target=self.scaled.target
                )
                number, memory = hpa(
                    self.scaled.rules, memory, now=self.second, pods=self.pods, wanted=wanted
                )
                self._decide("HPA", number, length, wanted=wanted)
            self.second += 1
            await asyncio.sleep(max(begun + self.second / self.speed - time.monotonic(), 0))

    def reaction(self) -> str:
        """How long after the spike the pool woke, and grew beyond its first pod, in the autoscaler's own seconds."""
        assert self.spike_at is not None and self.woke_at is not None and self.grew_at is not None
        return (
            f"the pool reacts to the spike: first pod asked for after {self.woke_at - self.spike_at} s, "
            f"more after {self.grew_at - self.spike_at} s of the autoscaler's clock (aim: under 30 s)"
        )

    def _saw(self, length: int) -> None:
        self.deepest = max(self.deepest, length)
        if self.spike_at is None and length > self.scaled.activation:
            self.spike_at = self.second

    def _decide(self, who: str, number: int, length: int, *, wanted: int) -> None:
        before, self.pods = self.pods, number
        if number == before:
            return
        if number > before and before == 0:
            why = f"more than {self.scaled.activation:,}: wake up"
            self.woke_at = self.second if self.woke_at is None else self.woke_at
        elif number == 0:
            why = f"no more than {self.scaled.activation:,} for {self.scaled.cooldown_s} s: sleep"
        elif number > before:
            why = f"{length:,} at {self.scaled.target:,} a pod make {wanted}"
            self.grew_at = self.second if self.grew_at is None else self.grew_at
        else:
            why = f"{wanted} wanted now, no more than {number} for {self.scaled.rules.down_window_s} s"
        self.most = max(self.most, number)
        self.deployment.scale(min(number, self.cap))
        runs = "" if number <= self.cap else f" ({self.cap} run here)"
        self.say(f"{self.second:5} s  {who:4}  {length:>9,} waiting  {before} -> {number}{runs}  {why}")
