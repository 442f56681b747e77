"""Sources of conversions: made from a preset, changed, switched off, their tokens and signing keys rotated.

Every verb commits, with an audit row, and then publishes what the tracker must know. A token is shown once: only its
SHA-256 is stored. A verb that raises leaves the session rolled back.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec
from redis import Redis
from sqlalchemy import Select, delete, exists, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, selectinload

from core.config import Settings
from core.db.conversions import Conversion, ConversionSource, SourceToken
from core.db.models import AuditLog, Campaign
from core.domain.presets import PRESETS
from core.domain.source_checks import SourceRefused, check_key, check_name, check_settings
from core.domain.sources import SourceSettings, settings_of, stored
from core.services import audit
from core.services.actor import Actor
from core.services.domains import base_url, default_domain
from core.services.publishing import announce_sources, publish_now
from core.services.sign_ins import hash_token

__all__ = [
    "OVERLAP",
    "Made",
    "SourceInUse",
    "SourceNotFound",
    "SourceRefused",
    "StaleSource",
    "change_source",
    "delete_source",
    "drop_old_keys",
    "end_old_tokens",
    "get_source",
    "make_source",
    "postback_url",
    "put_key",
    "remove_keys",
    "rotate_token",
    "switch_source",
    "tracker_base",
]

PREFIX = "pb_"
OVERLAP = timedelta(days=7)
"""How long a token that was replaced is still taken, unless somebody says otherwise."""

LONGEST_OVERLAP = timedelta(days=90)

_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_LENGTH = 26


class SourceNotFound(Exception):
    """There is no such source."""


class SourceInUse(Exception):
    """A source with conversions stays, so that they can say where they came from. Switch it off instead."""


class StaleSource(Exception):
    """Somebody else saved the source meanwhile: `current` is what they saved, `editor` their name."""

    def __init__(self, *, current: ConversionSource, editor: str) -> None:
        super().__init__(f"{editor} saved this source meanwhile.")
        self.current = current
        self.editor = editor


@dataclass(frozen=True, slots=True)
class Made:
    """A source with a token that was just made; its text is stored nowhere."""

    source: ConversionSource
    token: str


def make_source(
    session: Session, *, name: str, preset: str, actor: Actor, now: datetime, redis: Redis | None = None
) -> Made:
    """Make a source with the settings of a preset, and its first token. Raises SourceRefused (name, preset)."""
    words = check_name(name)
    if preset not in PRESETS:
        raise SourceRefused("preset", f"A preset is one of {', '.join(PRESETS)}.")
    row = ConversionSource(
        name=words,
        preset=preset,
        is_active=True,
        settings=stored(PRESETS[preset].settings),
        signature_keys=[],
        version=1,
        created_by=actor.id if actor.kind == "user" else None,
        created_at=now,
        updated_at=now,
    )
    session.add(row)
    _flush_name(session, words)
    token = _new_token(session, row.id, now)
    _save(session, row, "make", actor, now, redis, {"name": words, "preset": preset})
    return Made(source=row, token=token)


def change_source(
    session: Session,
    *,
    source_id: int,
    version: int,
    name: str,
    settings: SourceSettings,
    actor: Actor,
    now: datetime,
    redis: Redis | None = None,
) -> ConversionSource:
    """Change how a source is taken and read. Raises SourceNotFound, StaleSource where `version` is not the saved one,
    and SourceRefused for the first field that can not be taken."""
    row = _locked(session, source_id)
    if row.version != version:
        session.rollback()
        raise StaleSource(
            current=get_source(session, source_id=source_id), editor=_editor(session, source_id)
        )
    try:
        words, checked = check_name(name), check_settings(settings)
        _check_campaigns(session, checked.campaigns)
    except SourceRefused:
        session.rollback()
        raise
    changed = _differences(settings_of(row.settings), checked)
    if words != row.name:
        changed["name"] = [row.name, words]
    if not changed:
        session.rollback()
        return get_source(session, source_id=source_id)
    row.name, row.settings = words, stored(checked)
    row.version += 1
    row.updated_at = now
    _flush_name(session, words)
    return _save(session, row, "edit", actor, now, redis, {"version": row.version, "changed": changed})


def switch_source(
    session: Session,
    *,
    source_id: int,
    active: bool,
    actor: Actor,
    now: datetime,
    redis: Redis | None = None,
) -> ConversionSource:
    """Take its postbacks again, or no more: its tokens are then unknown to the tracker. Raises SourceNotFound."""
    row = _locked(session, source_id)
    if row.is_active == active:
        session.rollback()
        return get_source(session, source_id=source_id)
    row.is_active = active
    row.updated_at = now
    return _save(session, row, "switch_on" if active else "switch_off", actor, now, redis, {"name": row.name})


def rotate_token(
    session: Session,
    *,
    source_id: int,
    actor: Actor,
    now: datetime,
    overlap: timedelta = OVERLAP,
    seen: int | None = None,
    redis: Redis | None = None,
) -> Made:
    """Make another token; those before are taken for `overlap` from now on, or until their end where that is sooner.
    Those that have ended are forgotten.

    `seen` is the newest token that whoever asks has seen: where there is a newer one by now nothing is done, so that
    a form that is sent twice rotates once. Raises SourceNotFound, SourceRefused (overlap, token).
    """
    if not timedelta() <= overlap <= LONGEST_OVERLAP:
        hours = LONGEST_OVERLAP // timedelta(hours=1)
        raise SourceRefused("overlap", f"The old URL can work for 0 to {hours:,} hours more.")
    row = _locked(session, source_id)
    newest = max((token.id for token in row.tokens), default=None)
    if seen is not None and seen != newest:
        session.rollback()
        raise SourceRefused(
            "token", "The URL was replaced meanwhile. Nothing was done; look at what is there now."
        )
    ended = SourceToken.expires_at <= now
    session.execute(delete(SourceToken).where(SourceToken.source_id == source_id, ended))
    _end_tokens(session, source_id, at=now + overlap)
    token = _new_token(session, source_id, now)
    detail = {"name": row.name, "overlap_hours": overlap / timedelta(hours=1)}
    _save(session, row, "rotate_token", actor, now, redis, detail)
    session.refresh(row)
    return Made(source=row, token=token)


def end_old_tokens(
    session: Session, *, source_id: int, actor: Actor, now: datetime, redis: Redis | None = None
) -> ConversionSource:
    """Take only the newest token from now on. Raises SourceNotFound."""
    row = _locked(session, source_id)
    _end_tokens(session, source_id, at=now, but=max((token.id for token in row.tokens), default=0))
    _save(session, row, "end_old_tokens", actor, now, redis, {"name": row.name})
    session.refresh(row)
    return row


def put_key(
    session: Session, *, source_id: int, key: str, actor: Actor, now: datetime, redis: Redis | None = None
) -> ConversionSource:
    """Sign with this key from now on; the one before is taken, too, until `drop_old_keys`. Raises SourceNotFound,
    SourceRefused (key)."""
    checked = check_key(key)
    row = _locked(session, source_id)
    kept = [old for old in row.signature_keys if old != checked]
    row.signature_keys = [checked, *kept[:1]]
    row.updated_at = now
    return _save(
        session, row, "put_key", actor, now, redis, {"name": row.name, "keys": len(row.signature_keys)}
    )


def drop_old_keys(
    session: Session, *, source_id: int, actor: Actor, now: datetime, redis: Redis | None = None
) -> ConversionSource:
    """Take only signatures by the newest key from now on. Raises SourceNotFound."""
    return _keep_keys(session, source_id, 1, "drop_old_keys", actor, now, redis)


def remove_keys(
    session: Session, *, source_id: int, actor: Actor, now: datetime, redis: Redis | None = None
) -> ConversionSource:
    """Check no signature from now on. Raises SourceNotFound."""
    return _keep_keys(session, source_id, 0, "remove_keys", actor, now, redis)


def delete_source(
    session: Session, *, source_id: int, actor: Actor, now: datetime, redis: Redis | None = None
) -> None:
    """Remove a source that no conversion came from; its postbacks stay in the inbox. Raises SourceNotFound,
    SourceInUse."""
    row = _locked(session, source_id)
    try:
        if session.scalar(select(exists().where(Conversion.source_id == source_id))):
            raise SourceInUse(row.name)
        detail = {"name": row.name, "preset": row.preset}
        session.execute(delete(ConversionSource).where(ConversionSource.id == source_id))
    except (SourceInUse, IntegrityError) as error:
        session.rollback()
        raise SourceInUse(str(source_id)) from error
    audit.record(
        session, actor=actor, action="source.delete", subject=f"source:{source_id}", now=now, detail=detail
    )
    announced = [announce_sources(session, now=now)]
    session.commit()
    session.expunge_all()
    publish_now(session, redis, announced)


def get_source(session: Session, *, source_id: int) -> ConversionSource:
    """A source with its tokens, the newest first. Raises SourceNotFound."""
    query = _whole(source_id).execution_options(populate_existing=True)
    row = session.scalars(query).one_or_none()
    if row is None:
        raise SourceNotFound(f"There is no source {source_id}.")
    return row


def tracker_base(session: Session, settings: Settings) -> str:
    """Scheme and host that networks send to: those of the default domain."""
    return base_url(default_domain(session), settings)


def postback_url(base: str, token: str, query: str = "") -> str:
    """The address that a network calls; `query` is a preset's, with the network's own macros."""
    return f"{base}/postback/{token}{'?' if query else ''}{query}"


def _whole(source_id: int) -> Select[ConversionSource]:
    return (
        select(ConversionSource)
        .where(ConversionSource.id == source_id)
        .options(selectinload(ConversionSource.tokens))
    )


def _locked(session: Session, source_id: int) -> ConversionSource:
    query = _whole(source_id).with_for_update(of=ConversionSource).execution_options(populate_existing=True)
    row = session.scalars(query).one_or_none()
    if row is None:
        session.rollback()
        raise SourceNotFound(f"There is no source {source_id}.")
    return row


def _flush_name(session: Session, name: str) -> None:
    """Send the row. Raises SourceRefused when UNIQUE says that the name is taken, whoever was faster."""
    try:
        session.flush()
    except IntegrityError as error:
        session.rollback()
        raise SourceRefused(
            "name", f"“{name}” is one of your sources already. Choose another name."
        ) from error


def _new_token(session: Session, source_id: int, now: datetime) -> str:
    plain = PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
    hint = f"{plain[:5]}…{plain[-4:]}"
    session.add(SourceToken(source_id=source_id, token_hash=hash_token(plain), hint=hint, created_at=now))
    return plain


def _end_tokens(session: Session, source_id: int, *, at: datetime, but: int = 0) -> None:
    later = or_(SourceToken.expires_at.is_(None), SourceToken.expires_at > at)
    session.execute(
        update(SourceToken)
        .where(SourceToken.source_id == source_id, SourceToken.id != but, later)
        .values(expires_at=at)
        .execution_options(synchronize_session=False)
    )


def _keep_keys(
    session: Session,
    source_id: int,
    count: int,
    action: str,
    actor: Actor,
    now: datetime,
    redis: Redis | None,
) -> ConversionSource:
    row = _locked(session, source_id)
    if len(row.signature_keys) <= count:
        session.rollback()
        return get_source(session, source_id=source_id)
    row.signature_keys = row.signature_keys[:count]
    row.updated_at = now
    return _save(session, row, action, actor, now, redis, {"name": row.name})


def _save(
    session: Session,
    row: ConversionSource,
    action: str,
    actor: Actor,
    now: datetime,
    redis: Redis | None,
    detail: Mapping[str, Any],
) -> ConversionSource:
    """Audit and outbox beside the change, one commit, then publish."""
    audit.record(
        session, actor=actor, action=f"source.{action}", subject=f"source:{row.id}", now=now, detail=detail
    )
    announced = [announce_sources(session, now=now)]
    session.commit()
    publish_now(session, redis, announced)
    return row


def _check_campaigns(session: Session, campaigns: tuple[int, ...]) -> None:
    known = (
        set(session.scalars(select(Campaign.id).where(Campaign.id.in_(campaigns)))) if campaigns else set()
    )
    if set(campaigns) - known:
        raise SourceRefused("campaigns", "One of these campaigns does not exist any more.")


def _differences(before: SourceSettings, after: SourceSettings) -> dict[str, list[Any]]:
    old, new = msgspec.structs.asdict(before), msgspec.structs.asdict(after)
    changed = (name for name in new if old[name] != new[name])
    return {name: msgspec.to_builtins([old[name], new[name]]) for name in changed}


def _editor(session: Session, source_id: int) -> str:
    query = select(AuditLog.actor_name).where(AuditLog.subject == f"source:{source_id}")
    return session.scalar(query.order_by(AuditLog.id.desc()).limit(1)) or "Somebody"
