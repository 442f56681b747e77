"""What the manifests say of pods and their autoscaler, as values; refused is whatever a rehearsal could not honour.

A field that is new in a manifest stops the rehearsal (NotHonoured) until somebody has decided what it means here: so
the rehearsal never passes by leaving out what the cluster would do.
"""

import json
import math
import shlex
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tests.bench.autoscaler import Keda, Rules
from tests.image.files import final_stage
from tests.manifests.cluster import Cluster, megabytes
from tests.manifests.render import Object


class NotHonoured(Exception):
    """A manifest asks for something that a process on this machine does not get."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """One probe of a container; times in seconds, `port` by its name. What comes after a probe that fails for good, a
    restart, is the end of a rehearsal; so the grace period of a probe's own is read by nobody."""

    path: str
    port: str
    period: int
    timeout: int
    failures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSpec:
    """A pod with one container. `folders` are the mount points of its emptyDirs; times in seconds."""

    name: str
    words: tuple[str, ...]
    env: Mapping[str, str]
    ports: Mapping[str, int]
    folders: tuple[str, ...]
    startup: Probe | None
    liveness: Probe | None
    readiness: Probe | None
    pre_stop: int
    grace: int
    memory_mb: int
    stop_signal: signal.Signals


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentSpec:
    """`least` is the floor that its autoscaler holds: what runs when nothing happens."""

    name: str
    pod: PodSpec
    least: int
    max_surge: int | str
    max_unavailable: int | str

    def surge(self, replicas: int) -> int:
        """Pods above `replicas` at most during a rollout."""
        return _share(self.max_surge, replicas, up=True)

    def unavailable(self, replicas: int) -> int:
        """Pods that may be missing from `replicas` during a rollout."""
        return _share(self.max_unavailable, replicas, up=False)


_ELSEWHERE = {
    "serviceAccountName",  # an account has no rights here either
    "automountServiceAccountToken",
    "enableServiceLinks",  # nobody sets such variables here
    "securityContext",  # tests/image runs the programs as that user, on a file system that is read-only
    "topologySpreadConstraints",  # one machine
}
"""Parts of a pod that say where and as whom it runs, and nothing of how it starts, serves and ends."""


def deployment(cluster: Cluster, name: str, secrets: Mapping[str, str]) -> DeploymentSpec:
    """A Deployment of an overlay, its pods' environment filled in. Raises NotHonoured."""
    found = cluster.one("Deployment", name)
    spec = _only(
        found["spec"],
        name,
        *("revisionHistoryLimit", "strategy", "selector", "template"),
    )
    strategy = _only(
        _only(spec["strategy"], name, "rollingUpdate")["rollingUpdate"], name, "maxSurge", "maxUnavailable"
    )
    floors = [
        one["spec"].get("minReplicas", one["spec"].get("minReplicaCount"))
        for one in cluster.all("HorizontalPodAutoscaler") + cluster.all("ScaledObject")
        if one["spec"]["scaleTargetRef"]["name"] == name
    ]
    return DeploymentSpec(
        name=name,
        pod=_pod(cluster, found, secrets),
        least=floors[0] if floors else 1,
        max_surge=strategy["maxSurge"],
        max_unavailable=strategy["maxUnavailable"],
    )


def job(cluster: Cluster, name: str, secrets: Mapping[str, str]) -> tuple[PodSpec, int]:
    """A Job's pod, and the seconds within which it must be done. Raises NotHonoured."""
    found = cluster.one("Job", name)
    spec = _only(
        found["spec"], name, "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished", "template"
    )
    return _pod(cluster, found, secrets), spec["activeDeadlineSeconds"]


def scaled(cluster: Cluster, name: str) -> tuple[Keda, str]:
    """The rules of a ScaledObject, and the stream whose length its one trigger reads. Raises NotHonoured.

    `fallback` is for a Redis that can not be read, which ends a rehearsal."""
    spec = _only(
        cluster.one("ScaledObject", name)["spec"],
        name,
        *("scaleTargetRef", "pollingInterval", "cooldownPeriod", "minReplicaCount", "maxReplicaCount"),
        *("advanced", "fallback", "triggers"),
    )
    (trigger,) = spec["triggers"]
    _only(trigger, name, "type", "metadata", "authenticationRef")
    told = _only(
        trigger["metadata"],
        name,
        *("address", "databaseIndex", "enableTLS", "stream", "streamLength", "activationLagCount"),
    )
    if trigger["type"] != "redis-streams":
        raise NotHonoured(f"{name}: a trigger {trigger['type']}")
    config = _only(
        _only(spec["advanced"], name, "horizontalPodAutoscalerConfig"), name, "horizontalPodAutoscalerConfig"
    )
    behavior = _only(config["horizontalPodAutoscalerConfig"], name, "behavior")["behavior"]
    rules = Rules(
        least=spec["minReplicaCount"],
        most=spec["maxReplicaCount"],
        **_climbing(_only(behavior, name, "scaleUp")["scaleUp"], name),
    )
    return Keda(
        rules=rules,
        target=int(told["streamLength"]),
        activation=int(told["activationLagCount"]),
        polling_s=spec["pollingInterval"],
        cooldown_s=spec["cooldownPeriod"],
    ), told["stream"]


def _climbing(up: Object, where: str) -> dict[str, int]:
    """`scaleUp` as words of Rules. What a manifest lists replaces all of Kubernetes' own policies."""
    policies = {one["type"]: one for one in _only(up, where, "policies")["policies"]}
    (period,) = {one["periodSeconds"] for one in policies.values()}
    if unknown := set(policies) - {"Pods", "Percent"}:
        raise NotHonoured(f"{where}: policies {unknown}")
    pods, percent = (policies.get(kind, {"value": 0})["value"] for kind in ("Pods", "Percent"))
    return {"up_pods": pods, "up_percent": percent, "up_period_s": period}


def _pod(cluster: Cluster, workload: Object, secrets: Mapping[str, str]) -> PodSpec:
    where = workload["metadata"]["name"]
    spec = _only(
        workload["spec"]["template"]["spec"],
        where,
        *_ELSEWHERE,
        *("containers", "volumes", "terminationGracePeriodSeconds", "restartPolicy"),
    )
    (container,) = spec["containers"]
    _only(
        container,
        where,
        *(
            "name",
            "image",
            "args",
            "envFrom",
            "env",
            "ports",
            "startupProbe",
            "livenessProbe",
            "readinessProbe",
        ),
        *("lifecycle", "securityContext", "resources", "volumeMounts"),
    )
    _only(container["resources"], where, "requests", "limits")
    limits = _only(container["resources"]["limits"], where, "memory")
    ports = {one["name"]: one["containerPort"] for one in container.get("ports", ())}
    words, env, stop_signal = _image()
    return PodSpec(
        name=where,
        words=(*words, *container["args"]),
        env=env | dict(_environment(cluster, container, secrets, where)),
        ports=ports,
        folders=tuple(_folders(spec, container, where)),
        startup=_probe(container, "startupProbe", ports),
        liveness=_probe(container, "livenessProbe", ports),
        readiness=_probe(container, "readinessProbe", ports),
        pre_stop=_pre_stop(container.get("lifecycle", {}), where),
        grace=spec.get("terminationGracePeriodSeconds", 30),
        memory_mb=megabytes(limits["memory"]),
        stop_signal=stop_signal,
    )


def _image() -> tuple[list[str], dict[str, str], signal.Signals]:
    """The entry point, the environment and the stop signal of the image."""
    stage = final_stage()
    told = {word: rest for word, rest in stage if word in ("ENTRYPOINT", "STOPSIGNAL")}
    settings = [part for word, rest in stage if word == "ENV" for part in shlex.split(rest)]
    env = {name: value for name, _, value in (one.partition("=") for one in settings)}
    return json.loads(told["ENTRYPOINT"]), env, signal.Signals[told["STOPSIGNAL"]]


def _environment(
    cluster: Cluster, container: Object, secrets: Mapping[str, str], where: str
) -> Iterator[tuple[str, str]]:
    for source in container.get("envFrom", ()):
        _only(source, where, "configMapRef")
        yield from cluster.one("ConfigMap", source["configMapRef"]["name"])["data"].items()
    for entry in container["env"]:
        if "value" in entry:
            yield _only(entry, where, "name", "value")["name"], entry["value"]
            continue
        asked = _only(_only(entry, where, "name", "valueFrom")["valueFrom"], where, "secretKeyRef")[
            "secretKeyRef"
        ]
        _only(asked, where, "name", "key", "optional")
        if asked["key"] in secrets:
            yield entry["name"], secrets[asked["key"]]
        elif not asked.get("optional"):
            raise NotHonoured(f"{where}: there is no secret {asked['key']}")


def _folders(spec: Object, container: Object, where: str) -> Iterator[str]:
    volumes = {one["name"]: _only(one, where, "name", "emptyDir") for one in spec["volumes"]}
    for mount in container["volumeMounts"]:
        _only(mount, where, "name", "mountPath")
        _only(volumes[mount["name"]]["emptyDir"], where, "sizeLimit")
        yield mount["mountPath"]


def _probe(container: Object, kind: str, ports: Mapping[str, int]) -> Probe | None:
    """Kubernetes' defaults where the manifest says nothing."""
    if kind not in container:
        return None
    where = f"{container['name']}: {kind}"
    told = _only(
        container[kind],
        where,
        *("httpGet", "periodSeconds", "timeoutSeconds", "failureThreshold", "terminationGracePeriodSeconds"),
    )
    asked = _only(told["httpGet"], where, "path", "port")
    if asked["port"] not in ports:
        raise NotHonoured(f"{where}: there is no port {asked['port']}")
    return Probe(
        path=asked["path"],
        port=asked["port"],
        period=told.get("periodSeconds", 10),
        timeout=told.get("timeoutSeconds", 1),
        failures=told.get("failureThreshold", 3),
    )


def _pre_stop(lifecycle: Object, where: str) -> int:
    if not lifecycle:
        return 0
    step = _only(_only(lifecycle, where, "preStop")["preStop"], where, "sleep")
    seconds: int = _only(step["sleep"], where, "seconds")["seconds"]
    return seconds


def _share(limit: int | str, replicas: int, *, up: bool) -> int:
    if isinstance(limit, int):
        return limit
    part = replicas * int(limit.removesuffix("%")) / 100
    return math.ceil(part) if up else math.floor(part)


def _only(one: Object, where: str, *known: str) -> Object:
    if unknown := set(one) - set(known):
        raise NotHonoured(f"{where}: {', '.join(sorted(unknown))}")
    return one
