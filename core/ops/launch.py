"""What `./rastro` does first: help, platform, environment, and then the command in that environment.

Standard library alone, like everything that this file imports.
"""

import os
import platform
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from pathlib import Path

from core.ops.commands import LINT, PROGRAMS, CommandFailed, build_parser, help_text, operations

_NEWEST_PYTHON = (3, 14)
_OLDEST_GLIBC = (2, 28)
_OBSERVED = ("OTEL_EXPORTER_OTLP_ENDPOINT", "SENTRY_DSN", "SENTRY_DSN_FILE")
"""Settings whose packages are installed only where one of them is set."""


def main(words: Sequence[str], root: str) -> int:
    """Carry out `./rastro WORDS`; returns the exit status, or does not return when the process becomes the command."""
    if not words or words[0] in ("help", "-h", "--help"):
        if len(words) < 2:
            print(help_text())
            return 0
        words = [words[1], "--help"]
    command, *rest = words
    if command not in (*PROGRAMS, "lint", *operations()):
        print(f"rastro: there is no command {command!r}. ./rastro prints all of them.", file=sys.stderr)
        return 2
    if command in operations():
        build_parser().parse_args(
            words
        )  # a wrong word is told, and help printed, before anything is installed
    try:
        return _run(command, rest, Path(root))
    except CommandFailed as error:
        print(f"rastro: {error}", file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        return 130


def unsupported(
    *, system: str, machine: str, abi: str, libc: tuple[str, str], python: tuple[int, int]
) -> str | None:
    """Why the pinned packages can not be installed here, in one line; None when they can."""
    if system == "Windows":
        return "Windows is not supported. Use WSL (Windows Subsystem for Linux), or the container image."
    if system == "Darwin" and machine != "arm64":
        return "macOS is supported on Apple silicon alone, and this Python is for Intel. Use the container image."
    if system == "Linux" and ("musl" in abi or not libc[0]):
        return (
            "This system has musl instead of glibc (as Alpine has), and some packages do not exist for it. "
            "Use Debian, Ubuntu, Fedora or the container image."
        )
    if system == "Linux" and machine not in ("x86_64", "aarch64", "arm64"):
        return f"The processor {machine} is not supported; x86-64 and arm64 are."
    if system == "Linux" and tuple(int(part) for part in libc[1].split(".")[:2]) < _OLDEST_GLIBC:
        return f"glibc {libc[1]} is too old; 2.28 or newer is needed (Debian 10, Ubuntu 20.04)."
    if system not in ("Linux", "Darwin"):
        return f"{system} is not supported; Linux with glibc and macOS on Apple silicon are."
    if python > _NEWEST_PYTHON:
        return (
            f"Python {python[0]}.{python[1]} is newer than the pinned packages know. Use Python 3.11 to 3.14."
        )
    return None


def locks_of(command: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Which of `requirements/NAME.lock` a command needs."""
    if command == "lint":
        return PROGRAMS["test"].locks
    program = PROGRAMS.get(command)
    locks = program.locks if program else ("run", "embedded")
    asked = any(environ.get(name, "").strip() for name in _OBSERVED)
    return (*locks, "observe") if asked and "observe" not in locks else locks


def _run(command: str, rest: list[str], root: Path) -> int:
    program = PROGRAMS.get(command)
    python = _interpreter(root, locks_of(command, os.environ))
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(root), *(part for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part)]
    )
    if command == "lint":
        return _lint(python, root)
    if program is None:
        argv = ["-m", "core.ops", command, *rest]
    else:
        argv = [word.format(cores=cores()) for word in program.argv] + rest
        if program.in_root:
            os.chdir(root)
    return _become(python, argv)


def _become(python: Path, argv: list[str]) -> int:
    sys.stdout.flush()
    # -P: a folder named `core` or `tasks` where the command is called from must not take the place of ours
    os.execv(python, [str(python), "-P", *argv])  # noqa: S606


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _interpreter(root: Path, locks: tuple[str, ...]) -> Path:
    if os.environ.get("RASTRO_NO_VENV") == "1":
        return Path(sys.executable)
    reason = unsupported(
        system=platform.system(),
        machine=platform.machine(),
        abi=str(sysconfig.get_config_var("SOABI") or ""),
        libc=platform.libc_ver(),
        python=sys.version_info[:2],
    )
    if reason:
        raise CommandFailed(reason)
    from core.ops.environment import ensure_environment  # needs modules that Windows has not

    return ensure_environment(root, locks)


def _lint(python: Path, root: Path) -> int:
    failed = []
    for name, argv in LINT:
        print(f"{name}:", flush=True)
        if subprocess.run([python, *argv], cwd=root, check=False).returncode != 0:
            failed.append(name)
    print(f"Failed: {', '.join(failed)}." if failed else "All four passed.")
    return 1 if failed else 0
