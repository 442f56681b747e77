"""Renders `manifests/` without kubectl, so that the tests need nothing but Python.

It knows the few things that our kustomizations use, and refuses everything else. Where kubectl is installed
(.ci/run sees to it) a test compares the two.
"""

import copy
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = ROOT / "manifests"
_KNOWN = {
    "apiVersion",
    "kind",
    "namespace",
    "resources",
    "components",
    "images",
    "patches",
    "configMapGenerator",
}
_CLUSTER_WIDE = {"Namespace"}


def render(name: str) -> list[Object]:
    """The objects of `manifests/NAME`. Raises ValueError where a kustomization asks for what this does not know."""
    objects = _build(MANIFESTS / name, [])
    keys = [(one["kind"], one["metadata"]["name"]) for one in objects]
    if len(keys) != len(set(keys)):
        raise ValueError(f"{name} has an object twice")
    return objects


def _build(folder: Path, objects: list[Object]) -> list[Object]:
    """`objects` and what the folder adds to them; a component also changes those that were there."""
    file = folder / "kustomization.yaml"
    told: Object = yaml.safe_load(file.read_text(encoding="utf-8"))
    if unknown := set(told) - _KNOWN:
        raise ValueError(f"{file}: {', '.join(sorted(unknown))} is not known to tests/manifests/render.py")
    objects = list(objects)
    for resource in told.get("resources", ()):
        path = (folder / resource).resolve()
        objects += _build(path, []) if path.is_dir() else _read(path)
    for generator in told.get("configMapGenerator", ()):
        objects.append(_config_map(folder, generator))
    for component in told.get("components", ()):
        objects = _build((folder / component).resolve(), objects)
    for patch in told.get("patches", ()):
        objects = _patched(objects, patch, where=str(file))
    for image in told.get("images", ()):
        _put_image(objects, image)
    if namespace := told.get("namespace"):
        for one in objects:
            if one["kind"] not in _CLUSTER_WIDE:
                one["metadata"]["namespace"] = namespace
    return objects


def _read(path: Path) -> list[Object]:
    return [one for one in yaml.safe_load_all(path.read_text(encoding="utf-8")) if one]


def _config_map(folder: Path, told: Object) -> Object:
    """A ConfigMap of files, under their names."""
    options = told["options"]
    if set(told) != {"name", "files", "options"} or not options["disableNameSuffixHash"]:
        raise ValueError(f"{folder}: of a configMapGenerator only files under a fixed name are known")
    if unknown := set(options) - {"disableNameSuffixHash", "labels", "annotations"}:
        raise ValueError(f"{folder}: a generator's option {unknown} is not known")
    files = [folder / name for name in told["files"]]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": told["name"]}
        | {name: options[name] for name in ("labels", "annotations") if name in options},
        "data": {file.name: file.read_text(encoding="utf-8") for file in files},
    }


def _patched(objects: list[Object], patch: Object, *, where: str) -> list[Object]:
    if unknown := set(patch) - {"target", "patch"}:
        raise ValueError(f"{where}: a patch with {unknown} is not known")
    change = yaml.safe_load(patch["patch"])
    if isinstance(change, list):
        wanted = patch["target"]
    else:
        wanted = {"kind": change["kind"], "name": change["metadata"]["name"]}
    found = [one for one in objects if _is_meant(one, wanted)]
    if not found:
        raise ValueError(f"{where}: a patch finds no {wanted}")
    if isinstance(change, dict) and change.pop("$patch", None) == "delete":
        return [one for one in objects if one not in found]
    for one in found:
        if isinstance(change, list):
            for step in change:
                _step(one, step)
        else:
            _merge(one, change, where=where)
    return objects


def _is_meant(one: Object, wanted: Object) -> bool:
    if unknown := set(wanted) - {"kind", "name"}:
        raise ValueError(f"a target with {unknown} is not known")
    named = re.fullmatch(wanted.get("name", ".*"), one["metadata"]["name"])
    return one["kind"] == wanted["kind"] and named is not None


def _step(one: Any, step: Object) -> None:
    """One operation of a JSON patch (RFC 6902)."""
    *way, last = [word.replace("~1", "/").replace("~0", "~") for word in step["path"].split("/")[1:]]
    for word in way:
        one = one[int(word)] if isinstance(one, list) else one[word]
    if isinstance(one, list):
        raise ValueError(f"{step}: adding to a list is not known")
    if step["op"] == "replace" and last not in one:
        raise ValueError(f"{step}: there is nothing to replace")
    if step["op"] not in ("add", "replace"):
        raise ValueError(f"{step}: this operation is not known")
    one[last] = copy.deepcopy(step["value"])


def _merge(one: Object, change: Object, *, where: str) -> None:
    for name, value in change.items():
        if isinstance(value, list) or value is None:
            raise ValueError(f"{where}: merging lists and nulls is not known; say it as a JSON patch")
        if isinstance(value, dict):
            _merge(one.setdefault(name, {}), value, where=where)
        else:
            one[name] = value


def _put_image(objects: list[Object], image: Object) -> None:
    if unknown := set(image) - {"name", "newName", "newTag", "digest"}:
        raise ValueError(f"an image with {unknown} is not known")
    name = image.get("newName", image["name"])
    full = f"{name}@{image['digest']}" if "digest" in image else f"{name}:{image['newTag']}"
    for one in objects:
        for container in containers(one):
            if container["image"].partition(":")[0] == image["name"]:
                container["image"] = full


def containers(one: Object) -> Iterator[Object]:
    """The containers of a Deployment or Job; none of anything else."""
    if one["kind"] in ("Deployment", "Job"):
        yield from one["spec"]["template"]["spec"]["containers"]
