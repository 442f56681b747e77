"""What the tests ask of a rendered overlay: objects by kind and name, pods by label, the environment of a container."""

import re
from functools import cache
from typing import Any

from tests.manifests.render import MANIFESTS, Object, containers, render

NAMES = ("base", *sorted(f"overlays/{folder.name}" for folder in (MANIFESTS / "overlays").iterdir()))

PROGRAMS = {
    "deploy-tracker": "tracker",
    "deploy-manager": "manager",
    "deploy-worker": "worker",
    "deploy-worker-track": "worker-track",
}
"""Deployment -> the value of its pods' label app.kubernetes.io/name."""


class Cluster:
    """One overlay, rendered."""

    def __init__(self, name: str) -> None:
        self.objects = render(name)

    def all(self, kind: str) -> list[Object]:
        """Every object of a kind."""
        return [one for one in self.objects if one["kind"] == kind]

    def one(self, kind: str, name: str) -> Object:
        """The object of that kind and name."""
        (found,) = [one for one in self.all(kind) if one["metadata"]["name"] == name]
        return found

    @property
    def workloads(self) -> list[Object]:
        """What has pods: the Deployments and the Job."""
        return self.all("Deployment") + self.all("Job")

    def env(self, workload: Object) -> dict[str, str]:
        """The environment of a workload's container. A secret is shown as a value that its setting accepts."""
        (container,) = containers(workload)
        found: dict[str, str] = {}
        for source in container.get("envFrom", ()):
            found |= self.one("ConfigMap", source["configMapRef"]["name"])["data"]
        for entry in container["env"]:
            found[entry["name"]] = entry["value"] if "value" in entry else SECRETS[entry["name"]]
        return found


SECRETS = {
    "DATABASE_URL": "postgresql://rastro:x@database:5432/rastro?sslmode=require",
    "DATABASE_REPLICA_URL": "postgresql://rastro:x@replica:5432/rastro?sslmode=require",
    "REDIS_URL": "rediss://:x@redis:6379/0",
    "SECRET_KEY": "x" * 64,
    "SMTP_URL": "smtps://x:x@mail.example.com",
    "SENTRY_DSN": "",
    "OTEL_EXPORTER_OTLP_HEADERS": "",
}


@cache
def cluster(name: str) -> Cluster:
    """The overlay, rendered once a process. Not to be changed."""
    return Cluster(name)


def pod(workload: Object) -> Object:
    """The pod's spec of a Deployment or Job."""
    spec: Object = workload["spec"]["template"]["spec"]
    return spec


def labels(workload: Object) -> dict[str, str]:
    """The labels of its pods."""
    found: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return found


def selects(selector: Object, pod_labels: dict[str, str]) -> bool:
    """Whether a label selector, as far as we use them, means a pod with these labels."""
    assert set(selector) <= {"matchLabels", "matchExpressions"}
    for name, value in selector.get("matchLabels", {}).items():
        if pod_labels.get(name) != value:
            return False
    for wanted in selector.get("matchExpressions", ()):
        assert wanted["operator"] == "In"
        if pod_labels.get(wanted["key"]) not in wanted["values"]:
            return False
    return True


def port_of(container: Object, named: Any) -> int:
    """The number of a container's port that is given by name or number."""
    if isinstance(named, int):
        return named
    (found,) = [port["containerPort"] for port in container["ports"] if port["name"] == named]
    return int(found)


def megabytes(quantity: str) -> int:
    """A quantity of Kubernetes such as 512Mi."""
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", quantity).groups()  # type: ignore[union-attr]
    return int(number) * {"Mi": 1, "Gi": 1024}[unit]
