"""Signed-in browsers. A token is opaque and only its SHA-256 is stored; a session ends after 12 idle hours, or 14 days
after it was opened where the person asked to stay signed in."""

import hashlib
import secrets
from datetime import datetime, timedelta
from ipaddress import ip_address
from typing import cast

from sqlalchemy import CursorResult, delete, select, update
from sqlalchemy.orm import Session, joinedload

from core.db.models import Session as SignIn
from core.db.models import User

IDLE = timedelta(hours=12)
KEPT = timedelta(days=14)
_TOUCH_AFTER = timedelta(minutes=1)  # a row is written once a minute, not once a request


def open_session(
    session: Session, *, user: User, now: datetime, ip: str = "", agent: str = "", keep: bool = False
) -> str:
    """Sign a browser in and return its token, which is stored nowhere. Old sessions of everybody are swept."""
    token = secrets.token_urlsafe(32)
    session.execute(delete(SignIn).where(SignIn.expires_at < now))
    session.add(
        SignIn(
            token_hash=hash_token(token),
            user_id=user.id,
            created_at=now,
            seen_at=now,
            expires_at=now + (KEPT if keep else IDLE),
            is_kept=keep,
            ip=_address(ip),
            user_agent=agent.replace("\x00", "")[:500] or None,
        )
    )
    session.execute(update(User).where(User.id == user.id).values(last_seen_at=now))
    session.commit()
    return token


def session_user(
    session: Session, *, token: str, now: datetime, touch: bool = True
) -> tuple[User, SignIn] | None:
    """Who sits at the browser with this token, and their session's row; None when it has ended.

    `touch` is False for what a page asks by itself: a tab that is only open keeps no session alive."""
    row = session.scalars(
        select(SignIn).where(SignIn.token_hash == hash_token(token)).options(joinedload(SignIn.user))
    ).one_or_none()
    if row is None or row.expires_at <= now or not row.user.is_active:
        return None
    if touch and now - row.seen_at >= _TOUCH_AFTER:
        values = {"seen_at": now} if row.is_kept else {"seen_at": now, "expires_at": now + IDLE}
        session.execute(update(SignIn).where(SignIn.id == row.id).values(values))
        session.execute(update(User).where(User.id == row.user_id).values(last_seen_at=now))
        session.commit()
    return row.user, row


def close_session(session: Session, *, token: str) -> None:
    """Sign the browser with this token out."""
    session.execute(delete(SignIn).where(SignIn.token_hash == hash_token(token)))
    session.commit()


def sessions_of(session: Session, *, user_id: int, now: datetime) -> list[SignIn]:
    """Where a person is signed in, the last seen first."""
    rows = select(SignIn).where(SignIn.user_id == user_id, SignIn.expires_at > now)
    return list(session.scalars(rows.order_by(SignIn.seen_at.desc(), SignIn.id.desc())))


def close_session_of(session: Session, *, user_id: int, session_id: int) -> bool:
    """Sign out one browser of this person; False when it was none of theirs or out already."""
    done = session.execute(delete(SignIn).where(SignIn.id == session_id, SignIn.user_id == user_id))
    session.commit()
    return cast("CursorResult[tuple[()]]", done).rowcount == 1


def close_other_sessions(session: Session, *, user_id: int, keep_session: int | None) -> None:
    """Sign out every browser of this person but one."""
    drop_sessions(session, user_id=user_id, keep_session=keep_session)
    session.commit()


def drop_sessions(session: Session, *, user_id: int, keep_session: int | None = None) -> None:
    """As `close_other_sessions`, within the caller's transaction."""
    gone = delete(SignIn).where(SignIn.user_id == user_id)
    session.execute(gone if keep_session is None else gone.where(SignIn.id != keep_session))


def hash_token(token: str) -> bytes:
    """What is stored of a random token: it needs no salt, and a leaked table opens nothing."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def _address(text: str) -> str | None:
    try:
        return str(ip_address(text))
    except ValueError:
        return None
