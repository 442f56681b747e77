"""What people do with links. Each verb checks, changes the row, writes history, audit and outbox rows in one
transaction, commits, and publishes what trackers must know; without `redis` a worker publishes it from the outbox.
A verb that raises leaves the session rolled back.
"""

import random
from collections.abc import Sequence
from datetime import datetime
from typing import Unpack
from urllib.parse import quote

from msgspec import UNSET, UnsetType
from redis import Redis
from sqlalchemy import select
from sqlalchemy.orm import Session

from core.config import Settings
from core.db.models import Campaign, Domain, Link, LinkHistory
from core.domain.urls import DestinationRefused, SlugRefused, check_destination, check_slug, slug_key
from core.services import domains
from core.services.actor import Actor
from core.services.link_errors import LinkNotFound, LinkRefused, SlugTaken, StaleVersion
from core.services.link_list import LinkFilter, LinkPage, LinkRow, find_links
from core.services.link_rules import (
    RuleFields,
    VariantFields,
    put_rules,
    put_split,
    put_split_key,
)
from core.services.link_saving import (
    fields_of,
    flush,
    flush_with_new_slug,
    locked,
    put_slug,
    save,
    taken,
    undone_on_error,
    whole,
)
from core.services.link_settings import LinkSettings, put_settings
from core.services.link_words import check_notes, check_tags, check_title, tag_rows

__all__ = [
    "UNSET",
    "DestinationRefused",
    "LinkFilter",
    "LinkNotFound",
    "LinkPage",
    "LinkRefused",
    "LinkRow",
    "RuleFields",
    "SlugRefused",
    "SlugTaken",
    "StaleVersion",
    "VariantFields",
    "archive_link",
    "check_slug_free",
    "create_link",
    "delete_link",
    "edit_link",
    "fields_of",
    "find_links",
    "get_link",
    "history_of",
    "pause_link",
    "restore_link",
    "resume_link",
    "short_url",
]

_EDITABLE_STATES = ("live", "paused", "archived")


def create_link(
    session: Session,
    *,
    url: str,
    actor: Actor,
    now: datetime,
    slug: str = "",
    domain_id: int | None = None,
    title: str = "",
    notes: str = "",
    campaign_id: int | None = None,
    tags: Sequence[str] = (),
    rules: Sequence[RuleFields] = (),
    split: Sequence[VariantFields] = (),
    redis: Redis | None = None,
    rng: random.Random | None = None,
    **settings: Unpack[LinkSettings],
) -> Link:
    """Make a link, on the default domain and with a random slug unless told otherwise.

    Raises DestinationRefused, SlugRefused, SlugTaken, and LinkRefused for the other fields.
    """
    with undone_on_error(session):
        own_hosts = domains.own_hosts(session)
        link = Link(
            domain=_domain(session, domain_id),
            url=check_destination(url, own_hosts=own_hosts),
            title=check_title(title),
            notes=check_notes(notes),
            campaign_id=_campaign_id(session, campaign_id),
            owner_id=actor.id if actor.kind == "user" else None,
            tags=tag_rows(session, check_tags(tags)),
            every_rule=[],
            every_variant=[],
            state="live",
            fallback_url="",
            ios_url="",
            android_url="",
            redirect_status=302,
            no_referrer=False,
            pass_query=True,
            click_id_param="",
            password_hash="",
            version=1,
            created_at=now,
            updated_at=now,
        )
        put_settings(link, settings, own_hosts=own_hosts)
        if slug.strip():
            put_slug(link, check_slug(slug))
            flush(session, link)
        else:
            flush_with_new_slug(session, link, rng or random.SystemRandom())
        _put_targets(session, link, rules or UNSET, split or UNSET, rng)
        return save(session, link, actor=actor, now=now, action="create", redis=redis)


def edit_link(
    session: Session,
    *,
    link_id: int,
    actor: Actor,
    now: datetime,
    version: int | None = None,
    url: str | UnsetType = UNSET,
    slug: str | UnsetType = UNSET,
    domain_id: int | UnsetType = UNSET,
    title: str | UnsetType = UNSET,
    notes: str | UnsetType = UNSET,
    campaign_id: int | UnsetType | None = UNSET,
    tags: Sequence[str] | UnsetType = UNSET,
    state: str | UnsetType = UNSET,
    rules: Sequence[RuleFields] | UnsetType = UNSET,
    split: Sequence[VariantFields] | UnsetType = UNSET,
    redis: Redis | None = None,
    rng: random.Random | None = None,
    **settings: Unpack[LinkSettings],
) -> Link:
    """Change the fields that are given; with `version`, only while it is still the link's version.

    Saving what is already there changes nothing, the version included. `state` is live, paused or archived; `rules` and
    `split` replace those that are there. Raises LinkNotFound (deleted links too), StaleVersion, and what `create_link`
    raises.
    """
    with undone_on_error(session):
        link = locked(session, link_id=link_id, version=version)
        before = fields_of(link)
        old_key, old_hash = (link.domain_id, link.slug_key), link.password_hash
        with session.no_autoflush:
            if url is not UNSET and url.strip() != link.url:
                link.url = check_destination(url, own_hosts=domains.own_hosts(session))
            if domain_id is not UNSET:
                link.domain = _domain(session, domain_id)
            if slug is not UNSET or domain_id is not UNSET:
                put_slug(link, link.slug if slug is UNSET or slug.strip() == link.slug else check_slug(slug))
            if title is not UNSET:
                link.title = check_title(title)
            if notes is not UNSET:
                link.notes = check_notes(notes)
            if campaign_id is not UNSET:
                link.campaign_id = _campaign_id(session, campaign_id)
            if tags is not UNSET:
                link.tags = tag_rows(session, check_tags(tags))
            if state is not UNSET:
                link.state = _state(state)
            _put_targets(session, link, rules, split, rng)
            if settings:
                put_settings(link, settings, own_hosts=domains.own_hosts(session))
        return save(
            session,
            link,
            actor=actor,
            now=now,
            action="edit",
            redis=redis,
            before=before,
            old_key=old_key,
            old_hash=old_hash,
        )


def pause_link(
    session: Session, *, link_id: int, actor: Actor, now: datetime, redis: Redis | None = None
) -> Link:
    """Visitors see a page that says so, until `resume_link`. Raises LinkNotFound."""
    return _change_state(session, link_id, "paused", actor=actor, now=now, action="pause", redis=redis)


def resume_link(
    session: Session, *, link_id: int, actor: Actor, now: datetime, redis: Redis | None = None
) -> Link:
    """A paused link leads to its destination again. Raises LinkNotFound."""
    return _change_state(session, link_id, "live", actor=actor, now=now, action="resume", redis=redis)


def archive_link(
    session: Session, *, link_id: int, actor: Actor, now: datetime, redis: Redis | None = None
) -> Link:
    """Out of the lists: its slug answers 410, its clicks stay. Raises LinkNotFound."""
    return _change_state(session, link_id, "archived", actor=actor, now=now, action="archive", redis=redis)


def restore_link(
    session: Session,
    *,
    link_id: int,
    actor: Actor,
    now: datetime,
    state: str = "live",
    redis: Redis | None = None,
) -> Link:
    """An archived or deleted link comes back: live, or in the `state` it had. Raises LinkNotFound, LinkRefused."""
    return _change_state(
        session,
        link_id,
        _state(state),
        actor=actor,
        now=now,
        action="restore",
        redis=redis,
        deleted_too=True,
    )


def delete_link(
    session: Session,
    *,
    link_id: int,
    actor: Actor,
    now: datetime,
    version: int | None = None,
    redis: Redis | None = None,
) -> Link:
    """Its slug answers 410 and stays taken, its clicks stay. Raises LinkNotFound, StaleVersion."""
    return _change_state(
        session, link_id, "deleted", actor=actor, now=now, action="delete", redis=redis, version=version
    )


def get_link(session: Session, *, link_id: int, deleted_too: bool = False) -> Link:
    """The link with its domain, campaign, owner and tags. Raises LinkNotFound, for deleted ones too unless asked."""
    link = session.scalars(whole(link_id)).one_or_none()
    if link is None or (link.state == "deleted" and not deleted_too):
        raise LinkNotFound(f"There is no link {link_id}.")
    return link


def check_slug_free(session: Session, *, domain_id: int | None, slug: str, link_id: int | None = None) -> str:
    """The slug as it would be stored, when `link_id` (or a new link) could have it now; nothing is reserved by asking.

    Raises SlugRefused, SlugTaken, and LinkRefused for a domain that does not exist.
    """
    domain, checked = _domain(session, domain_id), check_slug(slug)
    key = slug_key(checked, case_sensitive=domain.case_sensitive)
    owner = session.scalar(select(Link.id).where(Link.domain_id == domain.id, Link.slug_key == key))
    if owner is not None and owner != link_id:
        raise taken(session, domain=domain, slug=checked)
    return checked


def history_of(session: Session, *, link_id: int, limit: int = 50) -> list[LinkHistory]:
    """The last versions of a link, the newest first."""
    rows = select(LinkHistory).where(LinkHistory.link_id == link_id).order_by(LinkHistory.version.desc())
    return list(session.scalars(rows.limit(limit)))


def short_url(link: Link, settings: Settings) -> str:
    """What a person can paste into a browser (see `domains.base_url`)."""
    return f"{domains.base_url(link.domain, settings)}/{quote(link.slug, safe='')}"


def _domain(session: Session, domain_id: int | None) -> Domain:
    row = domains.default_domain(session) if domain_id is None else session.get(Domain, domain_id)
    if row is None:
        text = "Add a domain first, in Settings." if domain_id is None else "There is no such domain."
        raise LinkRefused("domain", text)
    return row


def _put_targets(
    session: Session,
    link: Link,
    rules: Sequence[RuleFields] | UnsetType,
    split: Sequence[VariantFields] | UnsetType,
    rng: random.Random | None,
) -> None:
    if rules is UNSET and split is UNSET:
        return
    own_hosts = domains.own_hosts(session)
    if rules is not UNSET:
        put_rules(link, rules, own_hosts=own_hosts)
    if split is not UNSET:
        put_split(link, split, own_hosts=own_hosts)
    put_split_key(link, rng or random.SystemRandom())
    flush(session, link)  # new rules and variants have their ids, before history is written


def _campaign_id(session: Session, campaign_id: int | None) -> int | None:
    if campaign_id is not None and session.get(Campaign, campaign_id) is None:
        raise LinkRefused("campaign", "There is no such campaign.")
    return campaign_id


def _state(state: str) -> str:
    if state not in _EDITABLE_STATES:
        raise LinkRefused("state", f"A link is one of {', '.join(_EDITABLE_STATES)}.")
    return state


def _change_state(
    session: Session,
    link_id: int,
    state: str,
    *,
    actor: Actor,
    now: datetime,
    action: str,
    redis: Redis | None,
    version: int | None = None,
    deleted_too: bool = False,
) -> Link:
    with undone_on_error(session):
        link = locked(session, link_id=link_id, version=version, deleted_too=deleted_too)
        before = fields_of(link)
        link.state = state
        return save(session, link, actor=actor, now=now, action=action, redis=redis, before=before)
