"""Outgoing postbacks as people set them up. Each verb checks, changes the row and writes the audit log in one
transaction. A verb that raises leaves the session rolled back.
"""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import Any

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.db.conversions import ConversionSource, Webhook, WebhookDelivery
from core.db.models import AuditLog, Campaign, Domain, Link
from core.domain.conversions import APPROVED, STATUSES
from core.domain.hosts import HostRefused, check_host, is_address
from core.domain.outgoing import check_url, unknown_macros
from core.domain.sending import (
    CONTENT_TYPES,
    DONE,
    FAILED,
    JSON,
    LONGEST_DELAY_S,
    METHODS,
    OWN_HEADERS,
    TEST,
    SendingSettings,
    settings_of,
    stored,
)
from core.domain.urls import DestinationRefused, host_of, slug_key
from core.net import Network, is_public
from core.services import audit
from core.services.actor import Actor

LONGEST_NAME, LONGEST_BODY, MOST_HEADERS, LONGEST_HEADER = 100, 16_384, 20, 1_000
SHORTEST_SECRET, LONGEST_SECRET = 16, 200
MOST_EVENTS, LONGEST_EVENT = 20, 50
_LAST_DAY = timedelta(hours=24)
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_INSIDE = re.compile(r"(?:^|\.)(?:localhost|local|internal|intranet|lan|home\.arpa)$")


class WebhookNotFound(Exception):
    """There is no such outgoing postback."""


class WebhookRefused(Exception):
    """A field can not be taken: `field` names it as in WebhookFields, `message` says why."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


class WebhookChanged(Exception):
    """Somebody else saved it meanwhile: `current` is what they saved, `editor` their name, `at` the time."""

    def __init__(self, *, current: Webhook, editor: str, at: datetime) -> None:
        super().__init__(f"{editor} saved it meanwhile.")
        self.current = current
        self.editor = editor
        self.at = at


@dataclass(frozen=True, slots=True)
class WebhookFields:
    """An outgoing postback as it is typed. `headers` are lines "Name: value"; `events` are parted by commas, "" for
    all; `link` is a short link or a link's number. Scopes that are None or "" leave nothing out."""

    name: str
    url: str
    method: str = "GET"
    body: str = ""
    content_type: str = JSON
    headers: str = ""
    secret: str = ""
    statuses: tuple[str, ...] = (APPROVED,)
    events: str = ""
    percentage: int = 100
    delay_s: int = 0
    source_id: int | None = None
    campaign_id: int | None = None
    link: str = ""


@dataclass(frozen=True, slots=True)
class WebhookRow:
    """An outgoing postback in the list: what it is for, and how it fared in the last 24 hours, tests left out."""

    id: int
    name: str
    url: str
    settings: SendingSettings
    is_signed: bool
    source: str
    campaign: str
    link: str
    is_active: bool
    disabled_at: datetime | None
    failures: int
    paused_until: datetime | None
    waiting: int
    done: int
    failed: int


def list_webhooks(session: Session, *, now: datetime) -> list[WebhookRow]:
    """All of them, by name."""
    return _rows(session, now=now)


def webhook_row(session: Session, *, webhook_id: int, now: datetime) -> WebhookRow:
    """One of them as in the list. Raises WebhookNotFound."""
    for row in _rows(session, Webhook.id == webhook_id, now=now):
        return row
    raise WebhookNotFound(f"There is no outgoing postback {webhook_id}.")


def get_webhook(session: Session, *, webhook_id: int) -> Webhook:
    """One of them. Raises WebhookNotFound."""
    webhook = session.get(Webhook, webhook_id)
    if webhook is None:
        raise WebhookNotFound(f"There is no outgoing postback {webhook_id}.")
    return webhook


def fields_of(session: Session, webhook: Webhook) -> WebhookFields:
    """One of them as it would be typed."""
    settings = settings_of(webhook.settings)
    link = session.get(Link, webhook.link_id) if webhook.link_id else None
    return WebhookFields(
        name=webhook.name,
        url=webhook.url,
        method=settings.method,
        body=webhook.body,
        content_type=settings.content_type,
        headers="\n".join(f"{name}: {value}" for name, value in settings.headers),
        secret=webhook.secret,
        statuses=settings.statuses,
        events=", ".join(settings.events),
        percentage=settings.percentage,
        delay_s=settings.delay_s,
        source_id=webhook.source_id,
        campaign_id=webhook.campaign_id,
        link=f"{link.domain.host}/{link.slug}" if link else "",
    )


def read_fields(session: Session, fields: WebhookFields) -> Webhook:
    """What was typed as a row that belongs to no session, for a preview. Raises WebhookRefused."""
    return Webhook(**_checked(session, fields))


def create_webhook(session: Session, *, fields: WebhookFields, actor: Actor, now: datetime) -> Webhook:
    """Make one; it is on. Raises WebhookRefused."""
    webhook = Webhook(
        **_checked(session, fields), is_active=True, failures=0, version=1, created_at=now, updated_at=now
    )
    session.add(webhook)
    _flush(session)
    detail = {"name": webhook.name, "host": host_of(webhook.url)}
    audit.record(
        session, actor=actor, action="webhook.add", subject=_subject(webhook), now=now, detail=detail
    )
    session.commit()
    return webhook


def edit_webhook(
    session: Session, *, webhook_id: int, version: int, fields: WebhookFields, actor: Actor, now: datetime
) -> Webhook:
    """Change one whose version is still the one that was seen. Raises WebhookNotFound, WebhookChanged,
    WebhookRefused."""
    webhook = _locked(session, webhook_id)
    if webhook.version != version:
        session.rollback()
        raise _changed(session, webhook_id)
    try:
        wanted = _checked(session, fields)
    except WebhookRefused:
        session.rollback()
        raise
    changed = {name: value for name, value in wanted.items() if getattr(webhook, name) != value}
    if not changed:
        session.rollback()
        return webhook
    for name, value in changed.items():
        setattr(webhook, name, value)
    webhook.version += 1
    webhook.updated_at = now
    _flush(session)
    detail = {"changed": sorted(changed)}
    audit.record(
        session, actor=actor, action="webhook.edit", subject=_subject(webhook), now=now, detail=detail
    )
    session.commit()
    return webhook


def switch(session: Session, *, webhook_id: int, on: bool, actor: Actor, now: datetime) -> Webhook:
    """Switch one on (its failures are forgotten, and what waits for it is sent) or off. Raises WebhookNotFound."""
    webhook = _locked(session, webhook_id)
    webhook.is_active = on
    webhook.disabled_at = webhook.paused_until = None
    webhook.failures = 0
    webhook.updated_at = now
    action = "webhook.on" if on else "webhook.off"
    audit.record(session, actor=actor, action=action, subject=_subject(webhook), now=now)
    session.commit()
    return webhook


def delete_webhook(session: Session, *, webhook_id: int, actor: Actor, now: datetime) -> str:
    """Remove one with its log, and return its name. Raises WebhookNotFound."""
    webhook = _locked(session, webhook_id)
    name, subject = webhook.name, _subject(webhook)
    session.delete(webhook)
    detail = {"name": name}
    audit.record(session, actor=actor, action="webhook.delete", subject=subject, now=now, detail=detail)
    session.commit()
    return name


def unknown_in(webhook: Webhook) -> list[str]:
    """What looks like a macro in what it sends and is none, each once: nothing will stand in its place."""
    settings = settings_of(webhook.settings)
    body = [webhook.body] if settings.method == "POST" else []
    return unknown_macros(webhook.url, *(value for _, value in settings.headers), *body)


def new_secret() -> str:
    """A secret that nobody guesses."""
    return f"rs_{secrets.token_urlsafe(30)}"


def is_private(url: str, *, allowed: tuple[Network, ...] = ()) -> bool:
    """Whether an address plainly lies in a private network, where it will not be called. Names are not looked up: what
    they lead to is checked when they are called."""
    host = host_of(url).strip("[]")
    if not is_address(host_of(url)):
        return _INSIDE.search(host) is not None and not any(_reaches(network) for network in allowed)
    return not is_public(host, allowed=allowed)


def _reaches(network: Network) -> bool:
    """Whether this machine's own network is among those that may be called."""
    return ip_address("127.0.0.1") in network if network.version == 4 else ip_address("::1") in network


def _rows(session: Session, *conditions: ColumnElement[bool], now: datetime) -> list[WebhookRow]:
    found = session.execute(
        select(Webhook, ConversionSource.name, Campaign.name, Link.slug, Domain.host)
        .outerjoin(ConversionSource, ConversionSource.id == Webhook.source_id)
        .outerjoin(Campaign, Campaign.id == Webhook.campaign_id)
        .outerjoin(Link, Link.id == Webhook.link_id)
        .outerjoin(Domain, Domain.id == Link.domain_id)
        .where(*conditions)
        .order_by(func.lower(Webhook.name))
    ).all()
    ids = [webhook.id for webhook, *_ in found]
    ended = and_(WebhookDelivery.ended_at >= now - _LAST_DAY, WebhookDelivery.kind != TEST)
    waiting = _counts(session, ids, WebhookDelivery.next_try.is_not(None))
    done = _counts(session, ids, ended, WebhookDelivery.state == DONE)
    failed = _counts(session, ids, ended, WebhookDelivery.state == FAILED)
    return [
        WebhookRow(
            id=webhook.id,
            name=webhook.name,
            url=webhook.url,
            settings=settings_of(webhook.settings),
            is_signed=bool(webhook.secret),
            source=source or "",
            campaign=campaign or "",
            link=f"{host}/{slug}" if host else "",
            is_active=webhook.is_active,
            disabled_at=webhook.disabled_at,
            failures=webhook.failures,
            paused_until=webhook.paused_until,
            waiting=waiting.get(webhook.id, 0),
            done=done.get(webhook.id, 0),
            failed=failed.get(webhook.id, 0),
        )
        for webhook, source, campaign, slug, host in found
    ]


def _counts(session: Session, ids: list[int], *conditions: ColumnElement[bool]) -> dict[int, int]:
    counted = select(WebhookDelivery.webhook_id, func.count()).where(
        WebhookDelivery.webhook_id.in_(ids), *conditions
    )
    return dict(session.execute(counted.group_by(WebhookDelivery.webhook_id)).all())


def _locked(session: Session, webhook_id: int) -> Webhook:
    webhook = session.get(Webhook, webhook_id, with_for_update=True, populate_existing=True)
    if webhook is None:
        session.rollback()
        raise WebhookNotFound(f"There is no outgoing postback {webhook_id}.")
    return webhook


def _changed(session: Session, webhook_id: int) -> WebhookChanged:
    current = get_webhook(session, webhook_id=webhook_id)
    editor = session.scalar(
        select(AuditLog.actor_name)
        .where(AuditLog.subject == _subject(current), AuditLog.action.in_(("webhook.edit", "webhook.add")))
        .order_by(AuditLog.id.desc())
        .limit(1)
    )
    return WebhookChanged(current=current, editor=editor or "Somebody", at=current.updated_at)


def _flush(session: Session) -> None:
    try:
        session.flush()
    except IntegrityError as error:
        session.rollback()
        if "uq_webhooks_name" in str(error):
            raise WebhookRefused("name", "Another outgoing postback has this name.") from error
        raise


def _subject(webhook: Webhook) -> str:
    return f"webhook:{webhook.id}"


def _checked(session: Session, fields: WebhookFields) -> dict[str, Any]:
    """The columns of a row, from what was typed. Raises WebhookRefused."""
    name = " ".join(fields.name.replace("\x00", " ").split())
    if not name:
        raise WebhookRefused("name", "Type a name by which people find it.")
    if len(name) > LONGEST_NAME:
        raise WebhookRefused("name", f"At most {LONGEST_NAME} characters.")
    try:
        url = check_url(fields.url)
    except DestinationRefused as refused:
        raise WebhookRefused("url", refused.message) from refused
    if "\x00" in fields.body or len(fields.body) > LONGEST_BODY:
        raise WebhookRefused("body", f"At most {LONGEST_BODY:,} characters that can be seen.")
    return {
        "name": name,
        "url": url,
        "body": fields.body.strip(),
        "secret": _secret(fields.secret),
        "settings": stored(_settings(fields)),
        "source_id": _known(session, ConversionSource, "source_id", fields.source_id),
        "campaign_id": _known(session, Campaign, "campaign_id", fields.campaign_id),
        "link_id": _link_id(session, fields.link),
    }


def _settings(fields: WebhookFields) -> SendingSettings:
    if fields.method not in METHODS:
        raise WebhookRefused("method", "Choose GET or POST.")
    if fields.content_type not in CONTENT_TYPES:
        raise WebhookRefused("content_type", "Choose one of the types.")
    if not fields.statuses or not set(fields.statuses) <= set(STATUSES):
        raise WebhookRefused("statuses", "Tick at least one status.")
    if not 1 <= fields.percentage <= 100:
        raise WebhookRefused("percentage", "Type a number from 1 to 100.")
    if not 0 <= fields.delay_s <= LONGEST_DELAY_S:
        raise WebhookRefused("delay_s", f"Type a number of seconds from 0 to {LONGEST_DELAY_S:,}.")
    return SendingSettings(
        method=fields.method,
        headers=_headers(fields.headers),
        content_type=fields.content_type,
        statuses=tuple(status for status in STATUSES if status in fields.statuses),
        events=_events(fields.events),
        percentage=fields.percentage,
        delay_s=fields.delay_s,
    )


def _headers(text: str) -> tuple[tuple[str, str], ...]:
    found: list[tuple[str, str]] = []
    for line in filter(None, (line.strip() for line in text.splitlines())):
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not colon or not _HEADER_NAME.fullmatch(name):
            raise WebhookRefused("headers", f"Write each header as “Name: value”; “{line[:40]}” is none.")
        if name.lower() in OWN_HEADERS:
            raise WebhookRefused("headers", f"{name} is set by Rastro itself. Take it out.")
        if len(value) > LONGEST_HEADER or not value.isprintable():
            raise WebhookRefused("headers", f"The value of {name} is too long, or can not be seen.")
        found.append((name, value))
    if len(found) > MOST_HEADERS:
        raise WebhookRefused("headers", f"At most {MOST_HEADERS} headers.")
    if len({name.lower() for name, _ in found}) < len(found):
        raise WebhookRefused("headers", "A header stands there twice.")
    return tuple(found)


def _events(text: str) -> tuple[str, ...]:
    events = tuple(dict.fromkeys(filter(None, (word.strip().lower() for word in text.split(",")))))
    if len(events) > MOST_EVENTS or any(len(event) > LONGEST_EVENT or "\x00" in event for event in events):
        raise WebhookRefused("events", f"At most {MOST_EVENTS} events of {LONGEST_EVENT} characters.")
    return events


def _secret(text: str) -> str:
    secret = text.strip()
    if not secret:
        return ""
    if not SHORTEST_SECRET <= len(secret) <= LONGEST_SECRET or not (
        secret.isascii() and secret.isprintable()
    ):
        raise WebhookRefused(
            "secret", f"A secret has {SHORTEST_SECRET} to {LONGEST_SECRET} letters, digits and signs."
        )
    return secret


def _known(session: Session, model: type[Any], field: str, row_id: int | None) -> int | None:
    if row_id is not None and session.get(model, row_id) is None:
        raise WebhookRefused(field, "It is not there any more. Choose another one.")
    return row_id


def _link_id(session: Session, text: str) -> int | None:
    """A link by its number or its short link, with or without scheme."""
    typed = text.strip()
    if not typed:
        return None
    if typed.isascii() and typed.isdigit() and len(typed) < 19:
        found = session.scalar(select(Link.id).where(Link.id == int(typed), Link.state != "deleted"))
    else:
        found = _link_at(session, re.sub(r"^https?://", "", typed, flags=re.IGNORECASE))
    if found is None:
        raise WebhookRefused("link", "No link of yours is there. Paste the short link, or its number.")
    return found


def _link_at(session: Session, address: str) -> int | None:
    host, _, slug = re.split(r"[?#]", address, maxsplit=1)[0].partition("/")
    try:
        domain = session.scalars(select(Domain).where(Domain.host == check_host(host))).one_or_none()
    except HostRefused:
        return None
    if domain is None:
        return None
    key = slug_key(slug.strip("/"), case_sensitive=domain.case_sensitive)
    return session.scalar(
        select(Link.id).where(Link.domain_id == domain.id, Link.slug_key == key, Link.state != "deleted")
    )
