"""`./rastro` before its environment: help, wrong words, platforms."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.ops import commands, launch

ROOT = Path(__file__).resolve().parents[2]


def rastro(*words: str, cwd: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(ROOT / "rastro"), *words],
        cwd=cwd,
        env={**os.environ, "RASTRO_NO_VENV": "1"},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("words", [(), ("help",), ("--help",)])
def test_it_prints_every_command_with_a_line(words: tuple[str, ...]) -> None:
    done = rastro(*words)
    assert done.returncode == 0
    for name in (*commands.PROGRAMS, "lint", *commands.operations()):
        assert any(line.split()[:1] == [name] and len(line.split()) > 2 for line in done.stdout.splitlines())


@pytest.mark.parametrize("command", commands.operations())
def test_it_explains_a_command_from_any_folder(command: str, tmp_path: Path) -> None:
    (tmp_path / "core").mkdir()  # a folder of that name must not take the place of ours
    (tmp_path / "core" / "__init__.py").write_text("raise SystemExit('the wrong core')")
    done = rastro("help", command, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"rastro {command}" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["upp"], "there is no command 'upp'"),
        (["up", "--admin-port", "70000"], "not between 0 and 65535"),
        (["demo", "--links", "0"], "1 or more"),
        (["user", "create", "a@b.c", "--role", "king"], "invalid choice"),
        (["restore"], "FILE"),
    ],
)
def test_it_refuses_a_wrong_word_before_it_does_anything(words: list[str], said: str) -> None:
    done = rastro(*words)
    assert done.returncode == 2
    assert said in done.stderr


GOOD = {
    "system": "Linux",
    "machine": "x86_64",
    "abi": "cpython-311-x86_64-linux-gnu",
    "libc": ("glibc", "2.36"),
}


@pytest.mark.parametrize(
    ("differs", "said"),
    [
        ({}, None),
        ({"machine": "aarch64"}, None),
        ({"python": (3, 14)}, None),
        ({"system": "Darwin", "machine": "arm64", "libc": ("", "")}, None),
        ({"system": "Darwin", "machine": "x86_64", "libc": ("", "")}, "Apple silicon"),
        ({"abi": "cpython-312-x86_64-linux-musl", "libc": ("", "")}, "musl"),
        ({"libc": ("glibc", "2.17")}, "glibc 2.17 is too old"),
        ({"libc": ("glibc", "2.28")}, None),
        ({"machine": "armv7l"}, "armv7l"),
        ({"system": "Windows", "libc": ("", "")}, "WSL"),
        ({"system": "FreeBSD", "libc": ("", "")}, "FreeBSD"),
        ({"python": (3, 15)}, "Python 3.15"),
    ],
)
def test_it_names_a_platform_that_is_not_supported(differs: dict[str, object], said: str | None) -> None:
    reason = launch.unsupported(**{"python": (3, 11), **GOOD, **differs})  # type: ignore[arg-type]
    assert (reason is None) if said is None else (said in str(reason) and "\n" not in str(reason))


@pytest.mark.parametrize(
    ("command", "environ", "locks"),
    [
        ("tracker", {}, ("run",)),
        ("tracker", {"SENTRY_DSN_FILE": "/run/secrets/dsn"}, ("run", "observe")),
        ("up", {"SENTRY_DSN": ""}, ("run", "embedded")),
        ("up", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, ("run", "embedded", "observe")),
        ("test", {"SENTRY_DSN": "https://key@sentry.example/7"}, ("run", "embedded", "observe", "dev")),
        ("lint", {}, ("run", "embedded", "observe", "dev")),
    ],
)
def test_it_installs_what_traces_and_reports_need_for_whoever_wants_them(
    command: str, environ: dict[str, str], locks: tuple[str, ...]
) -> None:
    assert launch.locks_of(command, environ) == locks


def test_it_can_be_read_by_a_python_that_is_too_old() -> None:
    ast.parse((ROOT / "rastro").read_text(encoding="utf-8"), feature_version=(3, 4))


def test_it_needs_nothing_but_the_standard_library_until_its_environment_stands() -> None:
    modules = "core.ops.launch, core.ops.environment, core.ops.pip_run"
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import {modules}; print('started')"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert (done.stdout, done.stderr) == ("started\n", "")
