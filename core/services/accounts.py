"""People: who they are, how they sign in, and how they get a new password. Every verb commits.

Passwords are argon2id. Browsers are in `sign_ins.py`, keys of the API in `api_keys.py`; all names are here.
"""

import logging
import secrets
from datetime import datetime, timedelta
from functools import cache

from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from core.db.models import PasswordReset, User
from core.domain.passwords import WeakPassword, check_password
from core.domain.permissions import ROLES
from core.services import audit
from core.services.actor import COMMAND, Actor
from core.services.api_keys import KeyNotFound, KeyRefused, create_key, key_for, list_keys, revoke_key
from core.services.hashing import hasher
from core.services.mail import MailFailed, Sender
from core.services.sign_ins import (
    close_other_sessions,
    close_session,
    close_session_of,
    drop_sessions,
    hash_token,
    open_session,
    session_user,
    sessions_of,
)

log = logging.getLogger(__name__)

__all__ = [
    "EmailTaken",
    "KeyNotFound",
    "KeyRefused",
    "PersonRefused",
    "ResetExpired",
    "UserNotFound",
    "WeakPassword",
    "WrongPassword",
    "authenticate",
    "change_password",
    "change_profile",
    "close_other_sessions",
    "close_session",
    "close_session_of",
    "create_key",
    "create_user",
    "key_for",
    "list_keys",
    "new_password",
    "open_session",
    "request_reset",
    "reset_by_command",
    "reset_password",
    "revoke_key",
    "session_user",
    "sessions_of",
]

RESET_WITHIN = timedelta(hours=1)
_MOST_RESETS = 3
_LONGEST_EMAIL, _LONGEST_NAME = 320, 100
_PASSWORD_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # noqa: S105 (letters to draw from, read aloud without doubt)


class EmailTaken(Exception):
    """There is a person with this e-mail already."""


class UserNotFound(Exception):
    """There is nobody with this e-mail or id."""


class PersonRefused(Exception):
    """A field can not be taken: `field` names it (email, name, role), `message` says why."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


class WrongPassword(Exception):
    """The password of now was not the one that was typed."""


class ResetExpired(Exception):
    """The link to a new password was used, is older than an hour, or never existed."""


def create_user(
    session: Session,
    *,
    email: str,
    role: str,
    password: str,
    actor: Actor,
    now: datetime,
    name: str = "",
    own_words: tuple[str, ...] = (),
) -> User:
    """Add a person. Raises EmailTaken, PersonRefused, WeakPassword."""
    address = _email(email)
    full_name = " ".join(name.split()) or address.partition("@")[0]
    if len(full_name) > _LONGEST_NAME or "\x00" in full_name:
        raise PersonRefused("name", f"A name has at most {_LONGEST_NAME} characters.")
    if role not in ROLES:
        raise PersonRefused("role", f"A role is one of {', '.join(ROLES)}.")
    check_password(password, own_words=(address, full_name, *own_words))
    user = User(
        email=address,
        name=full_name,
        role=role,
        password_hash=hasher().hash(password),
        is_active=True,
        created_at=now,
    )
    session.add(user)
    try:
        session.flush()
    except IntegrityError as error:
        session.rollback()
        raise EmailTaken(f"{address} has an account already.") from error
    detail = {"email": address, "role": role}
    audit.record(
        session, actor=actor, action="user.create", subject=f"user:{user.id}", now=now, detail=detail
    )
    session.commit()
    return user


def authenticate(session: Session, *, email: str, password: str) -> User | None:
    """The person with this e-mail and password; None for anything else.

    Takes as long for an e-mail that nobody has. A hash with older parameters is renewed.
    """
    user = session.scalars(select(User).where(User.email == _folded(email))).one_or_none()
    fits = _verify(user.password_hash if user is not None else _dummy_hash(), password)
    if user is None or not fits or not user.is_active:
        return None
    if hasher().check_needs_rehash(user.password_hash):
        user.password_hash = hasher().hash(password)
        session.commit()
    return user


def change_profile(session: Session, *, user_id: int, name: str, time_zone: str | None) -> User:
    """One's own name and time zone (None: the organisation's). Raises PersonRefused."""
    user = _user(session, user_id)
    full_name = " ".join(name.split())
    if not full_name or len(full_name) > _LONGEST_NAME or "\x00" in full_name:
        raise PersonRefused("name", f"Type a name, at most {_LONGEST_NAME} characters.")
    user.name, user.time_zone = full_name, time_zone
    audit.record(session, actor=_self(user), action="user.profile", subject=f"user:{user.id}")
    session.commit()
    return user


def change_password(
    session: Session, *, user_id: int, old: str, new: str, keep_session: int | None = None
) -> None:
    """Set one's own password; every other session of the person ends. Raises WrongPassword, WeakPassword."""
    user = _user(session, user_id)
    if not _verify(user.password_hash, old):
        raise WrongPassword("This is not your password of now.")
    check_password(new, own_words=(user.email, user.name))
    _set_password(session, user, new, keep_session=keep_session)
    audit.record(session, actor=_self(user), action="user.password", subject=f"user:{user.id}")
    session.commit()


def request_reset(session: Session, *, email: str, now: datetime, mailer: Sender, base_url: str) -> None:
    """Mail a link to a new password, if there is such a person; the caller can not tell.

    At most three open links a person, so that nobody's box is flooded. `base_url` is ADMIN_URL, never what a request
    says. A mail that fails is logged.
    """
    token = secrets.token_urlsafe(32)
    user = session.scalars(select(User).where(User.email == _folded(email), User.is_active)).one_or_none()
    if user is None:
        return
    session.execute(delete(PasswordReset).where(PasswordReset.expires_at < now))
    open_ones = session.scalars(
        select(PasswordReset.token_hash).where(PasswordReset.user_id == user.id)
    ).all()
    if len(open_ones) >= _MOST_RESETS:
        session.commit()
        return
    session.add(
        PasswordReset(
            token_hash=hash_token(token), user_id=user.id, expires_at=now + RESET_WITHIN, created_at=now
        )
    )
    audit.record(session, actor=_self(user), action="user.reset_asked", subject=f"user:{user.id}", now=now)
    session.commit()
    text = (
        f"Hello {user.name},\n\nset a new password here, within the hour:\n\n{base_url}/reset/{token}\n\n"
        "Did you not ask for it? Then do nothing: your password stays as it is.\n"
    )
    try:
        mailer.send(to=user.email, subject="A new password for Rastro", text=text)
    except MailFailed as error:
        log.error("mail_failed reason=%s", error)


def reset_password(session: Session, *, token: str, password: str, now: datetime) -> User:
    """Set the password with a mailed token, once; every session of the person ends.

    Raises ResetExpired; WeakPassword leaves the token usable.
    """
    row = session.scalars(
        select(PasswordReset).where(PasswordReset.token_hash == hash_token(token)).with_for_update()
    ).one_or_none()
    user = session.get(User, row.user_id) if row is not None and row.expires_at > now else None
    if user is None or not user.is_active:
        session.rollback()
        raise ResetExpired("This link was used or is too old. Ask for another one.")
    try:
        check_password(password, own_words=(user.email, user.name))
    except WeakPassword:
        session.rollback()
        raise
    _set_password(session, user, password)
    audit.record(session, actor=_self(user), action="user.reset", subject=f"user:{user.id}", now=now)
    session.commit()
    return user


def reset_by_command(session: Session, *, email: str, now: datetime, actor: Actor = COMMAND) -> str:
    """Give a person a new random password and return it; every session of theirs ends. Raises UserNotFound."""
    user = session.scalars(select(User).where(User.email == _folded(email))).one_or_none()
    if user is None:
        raise UserNotFound(f"Nobody has the e-mail {email}.")
    password = new_password()
    _set_password(session, user, password)
    audit.record(session, actor=actor, action="user.reset", subject=f"user:{user.id}", now=now)
    session.commit()
    return password


def new_password() -> str:
    """A random password that can be read aloud: 79 bits in four groups."""
    return "-".join("".join(secrets.choice(_PASSWORD_ALPHABET) for _ in range(4)) for _ in range(4))


def _set_password(session: Session, user: User, password: str, *, keep_session: int | None = None) -> None:
    user.password_hash = hasher().hash(password)
    drop_sessions(session, user_id=user.id, keep_session=keep_session)
    session.execute(delete(PasswordReset).where(PasswordReset.user_id == user.id))


def _verify(password_hash: str, password: str) -> bool:
    try:
        return hasher().verify(password_hash, password[:1001])
    except (VerificationError, InvalidHashError, UnicodeEncodeError):
        return False


def _email(text: str) -> str:
    address = _folded(text)
    local, at, host = address.rpartition("@")
    odd = any(char.isspace() or not char.isprintable() or char in '"(),:;<>[]\\' for char in address)
    if not at or not local or not host or odd or "@" in local or len(address) > _LONGEST_EMAIL:
        raise PersonRefused("email", "Type an e-mail address, such as ana@example.com.")
    return address


def _folded(email: str) -> str:
    """E-mails are compared and stored in lower case. NUL, which PostgreSQL can not hold, becomes a character that no
    e-mail has: left out, it would give one account many names, each with tries of its own."""
    return email.strip().lower().replace("\x00", "\ufffd")


def _user(session: Session, user_id: int) -> User:
    user = session.get(User, user_id)
    if user is None:
        raise UserNotFound(f"There is no user {user_id}.")
    return user


def _self(user: User) -> Actor:
    return Actor(kind="user", id=user.id, name=user.name, role=user.role)


@cache
def _dummy_hash() -> str:
    return hasher().hash(secrets.token_hex(16))
