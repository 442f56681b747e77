"""A primary, its streaming standby, and an address before them that can be turned to the other one."""

import ctypes
import os
import select
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict

from core.ops import servers
from tests.faults.programs import Server, private, until

_ATTACH_FILTER, _DETACH_FILTER = 26, 27  # SO_ATTACH_FILTER and SO_DETACH_FILTER, which Python does not name


class _Instruction(ctypes.Structure):
    _fields_ = [
        ("code", ctypes.c_uint16),
        ("jt", ctypes.c_uint8),
        ("jf", ctypes.c_uint8),
        ("k", ctypes.c_uint32),
    ]


class _Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_uint16), ("code", ctypes.POINTER(_Instruction))]


_NOTHING = _Instruction(0x06, 0, 0, 0)  # BPF: return 0, keep no byte of any packet


class Address:
    """A TCP address that leads to the Unix socket of a server, as a name in DNS leads to a host.

    What is turned concerns new connections; those that stand go on to where they went. One that is `swallowed` gets no
    packet through any more, nor an acknowledgement from this side's kernel: the host is gone, and nobody says so.
    """

    def __init__(self, server_url: str) -> None:
        self._parts = conninfo_to_dict(server_url)
        self._socket = _socket_of(server_url)
        self._lock = threading.Lock()
        self._open: list[socket.socket] = []
        self._swallowed: set[int] = set()
        self._swallows = False
        self._armed: Callable[[bytes, bool], bool] | None = None
        self.lost = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """DATABASE_URL of programs that go through it."""
        host, port = self._listener.getsockname()
        return f"postgresql://{self._parts['user']}:{self._parts['password']}@{host}:{port}/{self._parts['dbname']}"

    def turn(self, server_url: str) -> None:
        """New connections lead to another server, and none is swallowed."""
        with self._lock:
            self._socket = _socket_of(server_url)
            if self._swallows:
                self._listener.setsockopt(socket.SOL_SOCKET, _DETACH_FILTER, 0)
            self._swallows = False

    def swallow(self) -> None:
        """From now on packets vanish: those of all connections that stand, and those that would open one."""
        with self._lock:
            self._swallows = True
            for each in [self._listener, *self._open]:
                _drop_all(each)
            self._swallowed |= {each.fileno() for each in self._open}

    def lose_commit(self, *, arrives: bool) -> None:
        """Cut the next connection that commits: after the server has done so and before its answer is handed on, or
        before the server is told. Sets `lost`."""
        self.lost.clear()
        with self._lock:
            if arrives:
                self._armed = lambda data, to_server: not to_server and b"COMMIT\0" in data
            else:
                self._armed = lambda data, to_server: to_server and b"COMMIT\0" in data

    def close(self) -> None:
        self._over.set()
        self._listener.close()
        for thread in self._threads:
            thread.join(timeout=30)
            assert not thread.is_alive()
        for each in self._open:
            each.close()

    def _accept(self) -> None:
        while not self._over.is_set():
            if not select.select([self._listener], [], [], 0.05)[0]:
                continue
            with suppress(OSError):
                near, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(near,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, near: socket.socket) -> None:
        far = socket.socket(socket.AF_UNIX)
        with far:
            try:
                with self._lock:
                    far.connect(self._socket)
                    self._open.append(near)
            except OSError:
                near.close()
                return
            with suppress(OSError):
                self._hand_on(near, far)
            with self._lock:
                if near.fileno() not in self._swallowed:
                    self._open.remove(near)
                    near.close()

    def _hand_on(self, near: socket.socket, far: socket.socket) -> None:
        while not self._over.is_set():
            for ready in select.select([near, far], [], [], 0.05)[0]:
                data = ready.recv(65536)
                if near.fileno() in self._swallowed:
                    if not data:
                        return
                    continue
                if not data or self._is_cut(data, to_server=ready is near):
                    return
                (far if ready is near else near).sendall(data)

    def _is_cut(self, data: bytes, *, to_server: bool) -> bool:
        with self._lock:
            if self._armed is None or not self._armed(data, to_server):
                return False
            self._armed = None
        self.lost.set()
        return True


@contextmanager
def pair(*, synchronous: bool) -> Iterator[tuple[Server, Server]]:
    """A primary and its standby, streaming. `synchronous`: a commit is answered once the standby has it on disk, as in
    a Multi-AZ instance of RDS; else as to a read replica."""
    with private(_primary) as primary, private(lambda folder: _standby(folder, primary)) as standby:
        with psycopg.connect(primary.url, autocommit=True) as connection:
            until(
                lambda: (
                    connection.execute("select from pg_stat_replication where state = 'streaming'").fetchone()
                    is not None
                )
            )
            if synchronous:
                connection.execute("alter system set synchronous_standby_names = '*'")
                connection.execute("select pg_reload_conf()")
                until(
                    lambda: (
                        connection.execute(
                            "select from pg_stat_replication where sync_state = 'sync'"
                        ).fetchone()
                        is not None
                    )
                )
        yield primary, standby


def promote(standby: Server) -> None:
    """It takes writes once this returns."""
    with psycopg.connect(standby.url, autocommit=True) as connection:
        assert connection.execute("select pg_promote(true, 60)").fetchone() == (True,)


def _primary(folder: Path) -> servers.Program:
    return _waiting_for_commits(servers.postgres_program(folder, durable=False))


def _standby(folder: Path, primary: Server) -> servers.Program:
    """A copy of the primary that follows it."""
    user = servers.SERVER_USER if os.geteuid() == 0 else None
    folder.mkdir(mode=0o700)
    if user is not None:
        shutil.chown(folder, user)
    binaries = servers.postgres_binaries(shared=user is not None)
    subprocess.run(
        [
            binaries / "pg_basebackup",
            "-D",
            folder / "pgdata",
            "-d",
            primary.url,
            "-R",
            "-X",
            "stream",
            "-c",
            "fast",
        ],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C"},
        check=True,
        capture_output=True,
        **servers.identity(user),
    )
    password = folder / "password"
    password.write_text(str(conninfo_to_dict(primary.url)["password"]), encoding="ascii")
    if user is not None:
        shutil.chown(password, user)
    return _waiting_for_commits(servers.postgres_program(folder, durable=False))


def _waiting_for_commits(program: servers.Program) -> servers.Program:
    return replace(program, argv=(*program.argv, "-c", "synchronous_commit=on"))


def _socket_of(server_url: str) -> str:
    return f"{conninfo_to_dict(server_url)['host']}/.s.PGSQL.5432"


def _drop_all(each: socket.socket) -> None:
    code = _Filter(1, ctypes.pointer(_NOTHING))
    each.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, bytes(code))
