"""What `rastro up` tells the programs that it starts: all of it, in this one place."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from core.ops.commands import ROOT
from core.ops.data_folder import DataFolder

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_ANY = ("0.0.0.0", "::", "")  # noqa: S104 (compared with, not listened on)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where `up` listens, and the URLs people use: those that are set, else the ports of this machine."""

    host: str
    admin_port: int
    tracker_port: int
    admin_url: str
    tracker_url: str

    @property
    def tracker_is_local(self) -> bool:
        """True when links only work on this machine, so that the default domain may follow the port."""
        return (urlsplit(self.tracker_url).hostname or "") in _LOOPBACK

    @property
    def tracker_host(self) -> str:
        """Host name of short links, with its port where it is not the scheme's own."""
        return urlsplit(self.tracker_url).netloc.lower()


def addresses(environ: Mapping[str, str], *, host: str, admin_port: int, tracker_port: int) -> Addresses:
    """ADMIN_URL and TRACKER_URL win; without them the admin is `localhost`, which passkeys need."""
    shown = _bracketed(host)
    local = host in _ANY or host in _LOOPBACK
    admin = f"http://{'localhost' if local else shown}:{admin_port}"
    tracker = f"http://{'127.0.0.1' if local else shown}:{tracker_port}"
    return Addresses(
        host=host,
        admin_port=admin_port,
        tracker_port=tracker_port,
        admin_url=environ.get("ADMIN_URL", "").strip().rstrip("/") or admin,
        tracker_url=environ.get("TRACKER_URL", "").strip().rstrip("/") or tracker,
    )


def common_environment(
    environ: Mapping[str, str],
    folder: DataFolder,
    place: Addresses,
    *,
    database_url: str | None,
    redis_url: str | None,
) -> dict[str, str]:
    """The environment of every program of ours. `None` for a server means that its setting is in `environ`."""
    env = dict(environ)
    env["PYTHONPATH"] = os.pathsep.join(_unique([str(ROOT), *env.get("PYTHONPATH", "").split(os.pathsep)]))
    env["PYTHONUNBUFFERED"] = "1"
    env["PYTHONSAFEPATH"] = "1"
    if database_url is not None:
        env["DATABASE_URL"] = database_url
    if redis_url is not None:
        env["REDIS_URL"] = redis_url
    if not env.get("SECRET_KEY") and not env.get("SECRET_KEY_FILE"):
        env["SECRET_KEY_FILE"] = str(folder.secret_key)
    env.setdefault("SPOOL_DIR", str(folder.spool))
    env.setdefault("LOG_FORMAT", "text")
    env["ADMIN_URL"] = place.admin_url
    env["TRACKER_URL"] = place.tracker_url
    env["DEFAULT_HOSTS"] = " ".join(_unique([*env.get("DEFAULT_HOSTS", "").split(), *_default_hosts(place)]))
    env["HOST"] = place.host
    for name in ("PORT", "METRICS_PORT", "TRACKER_FD"):
        env.pop(name, None)
    return env


def _default_hosts(place: Addresses) -> list[str]:
    """Hosts that mean the default domain: this machine's own names at the tracker's port."""
    names = ["127.0.0.1", "localhost", "[::1]"]
    if place.host not in _ANY:
        names.append(_bracketed(place.host))
    hosts = [f"{name}:{place.tracker_port}" for name in names]
    return _unique([*hosts, *(names if place.tracker_port == 80 else [])])


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _unique(words: list[str]) -> list[str]:
    return list(dict.fromkeys(word for word in words if word))
