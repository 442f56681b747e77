"""A real PgBouncer in front of a test's PostgreSQL, set up as `docs/examples/pgbouncer.ini` says."""

import configparser
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from core.ops import servers

EXAMPLE = Path(__file__).resolve().parents[2] / "docs/examples/pgbouncer.ini"
PORT = 6432
"""The number in the name of its socket."""

_LIMIT_S = 60.0


class Pooler:
    """PgBouncer over every database of one server; `changes` are settings that differ from the example's."""

    def __init__(self, server_url: str, **changes: str) -> None:
        program = _program()
        parts = conninfo_to_dict(server_url)
        user = servers.SERVER_USER if os.geteuid() == 0 else None
        root = servers.SHARED_ROOT / "tests" if os.geteuid() == 0 else Path(tempfile.gettempdir())
        root.mkdir(mode=0o755, parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="pooler-", dir=root))
        self._password = str(parts["password"])
        (self.folder / "userlist.txt").write_text(f'"rastro" "{self._password}"\n', encoding="ascii")
        config = _example()
        config.remove_section("databases")
        config["databases"] = {
            "*": " ".join(f"{name}={parts[name]}" for name in ("host", "port") if name in parts)
        }
        config["pgbouncer"].update(
            {
                "listen_addr": "",
                "listen_port": str(PORT),
                "unix_socket_dir": str(self.folder),
                "auth_file": str(self.folder / "userlist.txt"),
                "admin_users": "rastro",
                **changes,
            }
        )
        with (self.folder / "pgbouncer.ini").open("w", encoding="utf-8") as file:
            config.write(file)
        if user is not None:
            for path in (self.folder, *self.folder.iterdir()):
                shutil.chown(path, user)
        parent = os.getpid()
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, str(self.folder / "pgbouncer.ini")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=lambda: servers.die_with_parent(parent),
                **servers.identity(user),
            )
        self._wait()

    def url(self, database: str) -> str:
        """DATABASE_URL of programs that go through it."""
        return f"postgresql://rastro:{self._password}@/{database}?host={quote(str(self.folder), safe='')}&port={PORT}"

    def ask(self, command: str) -> list[dict[str, object]]:
        """What PgBouncer says of itself, such as `SHOW POOLS`."""
        with psycopg.connect(self.url("pgbouncer"), autocommit=True, prepare_threshold=None) as console:
            # It takes no extended protocol, which psycopg uses for a cursor's execute only with parameters.
            cursor = console.execute(command.encode())
            names = [column.name for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=_LIMIT_S)
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def _wait(self) -> None:
        end = time.monotonic() + _LIMIT_S
        while not (self.folder / f".s.PGSQL.{PORT}").exists():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < end, self.log()
            time.sleep(0.02)


def _program() -> str:
    """It lies where ordinary users do not look."""
    found = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}{os.pathsep}/usr/sbin")
    if found is None:
        pytest.fail(
            "There is no pgbouncer on this machine: install Debian's package pgbouncer.", pytrace=False
        )
    return found


def _example() -> configparser.ConfigParser:
    config = configparser.ConfigParser(comment_prefixes=(";",), interpolation=None)
    config.read(EXAMPLE, encoding="utf-8")
    return config
