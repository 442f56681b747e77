"""Who calls the API: a key in the Authorization header, never a cookie. Its role's rights, and how often it may ask."""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar, cast

from flask import g, request
from redis import RedisError

from admin_flask.access import open_to_all, visitor_ip
from admin_flask.api.problems import Problem
from admin_flask.held import db, held, moment
from core.contracts import keys
from core.domain.permissions import may
from core.observe import logger
from core.services.accounts import key_for
from core.services.actor import Actor

log = logger(__name__)

_View = TypeVar("_View", bound=Callable[..., object])
_MINUTE = 60


def with_key(permission: str) -> Callable[[_View], _View]:
    """Let a view run only for a key whose role has `permission`: else 401, 403, or 429 when it asked too often.

    The permission must be in the table of core.domain.permissions; a typo fails when the module is imported.
    """
    may("admin", permission)

    def guard(view: _View) -> _View:
        @open_to_all  # what stands before every page asks for a session; here a key is asked for
        @wraps(view)
        def guarded(*args: object, **kwargs: object) -> object:
            actor = _who()
            _not_too_often(actor)
            if not may(actor.role, permission):
                raise Problem(403, f"A key with the role {actor.role} may not do this.")
            _wants_json()
            g.api_actor = actor
            return view(*args, **kwargs)

        return cast(_View, guarded)

    return guard


def caller() -> Actor:
    """The key that asks. Call it only behind `with_key`."""
    return cast(Actor, g.api_actor)


def _who() -> Actor:
    scheme, _, plain = request.headers.get("Authorization", "").partition(" ")
    plain = plain.strip()
    if scheme.lower() != "bearer" or not plain:
        raise Problem(
            401,
            "Send your key in the header Authorization: Bearer KEY.",
            headers={"WWW-Authenticate": 'Bearer realm="Rastro"'},
        )
    key = key_for(db.session(), plain=plain, now=moment())
    if key is None:
        raise Problem(
            401,
            "There is no such key, or it was revoked.",
            headers={"WWW-Authenticate": 'Bearer realm="Rastro", error="invalid_token"'},
        )
    return Actor(kind="key", id=key.id, name=key.name, role=key.role, ip=visitor_ip() or None)


def _not_too_often(actor: Actor) -> None:
    """API_RATE requests a minute and key. Without Redis nothing is counted: a known key is let in."""
    rate = held().settings.api_rate
    if not rate or actor.id is None:
        return
    seconds = int(moment().timestamp())
    name = keys.api_rate(actor.id, seconds // _MINUTE)
    try:
        with held().redis.pipeline(transaction=False) as pipe:
            pipe.incr(name)
            pipe.expire(name, keys.API_RATE_TTL_S)
            asked = int(pipe.execute()[0])
    except RedisError as error:
        log.warning("api_rate_not_counted", reason=str(error))
        return
    if asked > rate:
        wait = _MINUTE - seconds % _MINUTE
        raise Problem(
            429,
            f"This key may ask {rate:,} times a minute. Try again in {wait} s.",
            headers={"Retry-After": str(wait)},
        )


def _wants_json() -> None:
    if request.method in ("POST", "PATCH", "PUT") and request.mimetype != "application/json":
        raise Problem(415, "Send JSON, with Content-Type: application/json.")
