"""Who asks, and may they: the current person, `@needs(permission)`, and sign-in required by default."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TypeVar, cast
from zoneinfo import ZoneInfo

from flask import Response, abort, request
from flask_login import LoginManager, UserMixin, current_user

from admin_flask.held import held
from core.domain.networks import visitor_address
from core.domain.permissions import may
from core.services.actor import Actor

_View = TypeVar("_View", bound=Callable[..., object])

KEEP_S = 14 * 24 * 3600
_COOKIE = "rastro_sid"

login_manager = LoginManager()


@dataclass(frozen=True, slots=True)
class Person(UserMixin):
    """The signed-in person, as pages see them. `session_id` is the row of the browser they sit at."""

    id: int
    name: str
    email: str
    role: str
    time_zone: str | None
    session_id: int

    def may(self, permission: str) -> bool:
        """True when this person's role has `permission`."""
        return may(self.role, permission)

    @property
    def initials(self) -> str:
        """Two letters for the round mark: first and last name, or the first two letters."""
        words = self.name.split() or [self.email]
        letters = words[0][:1] + words[-1][:1] if len(words) > 1 else words[0][:2]
        return letters.upper()


def me() -> Person:
    """The signed-in person. Call it only where sign-in is required."""
    return cast(Person, current_user._get_current_object())


def acting() -> Actor:
    """The signed-in person as services write them beside a change."""
    person = me()
    return Actor(kind="user", id=person.id, name=person.name, role=person.role, ip=visitor_ip() or None)


def visitor_ip() -> str:
    """Address of whoever asks, behind the proxies that are ours; "" over a unix socket that forwards none."""
    address = visitor_address(
        request.remote_addr or "",
        request.headers.get("X-Forwarded-For", ""),
        held().settings.trusted_proxies,
    )
    return address.partition("%")[0]  # the interface of a link-local address says nothing to the database


def session_token() -> str | None:
    """The secret that this browser was given when it signed in. It has a cookie of its own, not signed by
    SECRET_KEY, so that a new key ends no session."""
    return request.cookies.get(_COOKIE) or None


def remember(response: Response, token: str, *, keep: bool) -> None:
    """Give the browser its secret, until it closes or (`keep`) for 14 days."""
    response.set_cookie(
        _COOKIE,
        token,
        max_age=KEEP_S if keep else None,
        secure=request.is_secure,
        httponly=True,
        samesite="Lax",
    )


def forget(response: Response) -> None:
    """Take the secret back."""
    response.delete_cookie(_COOKIE, secure=request.is_secure, httponly=True, samesite="Lax")


def needs(permission: str) -> Callable[[_View], _View]:
    """Let a view run only for people whose role has `permission`; others get 403. Who is not signed in has met the
    sign-in page before, as on every view.

    The permission must be in the table of core.domain.permissions; a typo fails when the module is imported.
    """
    may("admin", permission)

    def guard(view: _View) -> _View:
        @wraps(view)
        def guarded(*args: object, **kwargs: object) -> object:
            if not me().may(permission):
                abort(403)
            return view(*args, **kwargs)

        return cast(_View, guarded)

    return guard


def open_to_all(view: _View) -> _View:
    """Mark a view that needs no sign-in. Every other view of the manager does, without saying so."""
    view.open_to_all = True  # type: ignore[attr-defined]
    return view


def polled(view: _View) -> _View:
    """Mark a view that pages ask for by themselves: it keeps no session alive."""
    view.polled = True  # type: ignore[attr-defined]
    return view


def is_polled(view: object) -> bool:
    """True for views marked so."""
    return bool(getattr(view, "polled", False))


def is_open(endpoint: str | None, view: object) -> bool:
    """True when the endpoint may be seen without signing in: static files and views marked so."""
    return endpoint == "static" or bool(getattr(view, "open_to_all", False))


def zone() -> ZoneInfo:
    """The time zone of whoever looks: their own choice, else the organisation's."""
    own = getattr(current_user, "time_zone", None) if request else None
    return ZoneInfo(own) if own else held().settings.tz_default
