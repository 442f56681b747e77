"""What may be changed of a domain: its name for visitors, where it sends them, its source tag, its files for phones."""

from datetime import datetime
from typing import Any, TypedDict, Unpack

import msgspec
from redis import Redis
from sqlalchemy.orm import Session

from core.db.models import Domain
from core.domain.destination import PARAMETER
from core.domain.urls import DestinationRefused, check_destination
from core.services import audit
from core.services.actor import Actor
from core.services.domains import DomainNotFound, check_brand, own_hosts
from core.services.publishing import announce_default_domain, announce_domain, publish_now

LONGEST_FILE = 32_768


class DomainRefused(Exception):
    """A field can not be taken: `field` names it, `message` says why."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


class DomainChanges(TypedDict, total=False):
    """What may be changed of a domain; what is left out stays as it is. "" takes a target or the
    source parameter away."""

    brand: str
    root_url: str
    not_found_url: str
    expired_url: str
    source_param: str
    apple_app_site_association: dict[str, Any] | None
    assetlinks: list[Any] | None


def edit_domain(
    session: Session,
    *,
    domain_id: int,
    actor: Actor,
    now: datetime,
    redis: Redis | None = None,
    **changes: Unpack[DomainChanges],
) -> Domain:
    """Change the fields that are given. Raises DomainNotFound, and DomainRefused for an address that is none or that
    would run in a loop."""
    row = session.get(Domain, domain_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise DomainNotFound(f"There is no domain {domain_id}.")
    hosts = own_hosts(session)
    wanted = {name: _checked(name, value, hosts) for name, value in changes.items()}
    changed = {name: value for name, value in wanted.items() if getattr(row, name) != value}
    for name, value in changed.items():
        setattr(row, name, value)
    if not changed:
        session.rollback()
        return row
    announced = [announce_domain(session, host=row.host, now=now)]
    if row.is_default:
        announced.append(announce_default_domain(session, now=now))
    audit.record(
        session, actor=actor, action="domain.edit", subject=f"domain:{row.id}", now=now, detail=changed
    )
    session.commit()
    publish_now(session, redis, announced)
    return row


def _checked(field: str, value: object, hosts: tuple[str, ...]) -> object:
    if not isinstance(value, str):
        return _file(field, value)
    if field == "brand" or not value.strip():
        return check_brand(value)
    if field == "source_param":
        if not PARAMETER.fullmatch(value.strip()):
            raise DomainRefused(field, "A name has 1 to 64 letters without accents, digits, . _ ~ and -.")
        return value.strip()
    try:
        return check_destination(value, own_hosts=hosts)
    except DestinationRefused as refused:
        raise DomainRefused(field, refused.message) from refused


def _file(field: str, content: object) -> object:
    """A file for phones, as it is stored. Short enough to travel in the domain's snapshot."""
    if content is None:
        return None
    try:
        encoded = msgspec.json.encode(content)
    except (ValueError, OverflowError, RecursionError) as error:
        raise DomainRefused(field, "This is no JSON that can be kept.") from error
    if len(encoded) > LONGEST_FILE:
        raise DomainRefused(field, f"At most {LONGEST_FILE:,} bytes; these are {len(encoded):,}.")
    if b"\\u0000" in encoded:
        raise DomainRefused(field, "There is a character in it that can not be seen.")
    return msgspec.json.decode(encoded)
