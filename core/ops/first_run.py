"""What `up` does between the servers and the programs: tables, first admin, default domain, snapshots."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from redis import Redis
from sqlalchemy import Engine, func, select
from sqlalchemy.orm import Session, sessionmaker

from core.config import Settings
from core.db.engine import make_engine, make_sessions
from core.db.migrate import migrate
from core.db.models import Link, User
from core.ops.child_env import Addresses
from core.ops.data_folder import DataFolder, write_private
from core.services import accounts, domains
from core.services.actor import COMMAND
from core.services.publishing import republish_all
from core.services.redis_client import make_redis

FIRST_ADMIN = "admin@localhost"


@dataclass(frozen=True, slots=True)
class FirstRun:
    """Who signs in; `password` only where the account was made just now."""

    admin_email: str
    password: str | None


def prepare(
    settings: Settings, folder: DataFolder, place: Addresses, *, say: Callable[[str], None], with_demo: bool
) -> FirstRun:
    """Bring database and Redis to where the programs can start. Everything here may be done again at any start."""
    now = datetime.now(UTC)
    migrate(settings.database_url)
    engine = make_engine(settings.database_url)
    redis = make_redis(settings.redis_url, connect_timeout=5, timeout=10)
    try:
        sessions = make_sessions(engine)
        first = first_admin(
            sessions, keep=lambda password: write_private(folder.admin_password, f"{password}\n"), now=now
        )
        with sessions() as session:
            domains.ensure_default_domain(
                session, tracker_url=place.tracker_url, now=now, brand=settings.org_name, redis=redis
            )
        republish_all(engine, redis)
        if with_demo:
            _demo_once(engine, redis, sessions, settings=settings, say=say)
        return first
    finally:
        redis.close()
        engine.dispose()


def first_admin(sessions: sessionmaker[Session], *, keep: Callable[[str], None], now: datetime) -> FirstRun:
    """The oldest admin; made when there is nobody yet, after `keep` has had the password."""
    with sessions() as session:
        oldest = session.scalars(
            select(User.email).where(User.role == "admin", User.is_active).order_by(User.id).limit(1)
        ).one_or_none()
        if oldest is not None or session.scalar(select(func.count()).select_from(User)):
            return FirstRun(oldest or FIRST_ADMIN, None)
        password = accounts.new_password()
        keep(password)  # before the account: it must never be unknown
        accounts.create_user(
            session, email=FIRST_ADMIN, name="Admin", role="admin", password=password, actor=COMMAND, now=now
        )
        return FirstRun(FIRST_ADMIN, password)


def _demo_once(
    engine: Engine,
    redis: Redis,
    sessions: sessionmaker[Session],
    *,
    settings: Settings,
    say: Callable[[str], None],
) -> None:
    with sessions() as session:
        if session.scalar(select(Link.id).limit(1)) is not None:
            return
    from core.ops.demo import fill  # loads a good part of the product; wanted once

    say("Making example links, clicks and sales.")
    fill(
        engine,
        redis,
        links=40,
        clicks=20_000,
        days=30,
        zone=settings.tz_default,
        report_currency=settings.report_currency,
        say=say,
    )
