"""Every object is what its API asks for, in every version of Kubernetes that we name; unknown fields are refused."""

import copy
import json

import jsonschema
import kubernetes_validate
import pytest

from tests.manifests.cluster import NAMES, cluster
from tests.manifests.kinds import KINDS
from tests.manifests.render import Object

VERSIONS = ("1.34", "1.35", "1.36", "1.37")

API_VERSIONS = {
    "Namespace": "v1",
    "ConfigMap": "v1",
    "ServiceAccount": "v1",
    "Service": "v1",
    "Deployment": "apps/v1",
    "Job": "batch/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
    "PodDisruptionBudget": "policy/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    "Ingress": "networking.k8s.io/v1",
}


def check(one: Object, version: str) -> None:
    """Raises ValidationError of one of the two libraries."""
    if one["kind"] in KINDS:
        jsonschema.Draft202012Validator(KINDS[one["kind"]]).validate(one)
    else:
        assert kubernetes_validate.validate(one, version, strict=True) == version


@pytest.mark.parametrize("version", VERSIONS)
def test_it_is_valid(version: str) -> None:
    different = {json.dumps(one, sort_keys=True): one for name in NAMES for one in cluster(name).objects}
    for one in different.values():
        check(one, version)


@pytest.mark.parametrize("name", NAMES)
def test_it_uses_the_stable_versions(name: str) -> None:
    for one in cluster(name).objects:
        if one["kind"] not in KINDS:
            assert one["apiVersion"] == API_VERSIONS[one["kind"]]


def test_it_refuses_a_field_that_does_not_exist_in_any_kind() -> None:
    passed = set()
    for one in {one["kind"]: one for one in cluster("overlays/eks").objects}.values():
        wrong = copy.deepcopy(one)
        wrong.get("spec", wrong)["minReplica"] = 1
        try:
            check(wrong, VERSIONS[0])
        except (jsonschema.ValidationError, kubernetes_validate.ValidationError):
            continue
        passed.add(one["kind"])
    assert passed == set()
