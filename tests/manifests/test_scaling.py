"""Who scales what, and by what; what a drain of a node may take away."""

import pytest

from core.contracts import keys
from tasks.queues import LANES
from tests.manifests.cluster import NAMES, PROGRAMS, SECRETS, cluster, labels, selects
from tests.manifests.render import Object

WITH_KEDA = tuple(name for name in NAMES if name != "overlays/local")


@pytest.mark.parametrize("name", NAMES)
def test_it_scales_each_deployment_by_one_thing_at_most(name: str) -> None:
    targets = [one["spec"]["scaleTargetRef"]["name"] for one in cluster(name).all("HorizontalPodAutoscaler")]
    targets += [one["spec"]["scaleTargetRef"]["name"] for one in cluster(name).all("ScaledObject")]
    assert len(targets) == len(set(targets))
    wanted = set(PROGRAMS) if name in WITH_KEDA else set(PROGRAMS) - {"deploy-worker-track"}
    assert set(targets) == wanted
    for deployment in cluster(name).all("Deployment"):
        assert "replicas" not in deployment["spec"]  # each apply would undo what the autoscaler did


@pytest.mark.parametrize("name", WITH_KEDA)
def test_it_scales_the_pool_track_by_the_length_of_its_stream(name: str) -> None:
    scaled = pool_track(name)
    assert scaled["scaleTargetRef"] == {"name": "deploy-worker-track"}
    (trigger,) = scaled["triggers"]
    told = trigger["metadata"]
    assert told["stream"] == keys.stream("track")
    # With a group (keys.GROUP) KEDA would look at pending entries, of which there are none while nobody works.
    assert "consumerGroup" not in told
    assert 1_000 <= int(told["activationLagCount"]) < int(told["streamLength"])
    held = (
        len(LANES["track"]) * 5_000
    )  # what one pod holds in its hands must not be a reason for a second one
    assert int(told["streamLength"]) >= 2 * held
    assert told["databaseIndex"] == SECRETS["REDIS_URL"].rpartition("/")[2]
    assert cluster(name).one("TriggerAuthentication", trigger["authenticationRef"]["name"])


@pytest.mark.parametrize("name", ["overlays/eks", "overlays/peak"])
def test_it_reads_the_stream_where_the_programs_write_it(name: str) -> None:
    (secret,) = cluster(name).all("ExternalSecret")
    url = secret["spec"]["target"]["template"]["data"]["REDIS_URL"]
    told = pool_track(name)["triggers"][0]["metadata"]
    assert url.endswith(f"@{told['address']}/{told['databaseIndex']}")
    assert url.startswith("rediss://") == (told["enableTLS"] == "true")


def test_it_runs_no_worker_for_clicks_alone_in_quiet_times() -> None:
    assert pool_track("overlays/eks")["minReplicaCount"] == 0


def test_it_raises_floors_and_ceilings_for_a_peak_and_changes_nothing_else() -> None:
    quiet, peak = cluster("overlays/eks"), cluster("overlays/peak")
    changed = {
        (one["kind"], one["metadata"]["name"])
        for one, other in zip(quiet.objects, peak.objects, strict=True)
        if one != other
    }
    assert changed == {("HorizontalPodAutoscaler", "tracker"), ("ScaledObject", "worker-track")}
    before = quiet.one("HorizontalPodAutoscaler", "tracker")["spec"]
    after = peak.one("HorizontalPodAutoscaler", "tracker")["spec"]
    assert after["minReplicas"] > before["minReplicas"]
    assert after["maxReplicas"] > before["maxReplicas"]
    assert pool_track("overlays/peak")["minReplicaCount"] > pool_track("overlays/eks")["minReplicaCount"]
    assert pool_track("overlays/peak")["maxReplicaCount"] > pool_track("overlays/eks")["maxReplicaCount"]


@pytest.mark.parametrize("name", NAMES)
def test_it_takes_no_tracker_away_by_itself(name: str) -> None:
    """Its pod's disk may hold clicks, and no autoscaler looks there."""
    behaviour = cluster(name).one("HorizontalPodAutoscaler", "tracker")["spec"]["behavior"]
    assert behaviour["scaleDown"] == {"selectPolicy": "Disabled"}
    assert behaviour["scaleUp"]["stabilizationWindowSeconds"] == 0


@pytest.mark.parametrize("name", NAMES)
def test_it_lets_a_node_be_drained(name: str) -> None:
    budgets = cluster(name).all("PodDisruptionBudget")
    assert len(budgets) == 3
    for budget in budgets:
        assert budget["spec"]["maxUnavailable"] >= 1
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
        meant = [
            one for one in cluster(name).all("Deployment") if selects(budget["spec"]["selector"], labels(one))
        ]
        assert len(meant) == 1


@pytest.mark.parametrize("name", ["overlays/eks", "overlays/peak"])
def test_it_spreads_each_program_over_zones_and_nodes(name: str) -> None:
    for deployment in cluster(name).all("Deployment"):
        spread = deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert {one["topologyKey"] for one in spread} == {
            "topology.kubernetes.io/zone",
            "kubernetes.io/hostname",
        }
        for one in spread:
            assert selects(one["labelSelector"], labels(deployment))
            assert one["matchLabelKeys"] == ["app.kubernetes.io/name", "pod-template-hash"]


def pool_track(name: str) -> Object:
    """The spec of the one ScaledObject."""
    (scaled,) = cluster(name).all("ScaledObject")
    spec: Object = scaled["spec"]
    return spec
