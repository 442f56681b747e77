"""Flask's extensions and how they are set: database, sign-in, CSRF, rate limits, language."""

from typing import Any

from flask import Flask, current_app, g, request
from flask_babel import Babel
from flask_limiter import Limiter
from flask_wtf.csrf import CSRFProtect

from admin_flask.access import Person, is_polled, login_manager, session_token, visitor_ip, zone
from admin_flask.held import db, held, hold_replica, moment
from core.config import Settings
from core.contracts import keys
from core.domain.networks import counted_as
from core.services.accounts import session_user
from core.services.redis_client import make_redis

LANGUAGES = ("en",)

_PATIENCE = {"timeout": 2.0, "connect_timeout": 0.5}
"""Where Redis takes longer, each process counts for itself and from nothing: who guesses gets as many tries again. A
Redis that is only slow must not give them away."""

csrf = CSRFProtect()
babel = Babel()


limiter = Limiter(lambda: counted_as(visitor_ip()), in_memory_fallback_enabled=True)


def register(app: Flask) -> None:
    """Bind every extension to `app`."""
    settings: Settings = app.extensions["rastro"].settings
    app.config.update(
        SQLALCHEMY_DATABASE_URI=settings.database_url,
        WTF_CSRF_TIME_LIMIT=None,  # a token lives as long as its session, so a page may stay open all day
        RATELIMIT_STORAGE_URI="redis://" if settings.redis_url else "memory://",
        RATELIMIT_STORAGE_OPTIONS=_counters(settings.redis_url),
        RATELIMIT_ENABLED=settings.login_rate > 0,
        BABEL_DEFAULT_LOCALE="en",
    )
    db.init_app(app)
    hold_replica(app)
    login_manager.init_app(app, add_context_processor=False)  # it would ask the database on error pages too
    login_manager.request_loader(_load_person)
    csrf.init_app(app)
    limiter.init_app(app)
    babel.init_app(app, locale_selector=_language, timezone_selector=zone)


def login_rate() -> str:
    """How often a password may be tried, as the limiter reads it."""
    return f"{held().settings.login_rate} per minute"


def _load_person(_: object) -> Person | None:
    token = session_token()
    if token is None:
        return None
    g._login_user = (
        login_manager.anonymous_user()
    )  # when the database fails, its error page must not ask it again
    by_itself = is_polled(current_app.view_functions.get(request.endpoint or ""))
    found = session_user(db.session(), token=token, now=moment(), touch=not by_itself)
    if found is None:
        return None
    user, row = found
    return Person(
        id=user.id,
        name=user.name,
        email=user.email,
        role=user.role,
        time_zone=user.time_zone,
        session_id=row.id,
    )


def _language() -> str:
    return request.accept_languages.best_match(LANGUAGES, LANGUAGES[0]) if request else LANGUAGES[0]


def _counters(redis_url: str) -> dict[str, Any]:
    """Where the limiter counts: over a client like all others, since its own reads fewer forms of addresses."""
    if not redis_url:
        return {}
    client = make_redis(redis_url, **_PATIENCE)
    return {"connection_pool": client.connection_pool, "key_prefix": keys.RATE_LIMITS}
