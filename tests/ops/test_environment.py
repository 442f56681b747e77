"""The environment of `./rastro`: made from locked packages, repaired, made once by many. No network: a folder of wheels
and a server on this machine stand in for the package index."""

import base64
import hashlib
import http.server
import json
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from core.ops import environment, pip_run
from core.ops.commands import CommandFailed

HASH = "0" * 64


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with locks for packages that lie beside it as wheels."""
    root = tmp_path / "clone"
    (root / "requirements").mkdir(parents=True)
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    for name in ("trail", "ruler"):
        lock(root, "run" if name == "trail" else "dev", name, wheel(wheels, name, "1.0"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return root


def wheel(folder: Path, name: str, version: str) -> str:
    """Write a wheel with one module and return its hash."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    records = [
        f"{file},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},{len(text)}"
        for file, text in files.items()
    ]
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
        archive.writestr(f"{info}/RECORD", "\n".join([*records, f"{info}/RECORD,,"]) + "\n")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def lock(root: Path, file: str, name: str, digest: str, version: str = "1.0") -> None:
    (root / "requirements" / f"{file}.lock").write_text(f"{name}=={version} \\\n    --hash=sha256:{digest}\n")


def has(python: Path, name: str) -> bool:
    return subprocess.run([python, "-c", f"import {name}"], capture_output=True).returncode == 0


def test_it_installs_once_and_costs_nothing_the_second_time(
    clone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    python = environment.ensure_environment(clone, ["run"])
    assert has(python, "trail")
    assert not has(python, "ruler")
    said = capsys.readouterr().out
    assert "Fetched 1 packages" in said
    assert environment.ensure_environment(clone, ["run"]) == python
    assert capsys.readouterr().out == ""


def test_it_adds_what_another_command_needs_and_keeps_both(clone: Path) -> None:
    environment.ensure_environment(clone, ["run"])
    python = environment.ensure_environment(clone, ["run", "dev"])
    assert has(python, "trail")
    assert has(python, "ruler")


def test_it_follows_a_lock_that_changed(clone: Path, tmp_path: Path) -> None:
    python = environment.ensure_environment(clone, ["run", "dev"])
    lock(clone, "run", "trail", wheel(tmp_path / "wheels", "trail", "2.0"), "2.0")
    environment.ensure_environment(clone, ["run"])
    done = subprocess.run(
        [python, "-c", "import trail; print(trail.VERSION)"], capture_output=True, text=True
    )
    assert done.stdout == "2.0\n"
    assert has(python, "ruler")


def test_it_makes_anew_what_an_interrupted_start_left(clone: Path) -> None:
    python = environment.ensure_environment(clone, ["run"])
    folder = clone / ".venv"
    (folder / "rastro-packages.json").unlink()
    (folder / "rastro-unfinished").touch()
    next(folder.glob("lib/python3*/site-packages/trail.py")).write_text("half a f")
    environment.ensure_environment(clone, ["run"])
    assert has(python, "trail")
    assert not (folder / "rastro-unfinished").exists()


def test_it_makes_anew_what_another_python_left(clone: Path) -> None:
    python = environment.ensure_environment(clone, ["run"])
    stamp = clone / ".venv" / "rastro-packages.json"
    stamp.write_text(stamp.read_text().replace(str(Path(sys.executable).resolve()), "/usr/bin/python3.0"))
    note = clone / ".venv" / "note"
    note.touch()
    environment.ensure_environment(clone, ["run"])
    assert has(python, "trail")
    assert not note.exists()


def test_it_uses_nothing_whose_hash_differs(clone: Path) -> None:
    lock(clone, "run", "trail", HASH)
    with pytest.raises(CommandFailed, match="hash differs"):
        environment.ensure_environment(clone, ["run"])
    assert not (clone / ".venv" / "rastro-packages.json").exists()


def test_it_says_so_when_the_index_can_not_be_reached(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(CommandFailed, match=r"index can not be reached"):
        environment.ensure_environment(clone, ["run"])


def test_it_is_made_once_when_two_start_together(clone: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from core.ops.environment import ensure_environment;"
        "ensure_environment(Path(sys.argv[1]), ['run'])"
    )
    starts = [
        subprocess.Popen([sys.executable, "-c", code, str(clone)], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    said = [start.communicate(timeout=120)[0] for start in starts]
    assert [start.returncode for start in starts] == [0, 0, 0]
    assert sum("Fetched" in text for text in said) == 1


def test_it_goes_to_the_users_cache_when_the_clone_can_not_be_written(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = environment.os.access
    monkeypatch.setattr(environment.os, "access", lambda path, mode: path != clone and real(path, mode))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    python = environment.ensure_environment(clone, ["run"])
    assert python.is_relative_to(tmp_path / "cache" / "rastro")
    assert has(python, "trail")
    assert not (clone / ".venv").exists()


class Index(http.server.BaseHTTPRequestHandler):
    """A package index with one pip, as JSON or as HTML."""

    wheel = b""
    html = False

    def do_GET(self) -> None:
        if self.path.endswith(".whl"):
            kind, body = "application/octet-stream", self.wheel
        elif self.html:
            kind, body = "text/html", b'<a href="../files/pip-99.0-py3-none-any.whl#sha256=x">pip</a>'
        else:
            kind = "application/vnd.pypi.simple.v1+json"
            file = {"filename": "pip-99.0-py3-none-any.whl", "url": "/files/pip-99.0-py3-none-any.whl"}
            body = json.dumps({"files": [file]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Index]]:
    """An index that has the interpreter's own pip under another number, for a Python without ensurepip."""
    spec = find_spec("ensurepip")
    if spec is None or spec.origin is None:
        pytest.skip("this Python has no pip to serve")
    found = [
        *(Path(spec.origin).parent / "_bundled").glob("pip-*.whl"),
        *Path("/usr/share/python-wheels").glob("pip-*.whl"),
    ]
    handler = type("Handler", (Index,), {"wheel": found[0].read_bytes()})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(pip_run, "_bundled_wheel", lambda: None)
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{server.server_port}/simple/")
    yield handler
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("html", [False, True])
def test_it_fetches_pip_for_a_python_without_ensurepip(clone: Path, index: type[Index], html: bool) -> None:
    index.html = html
    digest = hashlib.sha256(index.wheel).hexdigest()
    (clone / "requirements" / "pip.lock").write_text(f"pip==99.0 --hash=sha256:{digest}\n")
    assert has(environment.ensure_environment(clone, ["run"]), "trail")


def test_it_uses_no_pip_that_is_not_the_pinned_one(clone: Path, index: type[Index]) -> None:
    (clone / "requirements" / "pip.lock").write_text(f"pip==99.0 --hash=sha256:{HASH}\n")
    with pytest.raises(CommandFailed, match="not the pinned file"):
        environment.ensure_environment(clone, ["run"])


def test_it_reads_the_index_from_pips_own_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "pip.conf"
    file.write_text("[global]\nindex-url = https://packages.example/simple\ntrusted = 100%\n")
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    assert pip_run._index_url() == "https://packages.example/simple"
