"""A rehearsal honours what the manifests say, or refuses to be held."""

import copy
from typing import Any

import pytest

from tests.bench.autoscaler import Rules
from tests.manifests.cluster import NAMES, PROGRAMS, SECRETS, Cluster, cluster
from tests.manifests.render import Object
from tests.rehearsal.specs import NotHonoured, deployment, job, scaled

EKS = "overlays/eks"


def changed(kind: str, name: str, way: str, value: Any) -> Cluster:
    """The overlay for EKS with one thing else, added by its path."""
    made = copy.deepcopy(cluster(EKS))
    one: Any = made.one(kind, name)
    *steps, last = way.split("/")
    for step in steps:
        one = one[int(step)] if isinstance(one, list) else one[step]
    one[last] = value
    return made


@pytest.mark.parametrize("name", NAMES)
def test_it_honours_every_workload_of_every_overlay(name: str) -> None:
    for workload in PROGRAMS:
        read = deployment(cluster(name), workload, SECRETS)
        assert read.pod.words[0] == "rastro"
        assert read.pod.env.items() >= cluster(name).env(cluster(name).one("Deployment", workload)).items()
    migrate, limit = job(cluster(name), "migrate", SECRETS)
    assert (migrate.words, limit) == (("rastro", "migrate"), 600)


def test_it_reads_how_a_tracker_starts_serves_and_ends() -> None:
    read = deployment(cluster(EKS), "deploy-tracker", SECRETS)
    assert read.least == 3
    assert (read.surge(3), read.unavailable(3)) == (1, 0)
    assert (read.pod.pre_stop, read.pod.grace, read.pod.memory_mb) == (15, 640, 384)
    assert read.pod.ports == {"http": 8080, "metrics": 9100}
    assert read.pod.readiness is not None
    assert (read.pod.readiness.path, read.pod.readiness.port) == ("/readyz", "http")
    assert (read.pod.readiness.timeout, read.pod.readiness.failures) == (5, 3)
    assert "DATABASE_URL" not in read.pod.env


def test_it_reads_when_the_track_pool_wakes_grows_and_sleeps() -> None:
    read, stream = scaled(cluster(EKS), "worker-track")
    assert stream == "{rastro}:q:track"
    assert (read.target, read.activation, read.polling_s, read.cooldown_s) == (20_000, 5_000, 5, 300)
    assert read.rules == Rules(least=0, most=6, up_pods=8, up_percent=0)


@pytest.mark.parametrize(
    ("way", "value"),
    [
        ("spec/minReadySeconds", 10),
        ("spec/strategy/type", "Recreate"),
        ("spec/template/spec/initContainers", []),
        ("spec/template/spec/hostNetwork", True),
        ("spec/template/spec/volumes/0/configMap", {"name": "x"}),
        ("spec/template/spec/containers/0/command", ["python"]),
        ("spec/template/spec/containers/0/workingDir", "/tmp"),
        ("spec/template/spec/containers/0/resources/limits/cpu", "1"),
        ("spec/template/spec/containers/0/lifecycle/postStart", {"sleep": {"seconds": 1}}),
        ("spec/template/spec/containers/0/lifecycle/preStop/exec", {"command": ["true"]}),
        ("spec/template/spec/containers/0/readinessProbe/tcpSocket", {"port": 1}),
        ("spec/template/spec/containers/0/readinessProbe/successThreshold", 2),
        ("spec/template/spec/containers/0/readinessProbe/httpGet/scheme", "HTTPS"),
        ("spec/template/spec/containers/0/readinessProbe/httpGet/port", "unheard-of"),
        ("spec/template/spec/containers/0/volumeMounts/0/subPath", "x"),
        ("spec/template/spec/containers/0/envFrom/0/prefix", "X_"),
        ("spec/template/spec/containers/0/env/0/valueFrom", {"fieldRef": {"fieldPath": "metadata.name"}}),
    ],
)
def test_it_refuses_what_it_can_not_honour(way: str, value: Any) -> None:
    with pytest.raises(NotHonoured):
        deployment(changed("Deployment", "deploy-tracker", way, value), "deploy-tracker", SECRETS)


@pytest.mark.parametrize(
    ("way", "value"),
    [
        ("spec/idleReplicaCount", 0),
        ("spec/triggers/0/type", "cron"),
        ("spec/triggers/0/metadata/consumerGroup", "workers"),
        ("spec/advanced/horizontalPodAutoscalerConfig/behavior/scaleDown", {}),
        ("spec/advanced/horizontalPodAutoscalerConfig/behavior/scaleUp/stabilizationWindowSeconds", 60),
    ],
)
def test_it_refuses_rules_of_scaling_that_it_can_not_reckon(way: str, value: Any) -> None:
    with pytest.raises(NotHonoured):
        scaled(changed("ScaledObject", "worker-track", way, value), "worker-track")


def test_it_refuses_a_pod_whose_secret_is_not_there() -> None:
    without: Object = {name: value for name, value in SECRETS.items() if name != "REDIS_URL"}
    with pytest.raises(NotHonoured):
        deployment(cluster(EKS), "deploy-tracker", without)
    optional = {name: value for name, value in SECRETS.items() if name != "SMTP_URL"}
    assert "SMTP_URL" not in deployment(cluster(EKS), "deploy-manager", optional).pod.env
