"""`rastro init` and the probe of containers, as `compose.yaml` calls them."""

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy.orm import Session, sessionmaker

from core.config import Settings
from core.contracts import keys
from core.db.models import Domain, User
from core.ops.first_run import FIRST_ADMIN
from core.services import accounts
from tests.ops.conftest import ROOT

Rastro = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def rastro(environment: dict[str, str]) -> Rastro:
    """Runs `rastro WORDS` with the test servers' settings."""

    def call(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, str(ROOT / "rastro"), *words],
            env={**environment, "RASTRO_NO_VENV": "1"},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return call


def test_it_makes_secrets_that_programs_can_use(rastro: Rastro, tmp_path: Path) -> None:
    assert rastro("init", "secrets", str(tmp_path), "--postgres", "db:5433").returncode == 0
    settings = Settings.from_env(
        {
            "DATABASE_URL_FILE": f"{tmp_path}/postgres/url",
            "REDIS_URL_FILE": f"{tmp_path}/valkey/url",
            "SECRET_KEY_FILE": f"{tmp_path}/manager/key",
        }
    )
    password = (tmp_path / "postgres/password").read_text().strip()
    assert settings.database_url == f"postgresql+psycopg://rastro:{password}@db:5433/rastro"
    password = (tmp_path / "valkey/password").read_text().strip()
    assert settings.redis_url == f"redis://default:{password}@valkey:6379/0"
    assert (tmp_path / "valkey/valkey.conf").read_text() == f"requirepass {password}\n"


def test_it_keeps_the_secrets_that_are_there(rastro: Rastro, tmp_path: Path) -> None:
    found = []
    for _ in range(2):
        assert rastro("init", "secrets", str(tmp_path)).returncode == 0
        found.append({path: path.read_text() for path in sorted(tmp_path.rglob("*")) if path.is_file()})
    assert found[0] == found[1]
    assert len(set(found[0].values())) == len(found[0]) == 6


def test_it_shows_a_program_s_own_secret_to_nobody_else(rastro: Rastro, tmp_path: Path) -> None:
    said = rastro("init", "secrets", str(tmp_path))
    modes = {
        str(path.relative_to(tmp_path)): stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*/*")
    }
    assert modes.pop("manager/key") == 0o400
    assert set(modes.values()) == {0o444}
    assert all(path.read_text().strip() not in said.stdout + said.stderr for path in tmp_path.rglob("*/*"))


def test_it_says_where_secrets_can_not_be_kept(rastro: Rastro, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = rastro("init", "secrets", str(tmp_path / "file"))
    assert done.returncode == 1
    assert "can not be kept" in done.stderr


def test_it_welcomes_once(
    rastro: Rastro, sessions: sessionmaker[Session], valkey: "redis.Redis[Any]"
) -> None:
    first, second = rastro("init", "welcome"), rastro("init", "welcome")
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    password = first.stdout.splitlines()[0].rpartition(" ")[2]
    assert "password" in first.stdout and "password" not in second.stdout
    assert FIRST_ADMIN in second.stdout
    with sessions() as session:
        assert accounts.authenticate(session, email=FIRST_ADMIN, password=password) is not None
        assert (session.query(User).count(), session.query(Domain).count()) == (1, 1)
    assert valkey.exists(keys.SNAPSHOTS_READY)


@pytest.fixture
def living() -> Iterator[int]:
    """The port of a program whose `/livez` answers 200, and every other path 503."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/livez" else 503)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing to say."""

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("setting", ["PORT", "METRICS_PORT"])
def test_it_finds_a_living_program(setting: str, living: int) -> None:
    assert _probe({setting: str(living)}) == 0


def test_it_asks_for_livez_where_a_program_listens() -> None:
    from core.ops.health import ports

    assert ports({}) == [8080, 8000]
    assert ports({"METRICS_PORT": "9100"}) == [8080, 8000, 9100]
    assert ports({"PORT": "80", "METRICS_PORT": ""}) == [80, 8080, 8000]


def _probe(environ: dict[str, str]) -> int:
    return subprocess.run(
        [sys.executable, "-P", "-m", "core.ops.health"],
        env={"PATH": os.defpath, "PYTHONPATH": str(ROOT), **environ},
        timeout=60,
    ).returncode
