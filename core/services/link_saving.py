"""How a link is saved: the row locked, its slug kept unique, and history, audit and outbox rows in one commit."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from redis import Redis
from sqlalchemy import Select, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, selectinload
from sqlalchemy.orm.interfaces import ORMOption

from core.db.models import Domain, Link, LinkHistory, LinkRule
from core.domain.urls import LONGEST_SLUG, new_slug, slug_key
from core.services import audit, link_settings
from core.services.actor import Actor
from core.services.link_errors import LinkNotFound, SlugTaken, StaleVersion
from core.services.link_rules import rules_json, split_json
from core.services.publishing import announce_link, publish_now

_UNIQUE_SLUG = "uq_links_domain_id_slug_key"
_PUBLISHED = frozenset(
    {"slug", "domain", "url", "state", "campaign_id", "rules", "split", "password", *link_settings.NAMES}
)
_TRIES = 20


@contextmanager
def undone_on_error(session: Session) -> Iterator[None]:
    """Roll back when the block raises, so that nothing half done is saved by whoever commits next."""
    try:
        yield
    except BaseException:
        session.rollback()
        raise


def whole(link_id: int) -> Select[Link]:
    """The query for one link with everything that belongs to it."""
    return select(Link).where(Link.id == link_id).options(*loaded())


def loaded() -> list[ORMOption]:
    """Options of a query: with links come their domain, campaign, owner, tags, rules and variants."""
    parts = (Link.domain, Link.campaign, Link.owner, Link.tags, Link.every_variant)
    rules = selectinload(Link.every_rule).selectinload(LinkRule.every_variant)
    return [*(selectinload(part) for part in parts), rules]


def locked(session: Session, *, link_id: int, version: int | None, deleted_too: bool = False) -> Link:
    """The row as it is now, kept from other writers until the transaction ends. Raises LinkNotFound, StaleVersion."""
    query = whole(link_id).with_for_update(of=Link).execution_options(populate_existing=True)
    link = session.scalars(query).one_or_none()
    if link is None or (link.state == "deleted" and not deleted_too):
        raise LinkNotFound(f"There is no link {link_id}.")
    if version is not None and version != link.version:
        session.rollback()
        raise _stale(session, link_id)
    return link


def put_slug(link: Link, slug: str) -> None:
    """Give the link a checked slug, and the key that its domain looks it up by."""
    link.slug = slug
    link.slug_key = slug_key(slug, case_sensitive=link.domain.case_sensitive)


def flush_with_new_slug(session: Session, link: Link, rng: random.Random) -> None:
    """`flush` with a random slug; drawn again while it is taken."""
    for left in reversed(range(_TRIES)):
        put_slug(link, new_slug(rng))
        try:
            return flush(session, link)
        except SlugTaken:
            if not left:
                raise
    return None


def flush(session: Session, link: Link) -> None:
    """Send the row. Raises SlugTaken when UNIQUE says so, whoever was faster.

    A new row goes in a savepoint, so that it can be tried again with another slug.
    """
    domain, slug = link.domain, link.slug
    try:
        if link in session:
            session.flush()
        else:
            with session.begin_nested():
                session.add(link)
    except IntegrityError as error:
        if _UNIQUE_SLUG not in str(error.orig):
            raise
        if not session.is_active:
            session.rollback()
        raise taken(session, domain=domain, slug=slug) from error


def save(
    session: Session,
    link: Link,
    *,
    actor: Actor,
    now: datetime,
    action: str,
    redis: Redis | None,
    before: dict[str, object] | None = None,
    old_key: tuple[int, str] | None = None,
    old_hash: str | None = None,
) -> Link:
    """History, audit and outbox beside the change, one commit, then publish. Nothing at all when nothing differs.

    `old_hash` is the password's before the change, where it may have changed: fields do not show that.
    """
    after = fields_of(link)
    changed = [name for name, value in after.items() if (before or {}).get(name) != value]
    if old_hash is not None and old_hash != link.password_hash and "password" not in changed:
        changed.append("password")
    if before is not None:
        if not changed:
            session.rollback()
            return session.scalars(whole(link.id)).one()
        link.version += 1
        link.updated_at = now
        flush(session, link)
        if "campaign_id" in changed:
            session.expire(link, ["campaign"])
    session.add(
        LinkHistory(
            link_id=link.id,
            version=link.version,
            at=now,
            actor=str(actor),
            action=action,
            fields=after,
            changed=changed,
        )
    )
    detail = {"version": link.version, "changed": changed, "slug": link.slug}
    audit.record(
        session, actor=actor, action=f"link.{action}", subject=f"link:{link.id}", now=now, detail=detail
    )
    announced = []
    if _PUBLISHED & set(changed):
        keys = dict.fromkeys([(link.domain_id, link.slug_key), old_key or (link.domain_id, link.slug_key)])
        announced = [announce_link(session, domain_id=key[0], slug_key=key[1], now=now) for key in keys]
    session.commit()
    publish_now(session, redis, announced)
    return link


def fields_of(link: Link) -> dict[str, object]:
    """What history keeps of a link: the fields that people edit. Of a password, whether there is one."""
    return {
        "slug": link.slug,
        "domain": link.domain.host,
        "url": link.url,
        "title": link.title,
        "notes": link.notes,
        "campaign_id": link.campaign_id,
        "tags": sorted(tag.name for tag in link.tags),
        "state": link.state,
        "rules": rules_json(link),
        "split": split_json(link),
        **link_settings.settings_of(link),
        "password": bool(link.password_hash),
    }


def taken(session: Session, *, domain: Domain, slug: str) -> SlugTaken:
    """The error that says whose the slug is, and which one like it is free."""

    def key(text: str) -> str:
        return slug_key(text, case_sensitive=domain.case_sensitive)

    stem, _, number = slug.rpartition("-")
    start = int(number) + 1 if stem and number.isascii() and number.isdigit() and len(number) < 4 else 2
    stem = (stem if start > 2 or number == "1" else slug)[: LONGEST_SLUG - 5]
    ideas = [f"{stem}-{count}" for count in range(start, start + 50)]
    with session.no_autoflush:
        owner = session.execute(
            select(Link.id, Link.title, Link.state).where(
                Link.domain_id == domain.id, Link.slug_key == key(slug)
            )
        ).first()
        used = set(
            session.scalars(
                select(Link.slug_key).where(Link.domain_id == domain.id, Link.slug_key.in_(map(key, ideas)))
            )
        )
    free = next((idea for idea in ideas if key(idea) not in used), "")
    return SlugTaken(
        slug=slug,
        link_id=owner.id if owner else 0,
        title=owner.title if owner else "",
        state=owner.state if owner else "",
        suggestion=free,
    )


def _stale(session: Session, link_id: int) -> StaleVersion:
    current = session.scalars(whole(link_id)).one()
    last = session.scalars(
        select(LinkHistory)
        .where(LinkHistory.link_id == link_id)
        .order_by(LinkHistory.version.desc())
        .limit(1)
    ).one_or_none()
    actor = last.actor if last else "command"
    return StaleVersion(
        current=current, editor=audit.names_of(session, [actor])[actor], at=current.updated_at
    )
