"""Coupon codes that were given out with links: who uses one is credited to its link, where a source allows it."""

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote

from sqlalchemy import delete, func, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session, joinedload

from core.db.conversions import Coupon
from core.db.models import Domain, Link
from core.domain.hosts import HostRefused, check_host
from core.domain.urls import slug_key
from core.services import audit
from core.services.actor import Actor
from core.services.domains import default_domain

LONGEST_CODE = 100
MOST_SHOWN = 500


class CouponRefused(Exception):
    """A field can not be taken: `field` is code or link, `message` says why."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


class CouponNotFound(Exception):
    """There is no such coupon."""


@dataclass(frozen=True, slots=True)
class CouponRow:
    """A coupon and its link."""

    code: str
    link: Link
    created_at: datetime


def list_coupons(session: Session, *, search: str = "") -> tuple[list[CouponRow], int]:
    """Coupons whose code holds `search`, by code, at most MOST_SHOWN; and how many there are."""
    matching = Coupon.code.contains(search.strip().lower(), autoescape=True)
    total = session.scalar(select(func.count()).select_from(Coupon).where(matching)) or 0
    rows = session.execute(
        select(Coupon, Link)
        .join(Link, Link.id == Coupon.link_id)
        .where(matching)
        .options(joinedload(Link.domain))
        .order_by(Coupon.code)
        .limit(MOST_SHOWN)
    )
    return [CouponRow(coupon.code, link, coupon.created_at) for coupon, link in rows], total


def put_coupon(session: Session, *, code: str, link: str, actor: Actor, now: datetime) -> CouponRow:
    """Credit whoever uses `code` to a link, named by its short address, or its slug alone on the default domain. A code
    that is there already moves. Raises CouponRefused."""
    words = code.strip().lower()
    if not words or len(words) > LONGEST_CODE or not words.isprintable():
        raise CouponRefused("code", f"A code has 1 to {LONGEST_CODE} characters, such as NATAL10.")
    row = _link_at(session, link)
    before = session.scalar(select(Coupon.link_id).where(Coupon.code == words))
    values = {"link_id": row.id, "created_at": now}
    new = postgresql.insert(Coupon).values(code=words, **values)
    session.execute(new.on_conflict_do_update(index_elements=["code"], set_=values))
    detail = {"code": words, "link": row.id, "before": before}
    audit.record(session, actor=actor, action="coupon.put", subject=f"link:{row.id}", now=now, detail=detail)
    session.commit()
    return CouponRow(words, row, now)


def delete_coupon(session: Session, *, code: str, actor: Actor, now: datetime) -> None:
    """Credit nobody by this code from now on. Raises CouponNotFound."""
    gone = session.scalars(delete(Coupon).where(Coupon.code == code).returning(Coupon.link_id)).one_or_none()
    if gone is None:
        session.rollback()
        raise CouponNotFound(f"There is no coupon {code}.")
    audit.record(
        session, actor=actor, action="coupon.delete", subject=f"link:{gone}", now=now, detail={"code": code}
    )
    session.commit()


def _link_at(session: Session, text: str) -> Link:
    address = text.strip().partition("://")[2] or text.strip()
    address = address.partition("?")[0].partition("#")[0].strip("/")
    host, slash, slug = address.partition("/")
    if not slash:
        host, slug = "", host
    domain = _domain_at(session, host)
    slug = unquote(slug)
    found = None
    if domain is not None and slug:
        key = slug_key(slug, case_sensitive=domain.case_sensitive)
        query = select(Link).where(Link.domain_id == domain.id, Link.slug_key == key, Link.state != "deleted")
        found = session.scalars(query.options(joinedload(Link.domain))).one_or_none()
    if found is None:
        raise CouponRefused(
            "link", "There is no such link. Paste its short address, such as go.example.com/natal."
        )
    return found


def _domain_at(session: Session, host: str) -> Domain | None:
    if not host:
        return default_domain(session)
    try:
        return session.scalars(select(Domain).where(Domain.host == check_host(host))).one_or_none()
    except HostRefused:
        return None
