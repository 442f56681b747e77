"""Pods of a rehearsal begin, change and end as a cluster's do, and what goes wrong with one is a fault."""

import asyncio
import itertools
import re
import signal
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import redis

from tests.bench import links
from tests.manifests.cluster import SECRETS, cluster
from tests.rehearsal.controllers import Autoscaler, Deployment
from tests.rehearsal.kubelet import Kubelet, Pod, environment
from tests.rehearsal.specs import DeploymentSpec, NotHonoured, PodSpec, deployment, scaled
from tests.rehearsal.stage import until
from tests.rehearsal.visitors import Crowd

EKS = "overlays/eks"


@pytest.fixture
def tracker(redis_url: str, valkey: redis.Redis) -> DeploymentSpec:
    """The tracker of the overlay for EKS over this test's Redis, but for waits: it is probed often and impatiently, and
    ends without a pause within five seconds."""
    found = deployment(cluster(EKS), "deploy-tracker", {"REDIS_URL": redis_url})
    assert found.pod.readiness is not None
    readiness = replace(found.pod.readiness, period=1, timeout=2, failures=2)
    return replace(found, pod=replace(found.pod, pre_stop=0, grace=5, readiness=readiness))


async def test_it_is_ready_when_its_probe_says_so_and_ends_by_itself(
    tracker: DeploymentSpec, tmp_path: Path
) -> None:
    async with Kubelet(tmp_path).at_work() as kubelet:
        pod = kubelet.start(tracker.pod)
        assert not pod.serves
        await until(holds(lambda: pod.serves))
        kubelet.end(pod)
        assert not pod.serves and pod.is_led_to  # not everybody knows yet
        await kubelet.all_ended()
        assert pod.process.poll() == 0
        assert kubelet.faults == []
        assert not pod.folder.exists()


async def test_it_is_a_fault_when_a_pod_hangs_and_when_it_must_be_killed(
    tracker: DeploymentSpec, tmp_path: Path
) -> None:
    async with Kubelet(tmp_path).at_work() as kubelet:
        pod = kubelet.start(tracker.pod)
        await until(holds(lambda: pod.serves))
        pod.process.send_signal(signal.SIGSTOP)
        await until(holds(lambda: not pod.ready))
        kubelet.end(pod)
        await kubelet.all_ended()
        first, second = kubelet.faults
        assert "was ready and is no more" in first
        assert "was killed" in second
        assert len(kubelet.missed) >= 2


async def test_it_is_a_fault_when_a_pod_does_not_start(tracker: DeploymentSpec, tmp_path: Path) -> None:
    assert tracker.pod.startup is not None
    nowhere = replace(tracker.pod, env={**tracker.pod.env, "REDIS_URL": "no address"})
    impatient = replace(nowhere, startup=replace(tracker.pod.startup, failures=1))
    async with Kubelet(tmp_path).at_work() as kubelet:
        kubelet.start(impatient)
        await until(holds(lambda: kubelet.faults))
        (fault,) = kubelet.faults
        assert "did not start" in fault


async def test_it_notices_a_pod_that_ends_before_its_load_balancer_knows(
    tracker: DeploymentSpec, valkey: redis.Redis, tmp_path: Path
) -> None:
    links.publish(valkey, many=0)
    env = {**tracker.pod.env, "DEFAULT_HOSTS": "bench.example"}
    async with Kubelet(tmp_path).at_work() as kubelet:
        pool = Deployment(replace(tracker, pod=replace(tracker.pod, env=env)), kubelet)
        pool.scale(1)
        await pool.is_ready()
        visitors = Crowd(
            name="visits",
            ports=lambda: pool.ports("http"),
            request=lambda _: f"GET {links.PLAIN} HTTP/1.1\r\nHost: bench.example\r\n\r\n".encode(),
            numbers=itertools.count(),
            expected=302,
            a_second=50,
            people=5,
            stays=False,
        )
        asking = asyncio.create_task(visitors.ask())
        await until(holds(lambda: visitors.answered or visitors.failed))
        assert visitors.failed == []
        await pool.roll()
        await until(holds(lambda: visitors.failed))
        visitors.is_over = True
        await asking
        assert "ConnectionRefusedError" in visitors.failed[0]


async def test_it_rolls_out_within_the_bounds_of_its_strategy() -> None:
    pool = Deployment(a_deployment(max_surge="25%", max_unavailable=0), (kubelet := Slow()))  # type: ignore[arg-type]
    pool.scale(3)
    await pool.is_ready()
    before = set(pool.ready)
    await pool.roll()
    assert len(pool.ready) == 3 and not before & set(pool.ready)
    assert kubelet.most == 4
    assert kubelet.fewest_ready == 3


async def test_it_ends_the_youngest_pods_first() -> None:
    pool = Deployment(a_deployment(max_surge=1, max_unavailable=0), Slow())  # type: ignore[arg-type]
    pool.scale(1)
    await pool.is_ready()
    (first,) = pool.ready
    pool.scale(3)
    await pool.is_ready()
    pool.scale(1)
    assert pool.ready == [first]


async def test_it_scales_from_none_to_many_and_back_by_the_length_of_the_stream() -> None:
    pool = Deployment(a_deployment(max_surge=1, max_unavailable=0), (kubelet := Slow()))  # type: ignore[arg-type]
    rules, _ = scaled(cluster(EKS), "worker-track")
    said: list[str] = []

    async def length() -> int:
        return 75_000 if 7 <= autoscaler.second < 100 else 0

    autoscaler = Autoscaler(scaled=rules, length=length, deployment=pool, say=said.append, speed=1000, cap=2)
    looking = asyncio.create_task(autoscaler.run())
    await until(holds(lambda: looking.done() or (autoscaler.second > 110 and autoscaler.pods == 0)))
    autoscaler.is_over = True
    await looking
    decided = [re.findall(r"^ *(\d+) s .* (\d+) -> (\d+)", line)[0] for line in said]
    assert decided == [("10", "0", "1"), ("15", "1", "4"), ("390", "4", "1"), ("400", "1", "0")]
    assert (kubelet.most, pool.ready) == (2, [])
    assert "first pod asked for after 3 s, more after 8 s" in autoscaler.reaction()


def test_it_translates_what_two_pods_of_one_machine_can_not_share(tmp_path: Path) -> None:
    spec = deployment(cluster(EKS), "deploy-tracker", SECRETS).pod
    told = environment(spec, {"http": 1111, "metrics": 2222}, tmp_path)
    different = {name for name, value in told.items() if spec.env.get(name) != value}
    assert different == {
        "HOST",
        "PORT",
        "METRICS_PORT",
        "SPOOL_DIR",
        "TMPDIR",
        "PATH",
        "PYTHONPATH",
        "TRUSTED_PROXIES",
    }
    assert (told["PORT"], told["METRICS_PORT"]) == ("1111", "2222")
    assert Path(told["SPOOL_DIR"]).parent == tmp_path


@pytest.mark.parametrize("changes", [{"ports": {"admin": 7777}}, {"folders": ("/data",)}])
def test_it_refuses_a_port_or_folder_that_no_setting_moves(
    changes: dict[str, object], tmp_path: Path
) -> None:
    spec = replace(deployment(cluster(EKS), "deploy-tracker", SECRETS).pod, **changes)  # type: ignore[arg-type]
    with pytest.raises(NotHonoured):
        environment(spec, {"http": 1111, "metrics": 2222, "admin": 3333}, tmp_path)


class Slow:
    """A kubelet without processes, whose pods are ready after a moment; it notes what a Deployment asked for."""

    def __init__(self) -> None:
        self.pods: list[Pod] = []
        self.most = self.started = 0
        self.fewest_ready = 1000

    def start(self, spec: PodSpec) -> Pod:
        pod = Pod.__new__(Pod)
        pod.began, pod.ready, pod.left_at = self.started, False, None
        self.started += 1
        self.pods.append(pod)
        self.most = max(self.most, len(self.pods))
        asyncio.get_running_loop().call_later(0.05, setattr, pod, "ready", True)
        return pod

    def end(self, pod: Pod) -> None:
        pod.left_at = time.monotonic()
        self.pods.remove(pod)
        self.fewest_ready = min(self.fewest_ready, ready(self.pods))


def ready(pods: Iterable[Pod]) -> int:
    return sum(pod.serves for pod in pods)


def a_deployment(*, max_surge: int | str, max_unavailable: int | str) -> DeploymentSpec:
    read = deployment(cluster(EKS), "deploy-tracker", SECRETS)
    return replace(read, max_surge=max_surge, max_unavailable=max_unavailable)


def holds(condition: Callable[[], object]) -> Callable[[], Awaitable[bool]]:
    async def asked() -> bool:
        return bool(condition())

    return asked
