"""`rastro up`: everything on one machine, from an empty folder to the ready line, until it is told to stop."""

import argparse
import json
import os
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from redis import RedisError

from core.config import Settings
from core.contracts import keys
from core.ops.child_env import Addresses, addresses, common_environment
from core.ops.commands import CommandFailed
from core.ops.data_folder import DataFolder, hold, make_secret_key, open_folder, postgres_home, write_private
from core.ops.external import plain_url, require_fit
from core.ops.listening import listen
from core.ops.programs import (
    SERVER_NAMES,
    Sockets,
    Table,
    in_words,
    process_table,
    server_service,
    tracker_count,
)
from core.ops.servers import Program, ServerError, postgres_program, valkey_program
from core.ops.supervisor import StopSignals, Supervisor
from core.services.redis_client import make_redis

if TYPE_CHECKING:
    from core.ops.first_run import FirstRun

_QUEUE_LIMIT = 15.0  # seconds that a stop gives the worker to store what is queued


def run_up(args: argparse.Namespace) -> int:
    """Run until SIGINT or SIGTERM; returns 0 after an orderly stop."""
    signals = StopSignals().listen()
    folder = open_folder(args.data)
    with (
        hold(folder),
        closing(listen(args.host, args.tracker_port, "--tracker-port")) as links,
        closing(listen(args.host, args.admin_port, "--admin-port")) as website,
    ):
        folder.ready.unlink(missing_ok=True)
        place = addresses(
            os.environ,
            host=args.host,
            admin_port=website.getsockname()[1],
            tracker_port=links.getsockname()[1],
        )
        supervisor = Supervisor(logs=folder.logs, say=say, signals=signals)
        installation = _Installation(folder, place, supervisor, links, website, with_demo=args.demo)
        try:
            installation.bring_up()
            supervisor.run()
        finally:
            installation.bring_down()
    return 0


def say(text: str) -> None:
    """A line for the operator; a terminal that went away stops nothing."""
    try:
        print(text, flush=True)
    except OSError:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 (for the rest of our life)


@dataclass(slots=True)
class _Installation:
    folder: DataFolder
    place: Addresses
    supervisor: Supervisor
    links: socket.socket
    website: socket.socket
    with_demo: bool
    _settings: Settings | None = None
    _table: Table = field(default_factory=lambda: Table((), ()))

    def bring_up(self) -> None:
        """Servers, tables, first admin, programs, ready line. Returns early when a stop is asked for."""
        begun = time.monotonic()
        make_secret_key(self.folder)
        env, servers = self._prepare_servers(os.environ)
        settings = self._settings = Settings.from_env(env)
        for server in servers:
            say(f"Starting {SERVER_NAMES[server.name]}.")
            self.supervisor.start(server_service(server))
        from core.ops.first_run import prepare  # loads the ORM while the servers start

        if not self.supervisor.wait_ready([server.name for server in servers], limit=60):
            return
        first = prepare(settings, self.folder, self.place, say=say, with_demo=self.with_demo)
        if self.supervisor.signals.count:
            return
        self._table = process_table(
            env, settings, self.place, Sockets(links=self.links.fileno(), website=self.website.fileno())
        )
        say(f"Starting {in_words(self._table.services)}.")
        for service in self._table.services:
            self.supervisor.start(service)
        if not self.supervisor.wait_ready([service.name for service in self._table.services], limit=90):
            return

        def write_ready() -> None:
            self._write_ready(settings, first.admin_email)

        write_ready()
        self.supervisor.changed = write_ready
        say(f"Started in {time.monotonic() - begun:.1f} s.")
        say(_ready_lines(self.place, self.folder, first))

    def bring_down(self) -> None:
        """Stop in the order that loses nothing: who makes work, who does it, where it is kept."""
        self.supervisor.changed = lambda: None
        self.folder.ready.unlink(missing_ok=True)
        asked = self.supervisor.signals.count > 0
        if asked:
            say("Stopping; what is queued is stored first. Ctrl-C again hurries.")
        names = [service.name for service in self._table.services]
        self.website.close()  # ours is a copy: once the program has closed its own, nobody is kept waiting
        self.supervisor.stop(["manager"])
        self.links.close()
        self.supervisor.stop([name for name in names if name.startswith("tracker")])
        if self._settings is not None and "worker" in names:
            self._let_queues_empty(self._settings.redis_url)
        self.supervisor.stop_all()
        if asked:
            say("Stopped.")

    def _prepare_servers(self, environ: Mapping[str, str]) -> tuple[dict[str, str], list[Program]]:
        """The programs' environment, and the servers to start for it: those whose setting is not set."""
        given = Settings.from_env(environ)
        tracker_count(environ)  # told now, not after the servers are up
        require_fit(given.database_url, given.redis_url)
        programs: list[Program] = []
        try:
            if not given.database_url:
                home = postgres_home(self.folder)
                if not (home / "pgdata").exists():
                    say(f"Making a database in {home}.")
                elif not home.is_relative_to(self.folder.path):
                    say(f"The database is in {home}.")
                programs.append(postgres_program(home))
            if not given.redis_url:
                programs.append(valkey_program(self.folder.valkey))
        except ServerError as error:
            raise CommandFailed(str(error)) from error
        urls = {program.name: program.url for program in programs}
        env = common_environment(
            environ,
            self.folder,
            self.place,
            database_url=urls.get("postgres"),
            redis_url=urls.get("valkey"),
        )
        return env, programs

    def _write_ready(self, settings: Settings, admin_email: str) -> None:
        ready = {
            "admin_url": self.place.admin_url,
            "tracker_url": self.place.tracker_url,
            "admin_email": admin_email,
            "database_url": plain_url(settings.database_url),
            "redis_url": settings.redis_url,
            "metrics_urls": self._table.metrics_urls,
            "spool_dir": str(settings.spool_dir),
            "tz_default": settings.tz_default.key,
            "processes": [{"name": name, "pid": pid} for name, pid in self.supervisor.processes()],
        }
        write_private(self.folder.ready, json.dumps(ready, indent=1))

    def _let_queues_empty(self, redis_url: str) -> None:
        """Give the worker a moment to store what is queued; what is left is kept by Redis for the next start."""
        deadline = time.monotonic() + _QUEUE_LIMIT
        client = make_redis(redis_url, timeout=2.0)
        try:
            while self.supervisor.signals.count < 2 and time.monotonic() < deadline:
                if not any(client.xlen(keys.stream(queue)) for queue in keys.QUEUES):
                    return
                time.sleep(0.1)
            left = sum(client.xlen(keys.stream(queue)) for queue in keys.QUEUES)
            if left:
                say(f"{left} queued entries are kept for the next start.")
        except RedisError:
            return
        finally:
            client.close()


def _ready_lines(place: Addresses, folder: DataFolder, first: "FirstRun") -> str:
    lines = [
        "",
        "Rastro is ready",
        f"  Website  {place.admin_url}",
        f"  Links    {place.tracker_url}",
    ]
    if first.password:
        lines.append(f"  Sign in  {first.admin_email} with the password {first.password}")
        lines.append(f"           (shown this once; it is also in {folder.admin_password})")
    elif folder.admin_password.exists():
        lines.append(f"  Sign in  {first.admin_email}; the first password is in {folder.admin_password}")
    else:
        lines.append(f"  Sign in  {first.admin_email}; ./rastro user reset makes a new password")
    return "\n".join([*lines, f"  Data     {folder.path}", "Ctrl-C stops it."])
