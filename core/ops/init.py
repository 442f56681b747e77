"""`rastro init`: what an installation of containers needs once. Each step may be done again without harm."""

import argparse
import secrets
from datetime import UTC, datetime
from pathlib import Path

from core.db.engine import make_engine, make_sessions
from core.ops.commands import CommandFailed
from core.ops.connect import servers
from core.ops.data_folder import write_private
from core.ops.first_run import first_admin
from core.services import domains
from core.services.publishing import republish_all
from core.services.redis_client import make_redis

_OURS, _SHARED = 0o400, 0o444
"""Of one program, or of a server as well, which runs as another user: only its containers have the folder."""


def make_secrets(args: argparse.Namespace) -> int:
    """Fill a folder with the secrets of a new installation; those that are there stay as they are.

    `manager/key` is the SECRET_KEY; `postgres/` and `valkey/` have the server's password, as the server wants it, and
    the `url` that programs use. Nothing of it is printed.
    """
    try:
        _keep(args.folder / "manager" / "key", secrets.token_urlsafe(48), _OURS)
        password = _keep(args.folder / "postgres" / "password", secrets.token_urlsafe(32), _SHARED)
        _put(
            args.folder / "postgres" / "url",
            f"postgresql://rastro:{password}@{args.postgres}/rastro",
            _SHARED,
        )
        password = _keep(args.folder / "valkey" / "password", secrets.token_urlsafe(32), _SHARED)
        _put(args.folder / "valkey" / "valkey.conf", f"requirepass {password}", _SHARED)
        _put(args.folder / "valkey" / "url", f"redis://default:{password}@{args.redis}/0", _SHARED)
    except OSError as error:
        raise CommandFailed(f"The secrets can not be kept in {args.folder} ({error.strerror}).") from error
    print(f"The secrets are in {args.folder}.")
    return 0


def welcome(args: argparse.Namespace) -> int:
    """Make the first admin and the default domain where there is none, publish every link, and say where to go."""
    now = datetime.now(UTC)
    with servers(args.data) as settings:
        engine = make_engine(settings.database_url)
        redis = make_redis(settings.redis_url, connect_timeout=5, timeout=30)
        try:
            sessions = make_sessions(engine)
            first = first_admin(sessions, keep=_show_password, now=now)
            with sessions() as session:
                domain = domains.ensure_default_domain(
                    session, tracker_url=settings.tracker_url, now=now, brand=settings.org_name, redis=redis
                )
                print(f"New links are made on {domain.host}.")
            republish_all(engine, redis)
        finally:
            redis.close()
            engine.dispose()
    print(f"Manager: {settings.admin_url}, for example as {first.admin_email}.")
    return 0


def _show_password(password: str) -> None:
    print(f"The first password, to be changed in the browser: {password}", flush=True)


def _keep(path: Path, text: str, mode: int) -> str:
    """What the file has, or `text`, which it has from now on."""
    if path.exists():
        return path.read_text(encoding="utf-8").strip()
    _put(path, text, mode)
    return text


def _put(path: Path, text: str, mode: int) -> None:
    path.parent.mkdir(exist_ok=True, parents=True)
    write_private(path, f"{text}\n")
    path.chmod(mode)
