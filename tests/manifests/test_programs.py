"""What no linter sees: the manifests and the programs say the same."""

import argparse
import ast
import re

import pytest

from admin_flask.app import create_app as make_manager
from admin_flask.server import GRACE_S
from admin_flask.server import PORT as MANAGER_PORT
from core.config import Settings
from core.ops.commands import PROGRAMS as COMMANDS
from core.ops.commands import build_parser, operations
from tasks.health import Health, with_probes
from tasks.queues import POOLS, SCHEDULING_POOL
from tests.manifests.cluster import NAMES, PROGRAMS, cluster, labels, megabytes, pod
from tests.manifests.render import ROOT, Object, containers
from tracker_quart.app import create_app as make_tracker
from tracker_quart.server import PORT as TRACKER_PORT

LONGEST_MARGIN_S = 30
"""A grace period says when something hangs; one that is far above what a program needs says it late."""


def settings_of(name: str, deployment: str) -> Settings:
    """What the program reads from the environment that the manifests give it."""
    return Settings.from_env(cluster(name).env(cluster(name).one("Deployment", deployment)))


def needed_by(package: str) -> list[str]:
    """The settings without which a program does not start: the words of its `require(...)`."""
    tree = ast.parse((ROOT / package / "__main__.py").read_text(encoding="utf-8"))
    (call,) = [
        call
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "require"
    ]
    return [ast.literal_eval(word) for word in call.args]


def words_of(workload: Object) -> list[str]:
    """The command line that the image's entry point gets."""
    (container,) = containers(workload)
    assert "command" not in container
    words: list[str] = container["args"]
    return words


@pytest.mark.parametrize("name", NAMES)
def test_it_has_four_deployments_and_a_migration_of_one_image(name: str) -> None:
    assert {one["metadata"]["name"] for one in cluster(name).all("Deployment")} == set(PROGRAMS)
    assert [one["metadata"]["name"] for one in cluster(name).all("Job")] == ["migrate"]
    (image,) = {container["image"] for one in cluster(name).workloads for container in containers(one)}
    assert not image.endswith(":latest")
    if name in ("overlays/eks", "overlays/peak"):
        assert re.fullmatch(r"[^@]+@sha256:[0-9a-f]{64}", image)


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_commands_that_rastro_accepts(name: str) -> None:
    for workload in cluster(name).workloads:
        command, *options = words_of(workload)
        assert command in (*COMMANDS, *operations())
        if command in operations():
            build_parser().parse_args([command, *options])
        elif command != "worker":
            assert options == []


@pytest.mark.parametrize("name", NAMES)
def test_it_serves_every_program_pool_and_queue(name: str) -> None:
    lines = {one["metadata"]["name"]: words_of(one) for one in cluster(name).workloads}
    assert lines["deploy-tracker"] == ["tracker"]
    assert lines["deploy-manager"] == ["manager"]
    assert lines["migrate"] == ["migrate"]
    parser = argparse.ArgumentParser()
    parser.add_argument("--pool", choices=tuple(POOLS), required=True)
    pools = {
        deployment: parser.parse_args(lines[deployment][1:]).pool
        for deployment in ("deploy-worker", "deploy-worker-track")
    }
    assert pools == {"deploy-worker": SCHEDULING_POOL, "deploy-worker-track": "track"}
    assert set(pools.values()) == set(POOLS)
    assert POOLS["track"] == ("track",)
    # The one that may be away serves no queue alone.
    assert {queue for queues in POOLS.values() for queue in queues} == set(POOLS[pools["deploy-worker"]])


@pytest.mark.parametrize("name", NAMES)
def test_it_names_only_settings_that_exist(name: str) -> None:
    known = {field.upper() for field in Settings.__dataclass_fields__}
    for workload in cluster(name).workloads:
        assert set(cluster(name).env(workload)) <= known


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("deployment", "package"),
    [
        ("deploy-tracker", "tracker_quart"),
        ("deploy-manager", "admin_flask"),
        ("deploy-worker", "tasks"),
        ("deploy-worker-track", "tasks"),
    ],
)
def test_it_gives_each_program_what_it_needs(name: str, deployment: str, package: str) -> None:
    settings = settings_of(name, deployment).require(*needed_by(package))
    assert settings.worker_processes == 1  # a probe sees one process
    assert settings.tracker_fd is settings.manager_fd is None
    if package in ("tracker_quart", "admin_flask"):
        assert settings.host == "0.0.0.0"
    secret = {entry["name"] for entry in container_of(name, deployment)["env"] if "valueFrom" in entry}
    optional = {"SENTRY_DSN"}
    if deployment != "deploy-tracker":
        optional.add("OTEL_EXPORTER_OTLP_HEADERS")
    if deployment in ("deploy-manager", "deploy-worker"):
        optional.add("SMTP_URL")
    if deployment == "deploy-manager":
        optional.add("DATABASE_REPLICA_URL")
    assert secret == {word.upper() for word in needed_by(package)} | optional  # and no more than that


@pytest.mark.parametrize("name", NAMES)
def test_it_gives_the_migration_the_database_alone(name: str) -> None:
    (migrate,) = cluster(name).all("Job")
    env = cluster(name).env(migrate)
    assert Settings.from_env(env).database_url
    assert "REDIS_URL" not in env


@pytest.mark.parametrize("name", NAMES)
def test_it_tells_every_worker_the_same(name: str) -> None:
    """WORKER_LEASE and ROLLUP_SHARDS are promises between workers."""
    one, other = settings_of(name, "deploy-worker"), settings_of(name, "deploy-worker-track")
    assert (one.worker_lease, one.rollup_shards, one.tz_default, one.robot_networks) == (
        other.worker_lease,
        other.rollup_shards,
        other.tz_default,
        other.robot_networks,
    )


@pytest.mark.parametrize("name", NAMES)
def test_it_listens_on_the_ports_that_it_names(name: str) -> None:
    for deployment in PROGRAMS:
        settings = settings_of(name, deployment)
        listens = {
            "deploy-tracker": {"http": settings.port or TRACKER_PORT, "metrics": settings.metrics_port},
            "deploy-manager": {"http": settings.port or MANAGER_PORT, "metrics": settings.metrics_port},
        }.get(deployment, {"metrics": settings.metrics_port})
        named = {port["name"]: port["containerPort"] for port in container_of(name, deployment)["ports"]}
        assert named == listens


@pytest.mark.parametrize("name", NAMES)
def test_it_probes_every_program(name: str) -> None:
    """Live and ready are two questions: only the second may ask a server."""
    for deployment in PROGRAMS:
        container = container_of(name, deployment)
        port = "http" if deployment in ("deploy-tracker", "deploy-manager") else "metrics"
        asked = {
            kind: (container[kind]["httpGet"]["path"], container[kind]["httpGet"]["port"])
            for kind in ("startupProbe", "livenessProbe", "readinessProbe")
        }
        assert asked == {
            "startupProbe": ("/livez", port),
            "livenessProbe": ("/livez", port),
            "readinessProbe": ("/readyz", port),
        }
        patience = (
            container["livenessProbe"]["failureThreshold"] * container["livenessProbe"]["periodSeconds"]
        )
        assert patience >= 60


def test_it_probes_paths_that_the_programs_answer() -> None:
    paths = {"/livez", "/readyz"}
    tracker = make_tracker(settings_of("base", "deploy-tracker"))
    assert paths <= {rule.rule for rule in tracker.url_map.iter_rules()}
    manager = make_manager(settings_of("base", "deploy-manager"))
    assert paths <= {rule.rule for rule in manager.url_map.iter_rules()}
    worker = with_probes(lambda _environ, _start: [b"metrics"], Health(draining=lambda: False))
    for path in paths:
        assert list(worker({"PATH_INFO": path}, lambda _status, _headers: None)) != [b"metrics"]


@pytest.mark.parametrize("name", NAMES)
def test_it_gives_each_program_the_time_that_its_end_takes(name: str) -> None:
    for deployment in PROGRAMS:
        settings = settings_of(name, deployment)
        before = container_of(name, deployment).get("lifecycle", {}).get("preStop", {})
        takes: float = before.get("sleep", {}).get("seconds", 0)
        takes += {
            "deploy-tracker": settings.drain_hold + settings.drain_limit,
            "deploy-manager": GRACE_S,
        }.get(deployment, settings.drain_limit)
        grace = pod(cluster(name).one("Deployment", deployment))["terminationGracePeriodSeconds"]
        assert takes + 5 <= grace <= takes + LONGEST_MARGIN_S


@pytest.mark.parametrize("name", NAMES)
def test_it_lets_a_load_balancer_forget_a_pod_before_it_ends(name: str) -> None:
    for service in cluster(name).all("Service"):
        (behind,) = [
            deployment for deployment, program in PROGRAMS.items() if program == service["metadata"]["name"]
        ]
        assert container_of(name, behind)["lifecycle"]["preStop"]["sleep"]["seconds"] >= 10


@pytest.mark.parametrize("name", NAMES)
def test_it_does_not_wait_for_a_hung_tracker_as_for_one_that_drains(name: str) -> None:
    for kind in ("startupProbe", "livenessProbe"):
        assert container_of(name, "deploy-tracker")[kind]["terminationGracePeriodSeconds"] <= 60


@pytest.mark.parametrize("name", NAMES)
def test_it_keeps_the_spool_on_a_volume_with_more_room_than_the_spool_takes(name: str) -> None:
    container = container_of(name, "deploy-tracker")
    settings = settings_of(name, "deploy-tracker")
    (mount,) = [
        one["name"] for one in container["volumeMounts"] if one["mountPath"] == str(settings.spool_dir)
    ]
    volumes = {one["name"]: one for one in pod(cluster(name).one("Deployment", "deploy-tracker"))["volumes"]}
    room = megabytes(volumes[mount]["emptyDir"]["sizeLimit"])
    assert settings.postback_spool_dir.is_relative_to(settings.spool_dir)
    assert room >= 2 * settings.spool_max_mb * 1.25  # clicks, and as much of postbacks
    assert megabytes(container["resources"]["requests"]["ephemeral-storage"]) >= room


@pytest.mark.parametrize("name", NAMES)
def test_it_holds_no_secret(name: str) -> None:
    assert cluster(name).all("Secret") == []
    secret = {"DATABASE_URL", "DATABASE_REPLICA_URL", "REDIS_URL", "SECRET_KEY", "SMTP_URL", "REDIS_PASSWORD"}
    secret |= {"SENTRY_DSN", "OTEL_EXPORTER_OTLP_HEADERS"}
    for config in cluster(name).all("ConfigMap"):
        assert not secret & set(config["data"])
    for workload in cluster(name).workloads:
        (container,) = containers(workload)
        for entry in container["env"]:
            assert ("valueFrom" in entry) == (entry["name"] in secret)
            if "valueFrom" in entry:
                assert entry["valueFrom"]["secretKeyRef"]["name"] == "rastro-secrets"
                assert entry["valueFrom"]["secretKeyRef"]["key"] == entry["name"]


def test_it_fetches_every_secret_that_is_asked_for() -> None:
    eks = cluster("overlays/eks")
    (fetched,) = eks.all("ExternalSecret")
    made = fetched["spec"]["target"]["template"]["data"]
    asked = {
        entry["valueFrom"]["secretKeyRef"]["key"]
        for workload in eks.workloads
        for container in containers(workload)
        for entry in container["env"]
        if "valueFrom" in entry
    }
    (access,) = eks.all("TriggerAuthentication")
    asked |= {entry["key"] for entry in access["spec"]["secretTargetRef"]}
    assert fetched["spec"]["target"]["name"] == "rastro-secrets"
    assert set(made) == asked
    for text in made.values():
        assert "{{ ." in text  # no password stands in it
    store = fetched["spec"]["secretStoreRef"]
    account = eks.one(store["kind"], store["name"])["spec"]["provider"]["aws"]["auth"]["jwt"]
    assert eks.one("ServiceAccount", account["serviceAccountRef"]["name"])


@pytest.mark.parametrize("name", NAMES)
def test_it_meets_the_restricted_profile(name: str) -> None:
    (namespace,) = cluster(name).all("Namespace")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    for workload in cluster(name).workloads:
        spec = pod(workload)
        assert spec["securityContext"] == {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "runAsGroup": 10001,
            "fsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        assert spec["automountServiceAccountToken"] is False
        assert (
            spec["enableServiceLinks"] is False
        )  # else TRACKER_PORT and the like would be in the environment
        assert cluster(name).one("ServiceAccount", spec["serviceAccountName"])
        (container,) = containers(workload)
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert all("sizeLimit" in volume["emptyDir"] for volume in spec["volumes"])
        assert {mount["name"] for mount in container["volumeMounts"]} == {
            volume["name"] for volume in spec["volumes"]
        }
    for account in cluster(name).all("ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


@pytest.mark.parametrize("name", NAMES)
def test_it_asks_for_processor_and_memory_and_throttles_nobody(name: str) -> None:
    for workload in cluster(name).workloads:
        (container,) = containers(workload)
        resources = container["resources"]
        assert {"cpu", "memory"} <= set(resources["requests"])
        assert set(resources["limits"]) == {"memory"}
        wanted, most = megabytes(resources["requests"]["memory"]), megabytes(resources["limits"]["memory"])
        assert 1.5 * wanted <= most <= 2 * wanted


@pytest.mark.parametrize("name", NAMES)
def test_it_prepares_all_that_the_migration_needs(name: str) -> None:
    """`kubectl apply -l rastro/step=prepare` brings the Job and what it refers to, before the new programs."""
    step = {"rastro/step": "prepare"}
    prepared = {
        (one["kind"], one["metadata"]["name"])
        for one in cluster(name).objects
        if step.items() <= one["metadata"].get("labels", {}).items()
    }
    (migrate,) = cluster(name).all("Job")
    needed = {("Job", "migrate"), ("Namespace", "rastro"), ("ConfigMap", "rastro-config")}
    needed.add(("ServiceAccount", pod(migrate)["serviceAccountName"]))
    for policy in cluster(name).all("NetworkPolicy"):
        chosen = policy["spec"]["podSelector"]
        if chosen == {} or "migrate" in str(chosen):
            needed.add(("NetworkPolicy", policy["metadata"]["name"]))
    for kind in ("SecretStore", "ExternalSecret"):
        needed |= {(kind, one["metadata"]["name"]) for one in cluster(name).all(kind)}
    assert needed <= prepared
    assert not [kind for kind, _ in prepared if kind == "Deployment"]


@pytest.mark.parametrize("name", NAMES)
def test_it_labels_pods_by_their_program(name: str) -> None:
    for deployment, program in PROGRAMS.items():
        one = cluster(name).one("Deployment", deployment)
        assert one["spec"]["selector"] == {"matchLabels": {"app.kubernetes.io/name": program}}
        assert labels(one) == {"app.kubernetes.io/name": program, "app.kubernetes.io/part-of": "rastro"}


def container_of(name: str, deployment: str) -> Object:
    """The one container of a Deployment."""
    (container,) = containers(cluster(name).one("Deployment", deployment))
    return container
