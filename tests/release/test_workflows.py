"""The workflows of GitHub: valid, in order, and with no more rights than they need. Nothing is run here."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.ops.commands import PROGRAMS, operations
from tests.image.files import instructions

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".github/workflows"
FILES = sorted(FOLDER.glob("*.yaml"))
BESIDE = Path(sys.executable).parent
"""Where the checkers are installed."""

Json = dict[str, Any]


def workflow(name: str) -> Json:
    """What a workflow says; the key `on`, which YAML takes for a truth, is left as it is read."""
    told: Json = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return told


def steps() -> list[Json]:
    """Every step of every job."""
    return [step for file in FILES for job in workflow(file.stem)["jobs"].values() for step in job["steps"]]


def scripts() -> list[str]:
    """What is run by a shell."""
    return [step["run"] for step in steps() if "run" in step]


def check_schema(*files: Path) -> int:
    """0 when the files are workflows by GitHub's own schema, which comes with the checker."""
    done = subprocess.run(
        [BESIDE / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", *files],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode


def test_it_is_valid_by_the_schema_of_github() -> None:
    assert [file.name for file in FILES] == ["ci.yaml", "release.yaml"]
    assert check_schema(*FILES) == 0


def test_it_would_see_a_word_that_github_does_not_know(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    text = (FOLDER / "ci.yaml").read_text(encoding="utf-8")
    wrong.write_text(text.replace("timeout-minutes", "timeout-minuets"), encoding="utf-8")
    assert check_schema(wrong) == 1


def test_it_has_no_hole_that_a_checker_of_workflows_knows() -> None:
    done = subprocess.run(
        [BESIDE / "zizmor", "--offline", "--no-progress", "--persona=pedantic", "--color=never", FOLDER],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"]},
    )
    assert done.returncode == 0, done.stdout


def test_it_pins_each_action_by_its_commit_and_names_the_version() -> None:
    lines = [
        line
        for file in FILES
        for line in file.read_text(encoding="utf-8").splitlines()
        if re.match(r"\s*(- )?uses:", line)
    ]
    found = [re.search(r"uses: ([\w/-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)$", line) for line in lines]
    assert lines and all(found)
    pins: dict[str, set[str]] = {}
    for pin in found:
        pins.setdefault(pin[1], set()).add(pin[2])  # type: ignore[index]
    assert [action for action, commits in pins.items() if len(commits) > 1] == []


def test_it_ships_only_what_was_tested_and_scanned() -> None:
    jobs = workflow("release")["jobs"]
    assert {name: job.get("needs") for name, job in jobs.items()} == {
        "test": None,
        "image": "test",
        "push": "image",
        "overlay": "push",
    }
    order = [step.get("uses", step.get("name", "")).split("@")[0] for step in jobs["image"]["steps"]]
    assert order.index("anchore/scan-action") < order.index("actions/upload-artifact")
    assert not any("cache" in str(step) for step in jobs["image"]["steps"])


def test_it_gives_each_job_the_least_rights() -> None:
    for file in FILES:
        assert workflow(file.stem)["permissions"] == {}
    rights = {
        (file.stem, name): job["permissions"]
        for file in FILES
        for name, job in workflow(file.stem)["jobs"].items()
    }
    assert rights == {
        ("ci", "test"): {"contents": "read"},
        ("ci", "image"): {"contents": "read"},
        ("release", "test"): {"contents": "read"},
        ("release", "image"): {"contents": "read"},
        ("release", "push"): {"id-token": "write"},
        ("release", "overlay"): {"contents": "write", "pull-requests": "write"},
    }


def test_it_runs_no_code_of_ours_where_it_may_push_to_the_registry() -> None:
    push = workflow("release")["jobs"]["push"]["steps"]
    assert not any("checkout" in step.get("uses", "") for step in push)
    assert {step["uses"].split("/")[0] for step in push if "uses" in step} == {"actions", "aws-actions"}


def test_it_needs_no_secret_and_documents_every_variable() -> None:
    text = "".join(file.read_text(encoding="utf-8") for file in FILES)
    assert "secrets." not in text
    page = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    names = set(re.findall(r"vars\.(\w+)", text))
    assert names == {"AWS_ROLE", "AWS_REGION", "ECR_REPOSITORY"}
    assert [name for name in names if f"`{name}`" not in page] == []


def test_it_runs_code_of_a_pull_request_without_rights() -> None:
    for file in FILES:
        triggers = workflow(file.stem)[True]  # `on`, as YAML 1.1 reads it
        assert "pull_request_target" not in triggers and "workflow_run" not in triggers
    assert set(workflow("release")[True]) == {"push"}
    assert workflow("release")[True] == {"push": {"tags": ["v*"]}}


def test_it_ends_whatever_hangs() -> None:
    for file in FILES:
        told = workflow(file.stem)
        assert told["concurrency"]["group"]
        assert all(job["timeout-minutes"] <= 90 for job in told["jobs"].values())


def test_it_never_breaks_off_a_release() -> None:
    assert workflow("release")["concurrency"]["cancel-in-progress"] is False


@pytest.mark.parametrize("script", scripts())
def test_it_runs_commands_that_exist(script: str) -> None:
    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "${{" not in script  # values come as variables of the environment, which no shell reads as code
    for command in re.findall(r"\./rastro (\S+)", script):
        assert command in (*PROGRAMS, *operations(), "lint")
    for path in re.findall(r"(?<![\w/.])(?:\.ci|manifests|tests)/[\w./-]+", script):
        assert os.access(ROOT / path, os.X_OK), path


def test_it_reads_the_version_and_the_base_where_they_stand() -> None:
    (version, base) = (
        subprocess.run(["sed", "-n", word, file], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for script in scripts()
        for word, file in re.findall(r"\$\(sed -n '([^']+)' ([\w./]+)\)", script)
    )
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", version)
    assert instructions()[0] == ("ARG", f"BASE={base.strip()}")


def test_it_gives_the_build_arguments_that_the_dockerfile_takes() -> None:
    taken = {rest.partition("=")[0] for word, rest in instructions() if word == "ARG"}
    text = "".join(scripts())
    given = set(re.findall(r'--build-arg "(\w+)=', text))
    assert given == {"BASE", "VERSION", "REVISION"} <= taken
    assert "SOURCE_DATE_EPOCH" in taken and "SOURCE_DATE_EPOCH" in workflow("release")["jobs"]["image"]["env"]


def test_it_is_lint_and_the_whole_suite_that_a_change_must_pass() -> None:
    text = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert re.findall(r"^\./rastro (\w+)", text, re.M) == ["lint", "test"]
    for name in ("ci", "release"):
        assert workflow(name)["jobs"]["test"]["steps"][-1]["run"] == ".ci/run"
