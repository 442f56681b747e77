"""The virtual environment of `./rastro`: made, filled with the locked packages, repaired. Standard library alone."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from core.ops.commands import CommandFailed
from core.ops.pip_run import install_packages

_STAMP = "rastro-packages.json"
_UNFINISHED = "rastro-unfinished"


def ensure_environment(root: Path, locks: Sequence[str]) -> Path:
    """Return the interpreter of an environment that has the packages of `requirements/NAME.lock` for each of `locks`.

    Costs a few file reads when nothing has changed. Else it makes or completes the environment and says so; two starts
    at once take turns, and what an interrupted one left is made anew. Raises CommandFailed.
    """
    wanted = {name: _digest(root / "requirements" / f"{name}.lock") for name in locks}
    folder = _environment_folder(root, wanted)
    if _is_complete(folder, wanted):
        return folder / "bin" / "python"
    with _turn(folder.parent) as lock:
        if not _is_complete(folder, wanted):
            _build(root, folder, wanted, lock)
    return folder / "bin" / "python"


def _environment_folder(root: Path, wanted: dict[str, str]) -> Path:
    """`.venv` in the clone where we may write it or it is complete already; else one a clone in the user's cache."""
    beside = root / ".venv"
    if _is_complete(beside, wanted) or os.access(beside if beside.exists() else root, os.W_OK):
        return beside
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111 (an unknown home stays "~")
    name = hashlib.sha256(str(root).encode()).hexdigest()[:12]
    folder = Path(cache) / "rastro" / f"venv-{name}"
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(folder.parent, os.W_OK):
            raise PermissionError(f"{folder.parent} can not be written")
    except OSError as error:
        raise CommandFailed(
            f"There is no folder for the packages: neither {root} nor {folder.parent} can be written. "
            "Set XDG_CACHE_HOME to a folder of yours."
        ) from error
    return folder


def _is_complete(folder: Path, wanted: dict[str, str]) -> bool:
    """True when what is stamped as installed covers `wanted` and the interpreter beneath is still the same one."""
    try:
        stamp = json.loads((folder / _STAMP).read_text(encoding="utf-8"))
        if stamp["python"] != os.path.realpath(folder / "bin" / "python"):
            return False
        return all(stamp["locks"].get(name) == digest for name, digest in wanted.items())
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return False


def _build(root: Path, folder: Path, wanted: dict[str, str], lock: int) -> None:
    python = folder / "bin" / "python"
    stamp = _read_stamp(folder)
    same_python = stamp.get("python", os.path.realpath(python)) == os.path.realpath(python)
    if (folder / _UNFINISHED).exists() or (folder.exists() and not (python.exists() and same_python)):
        shutil.rmtree(folder, ignore_errors=True)
        stamp = {}
    (folder / _STAMP).unlink(missing_ok=True)
    if not python.exists():
        version = ".".join(str(part) for part in sys.version_info[:3])
        print(f"Making an environment for the packages in {folder} (Python {version}).", flush=True)
        _make(folder)
    (folder / _UNFINISHED).touch()
    kept = [name for name in stamp.get("locks", {}) if (root / "requirements" / f"{name}.lock").exists()]
    names = sorted({*wanted, *kept})
    install_packages(root, folder, [root / "requirements" / f"{name}.lock" for name in names], lock=lock)
    done = {
        "python": os.path.realpath(python),
        "locks": {name: _digest(root / "requirements" / f"{name}.lock") for name in names},
    }
    draft = folder / f"{_STAMP}.new"
    draft.write_text(json.dumps(done), encoding="utf-8")
    (folder / _UNFINISHED).unlink()
    draft.rename(folder / _STAMP)


def _make(folder: Path) -> None:
    """Without pip: Debian keeps `ensurepip` in a package of its own, and pip itself is pinned like the others."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _UNFINISHED).touch()
        venv.EnvBuilder(with_pip=False, symlinks=True).create(folder)
    except (OSError, subprocess.CalledProcessError) as error:
        raise CommandFailed(f"The environment {folder} could not be made: {error}.") from error


def _read_stamp(folder: Path) -> dict[str, dict[str, str]]:
    try:
        stamp = json.loads((folder / _STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def _digest(lock: Path) -> str:
    try:
        return hashlib.sha256(lock.read_bytes()).hexdigest()
    except OSError as error:
        raise CommandFailed(
            f"{lock} can not be read ({error.strerror}). The clone is not complete."
        ) from error


@contextmanager
def _turn(folder: Path) -> Iterator[int]:
    """One start at a time: a lock on the folder itself, so that no file is left behind."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Another start is installing the packages; waiting for it.", flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle
    finally:
        os.close(handle)
