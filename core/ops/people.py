"""`rastro user`, `key`, `domain` and `source`: what must work before anybody can sign in, and from scripts."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from redis import Redis
from sqlalchemy.orm import Session

from core.config import Settings
from core.db.engine import make_engine, make_sessions
from core.domain.presets import preset_of
from core.ops.commands import CommandFailed
from core.ops.connect import servers
from core.services import accounts, conversion_sources, domains
from core.services.actor import COMMAND
from core.services.redis_client import make_redis


def create_user(args: argparse.Namespace) -> int:
    """Add a person and print the first password, alone on stdout."""
    password = accounts.new_password()
    with _database(args.data) as session:
        try:
            accounts.create_user(
                session,
                email=args.email,
                name=args.name,
                role=args.role,
                password=password,
                actor=COMMAND,
                now=datetime.now(UTC),
            )
        except (accounts.EmailTaken, accounts.PersonRefused) as error:
            raise CommandFailed(str(error)) from error
    print(f"Added {args.email} as {args.role}. The first password:", file=sys.stderr)
    print(password)
    return 0


def reset_user(args: argparse.Namespace) -> int:
    """Give a person a new password and print it, alone on stdout; all their sessions end."""
    with _database(args.data) as session:
        try:
            password = accounts.reset_by_command(session, email=args.email, now=datetime.now(UTC))
        except accounts.UserNotFound as error:
            raise CommandFailed(str(error)) from error
    print(f"{args.email} is signed out everywhere. The new password:", file=sys.stderr)
    print(password)
    return 0


def create_key(args: argparse.Namespace) -> int:
    """Make an API key and print it, alone on stdout; it is stored nowhere."""
    with _database(args.data) as session:
        try:
            _, text = accounts.create_key(
                session, name=args.name, role=args.role, actor=COMMAND, now=datetime.now(UTC)
            )
        except accounts.KeyRefused as error:
            raise CommandFailed(str(error)) from error
    print(text)
    return 0


def list_keys(args: argparse.Namespace) -> int:
    """Print a line for each API key that opens something: its number, how it begins, its role, last use and name."""
    with _database(args.data) as session:
        for key in accounts.list_keys(session):
            if key.revoked_at is None:
                used = f"used {key.last_used_at:%Y-%m-%d}" if key.last_used_at else "never used"
                print(f"{key.id:>6}  {key.prefix}...  {key.role:8}  {used:15}  {key.name}")
    return 0


def revoke_key(args: argparse.Namespace) -> int:
    """An API key opens nothing from now on."""
    with _database(args.data) as session:
        try:
            accounts.revoke_key(session, key_id=args.key, actor=COMMAND, now=datetime.now(UTC))
        except accounts.KeyNotFound as error:
            raise CommandFailed(f"{error} `rastro key list` shows them.") from error
    print(f"Key {args.key} opens nothing any more.")
    return 0


def add_domain(args: argparse.Namespace) -> int:
    """Let links live on another host; trackers know it at once."""
    with _all(args.data) as (session, redis, _):
        try:
            row = domains.add_domain(
                session,
                host=args.host,
                actor=COMMAND,
                now=datetime.now(UTC),
                case_sensitive=args.case_sensitive,
                default=args.default,
                redis=redis,
            )
        except (domains.HostRefused, domains.DomainTaken) as error:
            raise CommandFailed(str(error)) from error
        print(f"Links can live on {row.host} now{', and new ones do' if row.is_default else ''}.")
    return 0


def create_source(args: argparse.Namespace) -> int:
    """Make a source of conversions and print its postback URL, with the macros of its preset, alone on stdout; the
    token in it is stored nowhere."""
    with _all(args.data) as (session, redis, settings):
        try:
            made = conversion_sources.make_source(
                session,
                name=args.name,
                preset=args.preset,
                actor=COMMAND,
                now=datetime.now(UTC),
                redis=redis,
            )
        except conversion_sources.SourceRefused as error:
            raise CommandFailed(str(error)) from error
        base = conversion_sources.tracker_base(session, settings)
        print(conversion_sources.postback_url(base, made.token, preset_of(args.preset).query))
    return 0


@contextmanager
def _database(data: Path) -> Iterator[Session]:
    with servers(data, needs_redis=False) as settings:
        engine = make_engine(settings.database_url)
        try:
            with make_sessions(engine)() as session:
                yield session
        finally:
            engine.dispose()


@contextmanager
def _all(data: Path) -> Iterator[tuple[Session, Redis, Settings]]:
    with servers(data) as settings:
        engine = make_engine(settings.database_url)
        redis = make_redis(settings.redis_url, connect_timeout=5, timeout=10)
        try:
            with make_sessions(engine)() as session:
                yield session, redis, settings
        finally:
            redis.close()
            engine.dispose()
