"""`manifests/pin.py`: the digest of a release comes into the overlay, and nothing else changes."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.manifests import render as renderer
from tests.manifests.render import MANIFESTS, containers, render

IMAGE = "444455556666.dkr.ecr.eu-central-1.amazonaws.com/links/rastro@sha256:" + "ab12" * 16
FILE = "overlays/eks/kustomization.yaml"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The manifests, to be changed."""
    return Path(shutil.copytree(MANIFESTS, tmp_path / "manifests"))


def pin(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run it as the workflow does."""
    command = [sys.executable, folder / "pin.py", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["overlays/eks", "overlays/peak"])
def test_it_runs_every_program_from_that_image(
    name: str, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pin(copy, IMAGE).returncode == 0
    monkeypatch.setattr(renderer, "MANIFESTS", copy)
    images = {container["image"] for one in render(name) for container in containers(one)}
    assert images == {IMAGE}


def test_it_changes_two_lines_and_keeps_the_comments(copy: Path) -> None:
    before = (copy / FILE).read_text(encoding="utf-8").splitlines()
    pin(copy, IMAGE)
    after = (copy / FILE).read_text(encoding="utf-8").splitlines()
    changed = [new for old, new in zip(before, after, strict=True) if old != new]
    assert changed == [f"    newName: {IMAGE.partition('@')[0]}", f"    digest: {IMAGE.partition('@')[2]}"]


def test_it_changes_nothing_the_second_time(copy: Path) -> None:
    pin(copy, IMAGE)
    once = (copy / FILE).read_text(encoding="utf-8")
    assert pin(copy, IMAGE).returncode == 0
    assert (copy / FILE).read_text(encoding="utf-8") == once


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("rastro:latest",),
        ("rastro@sha256:abc",),
        ("@sha256:" + "a" * 64,),
        (IMAGE + "\n    newTag: x",),
        (IMAGE, IMAGE),
    ],
)
def test_it_refuses_what_is_no_digest(words: tuple[str, ...], copy: Path) -> None:
    before = (copy / FILE).read_text(encoding="utf-8")
    done = pin(copy, *words)
    assert done.returncode == 2 and done.stderr
    assert (copy / FILE).read_text(encoding="utf-8") == before


def test_it_refuses_an_overlay_that_it_does_not_understand(copy: Path) -> None:
    text = (copy / FILE).read_text(encoding="utf-8").replace("    newName:", "    newTag:")
    (copy / FILE).write_text(text, encoding="utf-8")
    assert pin(copy, IMAGE).returncode == 2
