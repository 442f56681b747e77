"""Keys of the API: shown once, stored as a SHA-256, found by it. Every verb commits."""

import secrets
import string
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from core.db.models import ApiKey
from core.domain.permissions import ROLES
from core.services import audit
from core.services.actor import Actor
from core.services.sign_ins import hash_token

PREFIX = "rst_"
_LENGTH = 40
_SHOWN = 10
_LONGEST_NAME = 100
_TOUCH_AFTER = timedelta(minutes=1)
_ALPHABET = string.ascii_letters + string.digits


class KeyRefused(Exception):
    """A field can not be taken: `field` names it (name, role), `message` says why."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


class KeyNotFound(Exception):
    """There is no such key."""


def create_key(session: Session, *, name: str, role: str, actor: Actor, now: datetime) -> tuple[ApiKey, str]:
    """Make a key and return it with its text, which is stored nowhere: `rst_` and 40 letters and figures.

    Raises KeyRefused.
    """
    words = " ".join(name.split())
    if not words or len(words) > _LONGEST_NAME or not words.isprintable():
        raise KeyRefused("name", f"Say what the key is for, in at most {_LONGEST_NAME} characters.")
    if role not in ROLES:
        raise KeyRefused("role", f"A role is one of {', '.join(ROLES)}.")
    plain = PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
    key = ApiKey(
        name=words,
        role=role,
        prefix=plain[:_SHOWN],
        key_hash=hash_token(plain),
        created_by=actor.id if actor.kind == "user" else None,
        created_at=now,
    )
    session.add(key)
    session.flush()
    detail = {"name": words, "role": role}
    audit.record(session, actor=actor, action="key.create", subject=f"key:{key.id}", now=now, detail=detail)
    session.commit()
    return key, plain


def key_for(session: Session, *, plain: str, now: datetime) -> ApiKey | None:
    """The key with this text; None when there is none or it was revoked.

    Looked up by its hash, so that the time tells nothing about the text. `last_used_at` is written once a minute.
    """
    if not plain.startswith(PREFIX) or len(plain) != len(PREFIX) + _LENGTH:
        return None
    key = session.scalars(
        select(ApiKey).where(ApiKey.key_hash == hash_token(plain), ApiKey.revoked_at.is_(None))
    ).one_or_none()
    if key is not None and (key.last_used_at is None or now - key.last_used_at >= _TOUCH_AFTER):
        session.execute(update(ApiKey).where(ApiKey.id == key.id).values(last_used_at=now))
        session.commit()
    return key


def list_keys(session: Session) -> list[ApiKey]:
    """Every key, revoked ones last, the newest first."""
    return list(session.scalars(select(ApiKey).order_by(ApiKey.revoked_at.isnot(None), ApiKey.id.desc())))


def revoke_key(session: Session, *, key_id: int, actor: Actor, now: datetime) -> None:
    """The key opens nothing from now on. Raises KeyNotFound."""
    key = session.get(ApiKey, key_id)
    if key is None:
        raise KeyNotFound(f"There is no key {key_id}.")
    if key.revoked_at is None:
        key.revoked_at = now
        audit.record(
            session,
            actor=actor,
            action="key.revoke",
            subject=f"key:{key.id}",
            now=now,
            detail={"name": key.name},
        )
    session.commit()
