"""The hosts that short links live on. Every verb commits, then publishes what trackers must know."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from redis import Redis
from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.config import Settings
from core.db.models import Domain, Link
from core.domain.hosts import HostRefused, check_host, is_loopback, split_port
from core.services import audit
from core.services.actor import COMMAND, Actor
from core.services.publishing import announce_default_domain, announce_domain, publish_now

LONGEST_BRAND = 100

__all__ = [
    "DomainNotFound",
    "DomainRow",
    "DomainTaken",
    "HostRefused",
    "add_domain",
    "base_url",
    "check_brand",
    "default_domain",
    "domain_by_host",
    "ensure_default_domain",
    "list_domains",
    "make_default",
    "own_hosts",
]


class DomainTaken(Exception):
    """The host was added before."""

    def __init__(self, host: str) -> None:
        super().__init__(f"{host} was added before.")
        self.host = host


class DomainNotFound(Exception):
    """There is no such domain."""


@dataclass(frozen=True, slots=True)
class DomainRow:
    """A domain with the number of its links (deleted ones left out)."""

    id: int
    host: str
    brand: str
    is_default: bool
    case_sensitive: bool
    root_url: str
    not_found_url: str
    expired_url: str
    source_param: str
    apple_app_site_association: dict[str, Any] | None
    assetlinks: list[Any] | None
    created_at: datetime
    links: int


def add_domain(
    session: Session,
    *,
    host: str,
    actor: Actor,
    now: datetime,
    brand: str = "",
    case_sensitive: bool = False,
    default: bool = False,
    redis: Redis | None = None,
) -> Domain:
    """Let links live on another host; the first one is the default. `case_sensitive` is fixed for good.

    Raises HostRefused, DomainTaken.
    """
    checked = check_host(host)
    if session.scalar(select(Domain.id).where(Domain.host == checked)) is not None:
        raise DomainTaken(checked)
    row = Domain(
        host=checked,
        brand=check_brand(brand),
        case_sensitive=case_sensitive,
        created_at=now,
        is_default=False,
    )
    session.add(row)
    try:
        session.flush()
    except IntegrityError as error:
        session.rollback()
        raise DomainTaken(checked) from error
    announced = [announce_domain(session, host=checked, now=now)]
    if default or default_domain(session) is None:
        _take_default(session, row)
        announced.append(announce_default_domain(session, now=now))
    detail = {"host": checked, "case_sensitive": case_sensitive, "default": row.is_default}
    audit.record(
        session, actor=actor, action="domain.add", subject=f"domain:{row.id}", now=now, detail=detail
    )
    session.commit()
    publish_now(session, redis, announced)
    return row


def make_default(
    session: Session, *, domain_id: int, actor: Actor, now: datetime, redis: Redis | None = None
) -> Domain:
    """New links start on this domain from now on. Raises DomainNotFound."""
    row = session.get(Domain, domain_id)
    if row is None:
        raise DomainNotFound(f"There is no domain {domain_id}.")
    if row.is_default:
        return row
    _take_default(session, row)
    announced = [announce_default_domain(session, now=now)]
    audit.record(
        session,
        actor=actor,
        action="domain.default",
        subject=f"domain:{row.id}",
        now=now,
        detail={"host": row.host},
    )
    session.commit()
    publish_now(session, redis, announced)
    return row


def list_domains(session: Session) -> list[DomainRow]:
    """Every domain, the default first, then by host."""
    counts = (
        select(Link.domain_id, func.count().label("links"))
        .where(Link.state != "deleted")
        .group_by(Link.domain_id)
        .subquery()
    )
    rows = session.execute(
        select(Domain, func.coalesce(counts.c.links, 0))
        .outerjoin(counts, counts.c.domain_id == Domain.id)
        .order_by(Domain.is_default.desc(), Domain.host)
    )
    return [
        DomainRow(
            id=row.id,
            host=row.host,
            brand=row.brand,
            is_default=row.is_default,
            case_sensitive=row.case_sensitive,
            root_url=row.root_url,
            not_found_url=row.not_found_url,
            expired_url=row.expired_url,
            source_param=row.source_param,
            apple_app_site_association=row.apple_app_site_association,
            assetlinks=row.assetlinks,
            created_at=row.created_at,
            links=links,
        )
        for row, links in rows
    ]


def default_domain(session: Session) -> Domain | None:
    """The domain that new links start on; None before the first one was added."""
    return session.scalars(select(Domain).where(Domain.is_default)).one_or_none()


def base_url(domain: Domain | None, settings: Settings) -> str:
    """Scheme and host that a tracker is reached at by this domain; at TRACKER_URL without one.

    The default domain of one's own machine answers at TRACKER_URL, and a host that TRACKER_URL names by its scheme;
    other hosts of this machine speak http, all others https.
    """
    scheme, _, tracker_host = settings.tracker_url.partition("://")
    here = domain is None or _is_here(domain.host)
    if domain is None or domain.host == tracker_host.lower() or (domain.is_default and here):
        return f"{scheme}://{tracker_host}"
    return f"{'http' if here else 'https'}://{domain.host}"


def domain_by_host(session: Session, *, host: str) -> Domain:
    """The domain with this host, written in any of its spellings. Raises DomainNotFound."""
    try:
        row = session.scalars(select(Domain).where(Domain.host == check_host(host))).one_or_none()
    except HostRefused:
        row = None
    if row is None:
        raise DomainNotFound(f"{host} is not one of your domains.")
    return row


def own_hosts(session: Session) -> tuple[str, ...]:
    """Every host of ours: a link that leads to one would run in a loop."""
    return tuple(session.scalars(select(Domain.host)))


def check_brand(text: str) -> str:
    """The name that visitors read, as it is stored: one line, at most LONGEST_BRAND characters."""
    return " ".join(text.replace("\x00", " ").split())[:LONGEST_BRAND]


def ensure_default_domain(
    session: Session,
    *,
    tracker_url: str,
    now: datetime,
    actor: Actor = COMMAND,
    brand: str = "",
    redis: Redis | None = None,
) -> Domain:
    """For `up`: make the default domain when there is none, and let one of this machine follow `tracker_url`.

    A default domain with a name of its own stays as it is. Where another domain already has the wanted host, that one
    becomes the default.
    """
    wanted = check_host(urlsplit(tracker_url).netloc.rpartition("@")[2])
    row = default_domain(session)
    if row is None:
        existing = session.scalars(select(Domain).where(Domain.host == wanted)).one_or_none()
        if existing is None:
            return add_domain(
                session, host=wanted, actor=actor, now=now, brand=brand, default=True, redis=redis
            )
        return make_default(session, domain_id=existing.id, actor=actor, now=now, redis=redis)
    if row.host == wanted or not _is_here(row.host) or not _is_here(wanted):
        return row
    other = session.scalars(select(Domain).where(Domain.host == wanted)).one_or_none()
    if other is not None:
        return make_default(session, domain_id=other.id, actor=actor, now=now, redis=redis)
    announced = [announce_domain(session, host=host, now=now) for host in (row.host, wanted)]
    announced.append(announce_default_domain(session, now=now))
    audit.record(
        session,
        actor=actor,
        action="domain.move",
        subject=f"domain:{row.id}",
        now=now,
        detail={"from": row.host, "to": wanted},
    )
    row.host = wanted
    session.commit()
    publish_now(session, redis, announced)
    return row


def _take_default(session: Session, row: Domain) -> None:
    session.execute(update(Domain).where(Domain.is_default, Domain.id != row.id).values(is_default=False))
    session.flush()
    row.is_default = True
    session.flush()


def _is_here(host: str) -> bool:
    return is_loopback(split_port(host)[0])
