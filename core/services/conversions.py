"""One conversion: what made it, what came of it, and its status, which a person may set with a reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.db.conversions import (
    Conversion,
    ConversionHistory,
    ConversionSource,
    Postback,
    Webhook,
    WebhookDelivery,
)
from core.db.deliveries import enqueue
from core.db.models import Link
from core.db.texts import storable
from core.domain.conversions import STATUSES
from core.services import audit
from core.services.actor import Actor
from core.services.link_rules import names_of as names_of_targets
from core.services.link_saving import loaded

LONGEST_REASON = 500
MOST = 50
"""Postbacks and deliveries of one conversion that are listed, the newest first."""


class ConversionNotFound(Exception):
    """There is no such conversion."""


class ConversionRefused(Exception):
    """A field can not be taken: `field` names it (status, reason), `message` says why."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


class StaleConversion(Exception):
    """Something changed the conversion meanwhile: `current` is how it stands, `editor` who did it, `at` when."""

    def __init__(self, *, current: Conversion, editor: str, at: datetime) -> None:
        super().__init__(f"{editor} changed this conversion meanwhile. Look at it, then change it again.")
        self.current = current
        self.editor = editor
        self.at = at


@dataclass(frozen=True, slots=True)
class Told:
    """What made, changed and followed a conversion. `names` are those of the actors in its history, `links` those that
    its history names."""

    conversion: Conversion
    source: ConversionSource
    link: Link | None
    rule: str
    variant: str
    history: Sequence[ConversionHistory]
    names: Mapping[str, str]
    links: Mapping[int, Link]
    postbacks: Sequence[Postback]
    deliveries: Sequence[tuple[WebhookDelivery, str]]


def get_conversion(session: Session, *, conversion_id: int) -> Conversion:
    """Raises ConversionNotFound."""
    found = session.get(Conversion, conversion_id)
    if found is None:
        raise ConversionNotFound(f"There is no conversion {conversion_id}.")
    return found


def tell_conversion(session: Session, *, conversion_id: int) -> Told:
    """A conversion with everything that belongs to it. Raises ConversionNotFound."""
    row = get_conversion(session, conversion_id=conversion_id)
    history = history_of(session, conversion_id=conversion_id)
    links = _links_in(session, row, history)
    rules = names_of_targets(session, kind="rule", ids=[row.rule] if row.rule else [])
    variants = names_of_targets(session, kind="variant", ids=[row.variant] if row.variant else [])
    return Told(
        conversion=row,
        source=row.source,
        link=links.get(row.link_id or 0),
        rule=rules.get(row.rule, ""),
        variant=variants.get(row.variant, ""),
        history=history,
        names=names_in(session, history),
        links=links,
        postbacks=session.scalars(
            select(Postback)
            .where(Postback.conversion_id == conversion_id)
            .order_by(Postback.id.desc())
            .limit(MOST)
        ).all(),
        deliveries=[
            (delivery, name)
            for delivery, name in session.execute(
                select(WebhookDelivery, Webhook.name)
                .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
                .where(WebhookDelivery.conversion_id == conversion_id)
                .order_by(WebhookDelivery.id.desc())
                .limit(MOST)
            )
        ],
    )


def history_of(session: Session, *, conversion_id: int) -> Sequence[ConversionHistory]:
    """Every version, the newest first."""
    return session.scalars(
        select(ConversionHistory)
        .where(ConversionHistory.conversion_id == conversion_id)
        .order_by(ConversionHistory.version.desc())
    ).all()


def names_in(session: Session, history: Sequence[ConversionHistory]) -> dict[str, str]:
    """Names of the actors of a history: as they are called now, else as they were called then."""
    then = {row.actor: row.actor_name for row in history}
    now = audit.names_of(session, then)
    return {actor: (then[actor] or name) if name == actor else name for actor, name in now.items()}


def set_status(
    session: Session,
    *,
    conversion_id: int,
    status: str,
    reason: str,
    version: int | None = None,
    actor: Actor,
    now: datetime,
) -> Conversion:
    """Give a conversion the status that a person knows to be right; with `version` only while it is still that one.

    Written into its history and the audit log, and told to whoever is told of such conversions, in one commit. Raises
    ConversionNotFound, ConversionRefused, StaleConversion.
    """
    why = storable(" ".join(reason.split()), LONGEST_REASON + 1)
    if not why:
        raise ConversionRefused("reason", "Say why: it stands in the history for whoever asks later.")
    if len(why) > LONGEST_REASON:
        raise ConversionRefused("reason", f"At most {LONGEST_REASON} characters.")
    if status not in STATUSES:
        raise ConversionRefused("status", f"This must be one of {', '.join(STATUSES)}.")
    row = session.get(Conversion, conversion_id, with_for_update=True, populate_existing=True)
    if row is None:
        raise ConversionNotFound(f"There is no conversion {conversion_id}.")
    if version is not None and version != row.version:
        raise _stale(session, row)
    before = row.status
    if before == status:
        session.rollback()
        raise ConversionRefused("status", f"It is {status} already.")
    row.status = status
    row.version += 1
    row.updated_at = now
    session.add(
        ConversionHistory(
            conversion_id=row.id,
            version=row.version,
            at=now,
            actor=str(actor),
            actor_name=actor.name,
            action="status",
            status=status,
            changed={"status": [before, status]},
            reason=why,
        )
    )
    audit.record(
        session,
        actor=actor,
        action="conversion.status",
        subject=f"conversion:{row.id}",
        now=now,
        detail={"version": row.version, "from": before, "to": status, "reason": why},
    )
    session.flush()
    enqueue(session.connection(), [(row.id, row.version)], now=now)
    session.commit()
    return row


def _links_in(session: Session, row: Conversion, history: Sequence[ConversionHistory]) -> dict[int, Link]:
    """The links that a conversion was ever credited to."""
    ids = {row.link_id, *(number for version in history for number in version.changed.get("link_id") or ())}
    found = session.scalars(
        select(Link).where(Link.id.in_([one for one in ids if isinstance(one, int)])).options(*loaded())
    )
    return {link.id: link for link in found}


def _stale(session: Session, row: Conversion) -> StaleConversion:
    session.rollback()
    session.refresh(row)
    history = history_of(session, conversion_id=row.id)[:1]
    names = names_in(session, history)
    editor = names[history[0].actor] if history else ""
    if not editor or editor.startswith("postback:"):
        editor = "A postback"
    return StaleConversion(current=row, editor=editor, at=row.updated_at)
