"""What render.py makes is what kubectl makes, and what it does not know it refuses."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.manifests import render as renderer
from tests.manifests.cluster import NAMES, cluster
from tests.manifests.render import MANIFESTS, render


def kubectl() -> str | None:
    """The kubectl of this machine, if it knows components: from 1.21 on. That of Debian 12 is 1.20."""
    path = shutil.which("kubectl")
    if path is None:
        return None
    command = [path, "version", "--client", "--output=json"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    minor = re.match(r"\d+", json.loads(told)["clientVersion"]["minor"])
    return path if minor and int(minor[0]) >= 21 else None


KUBECTL = kubectl()


@pytest.mark.skipif(KUBECTL is None, reason="no kubectl on this machine, or one that is older than 1.21")
@pytest.mark.parametrize("name", NAMES)
def test_it_renders_what_kubectl_renders(name: str) -> None:
    done = subprocess.run(
        [str(KUBECTL), "kustomize", str(MANIFESTS / name)], capture_output=True, text=True, check=True
    )
    theirs = {(one["kind"], one["metadata"]["name"]): one for one in yaml.safe_load_all(done.stdout)}
    ours = {(one["kind"], one["metadata"]["name"]): one for one in cluster(name).objects}
    assert ours == theirs


@pytest.mark.parametrize(
    "text",
    [
        "namePrefix: x-",
        "patches: [{patch: '[{op: replace, path: /a/b, value: 1}]', target: {kind: Nothing}}]",
        "patches: [{patch: '[{op: remove, path: /metadata/name}]', target: {kind: Namespace}}]",
        "patches: [{patch: '[{op: replace, path: /metadata/no, value: 1}]', target: {kind: Namespace}}]",
        "patches: [{patch: '{kind: Namespace, metadata: {name: n, finalizers: [a]}}'}]",
        "patches: [{path: other.yaml}]",
        "images: [{name: rastro, newSuffix: x}]",
        "configMapGenerator: [{name: c, files: [namespace.yaml], options: {}}]",
        "configMapGenerator: [{name: c, literals: [a=b], options: {disableNameSuffixHash: true}}]",
    ],
)
def test_it_refuses_what_it_does_not_know(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "namespace.yaml").write_text("{apiVersion: v1, kind: Namespace, metadata: {name: n}}")
    (tmp_path / "kustomization.yaml").write_text(f"resources: [namespace.yaml]\n{text}\n")
    monkeypatch.setattr(renderer, "MANIFESTS", tmp_path.parent)
    with pytest.raises((ValueError, KeyError)):
        render(tmp_path.name)


@pytest.mark.parametrize("name", NAMES)
def test_it_puts_everything_into_the_namespace(name: str) -> None:
    """What has none would go wherever the person who applies it happens to be."""
    outside = [
        (one["kind"], one["metadata"]["name"])
        for one in cluster(name).objects
        if one["metadata"].get("namespace") != "rastro"
    ]
    assert outside == [("Namespace", "rastro")]


def test_it_lists_every_file_in_a_kustomization() -> None:
    for folder in {file.parent for file in MANIFESTS.rglob("kustomization.yaml")}:
        told = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
        files = {file.name for file in folder.glob("*.yaml")} - {"kustomization.yaml"}
        assert files == {name for name in told.get("resources", ()) if name.endswith(".yaml")}
