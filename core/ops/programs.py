"""The process table of `rastro up`: what runs, with which words, environment and probe."""

import http.client
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from core.config import SettingError, Settings
from core.ops.child_env import Addresses
from core.ops.commands import ROOT
from core.ops.launch import cores
from core.ops.listening import free_ports
from core.ops.servers import Program
from core.ops.supervisor import Service

SERVER_NAMES = {"postgres": "PostgreSQL", "valkey": "Valkey"}


@dataclass(frozen=True, slots=True)
class Sockets:
    """File descriptors of the two listening sockets; children inherit them, so a restart drops no connection."""

    links: int
    website: int


@dataclass(frozen=True, slots=True)
class Table:
    """The programs of ours, and where each of them shows its metrics."""

    services: tuple[Service, ...]
    metrics_urls: tuple[str, ...]


def process_table(env: Mapping[str, str], settings: Settings, place: Addresses, sockets: Sockets) -> Table:
    """Trackers (they share one socket), the manager and workers of the pool `default`."""
    processes = settings.worker_processes
    names = [f"tracker-{number}" for number in range(1, tracker_count(env) + 1)]
    names += ["worker"] if processes == 1 else [f"worker-{number}" for number in range(1, processes + 1)]
    metrics = dict(zip(names, free_ports(len(names)), strict=True))
    private = {**env, "HOST": "127.0.0.1"}  # their only address of their own is that of the metrics
    hold, limit = settings.drain_hold, settings.drain_limit
    trackers = [
        Service(
            name=name,
            argv=(sys.executable, "-P", "-m", "tracker_quart"),
            env={**private, "TRACKER_FD": str(sockets.links), "METRICS_PORT": str(port)},
            cwd=ROOT,
            is_ready=_answers("127.0.0.1", port, "/metrics"),
            pass_fds=(sockets.links,),
            stop_limit=hold + limit + 5,
        )
        for name, port in metrics.items()
        if name.startswith("tracker")
    ]
    manager = Service(
        name="manager",
        argv=(sys.executable, "-P", "-m", "admin_flask"),
        env={**env, "MANAGER_FD": str(sockets.website)},
        cwd=ROOT,
        is_ready=_answers(_reachable(place.host), place.admin_port, "/readyz"),
        pass_fds=(sockets.website,),
        stop_limit=limit + 5,
    )
    workers = [
        Service(
            name=name,
            argv=(sys.executable, "-P", "-m", "tasks", "--pool", "default"),
            env={**private, "METRICS_PORT": str(port), "WORKER_PROCESSES": "1"},
            cwd=ROOT,
            is_ready=_answers("127.0.0.1", port, "/metrics"),
            stop_limit=limit + 5,
        )
        for name, port in metrics.items()
        if name.startswith("worker")
    ]
    return Table(
        services=(*trackers, manager, *workers),
        metrics_urls=tuple(f"http://127.0.0.1:{port}/metrics" for port in metrics.values()),
    )


def tracker_count(env: Mapping[str, str]) -> int:
    """TRACKER_PROCESSES, or one a core. Raises SettingError."""
    text = env.get("TRACKER_PROCESSES", "").strip()
    if not text:
        return cores()
    if not text.isdigit() or not 1 <= int(text) <= 64:
        raise SettingError(f"TRACKER_PROCESSES must be a whole number between 1 and 64, not {text!r}.")
    return int(text)


def server_service(program: Program) -> Service:
    """An embedded server as a service. It gets nothing of our environment but what it asks for."""
    return Service(
        name=program.name,
        argv=program.argv,
        env=program.env if program.env is not None else {"PATH": os.defpath, "LC_ALL": "C"},
        cwd=program.cwd,
        is_ready=program.is_up,
        user=program.user,
        stop_signal=program.stop_signal,
        stop_limit=60.0,
        hurried_limit=10.0,
    )


def in_words(services: tuple[Service, ...]) -> str:
    """ "2 trackers, the manager and a worker": what is started, for the operator."""
    trackers = sum(service.name.startswith("tracker") for service in services)
    workers = sum(service.name.startswith("worker") for service in services)
    some = "a worker" if workers == 1 else f"{workers} workers"
    return f"{trackers} tracker{'s' if trackers != 1 else ''}, the manager and {some}"


def _reachable(host: str) -> str:
    """An address to connect to, for one to listen on."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104


def _answers(host: str, port: int, path: str) -> Callable[[], bool]:
    def ask() -> bool:
        connection = http.client.HTTPConnection(host, port, timeout=2)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return ask
