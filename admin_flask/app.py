"""The manager: every part of it is named here once."""

from collections.abc import Callable
from datetime import UTC, datetime

from flask import Flask, Response, make_response, redirect, url_for
from redis import Redis
from whitenoise import WhiteNoise

from admin_flask import errors, extensions, filters, journal, pages, security, traces
from admin_flask.account.views import blueprint as account
from admin_flask.addresses import STATIC, TEMPLATES
from admin_flask.api.views import register_api
from admin_flask.auth.views import blueprint as auth
from admin_flask.freshness.views import blueprint as freshness
from admin_flask.health.views import blueprint as health
from admin_flask.held import Held, in_thread
from admin_flask.links.views import blueprint as links
from admin_flask.nav import page_url
from admin_flask.queues.views import blueprint as queues
from admin_flask.sending.views import blueprint as sending
from admin_flask.settings.views import blueprint as settings_pages
from admin_flask.sources.views import blueprint as sources
from core.config import Settings
from core.services.mail import Sender, make_mailer
from core.services.redis_client import make_redis

BLUEPRINTS = (health, auth, account, freshness, links, queues, settings_pages, sources, sending)
YEAR_S = 365 * 24 * 3600
LARGEST_FORM = 512 * 1024


def create_app(
    settings: Settings,
    *,
    clock: Callable[[], datetime] | None = None,
    mailer: Sender | None = None,
    redis: "Redis | None" = None,
    later: Callable[[Callable[[], None]], None] = in_thread,
) -> Flask:
    """The manager over `settings`. Tests hand in a clock, a mailer, a Redis client, and run at once what is to come
    `later`; nothing connects yet."""
    app = Flask("rastro", static_folder=STATIC, static_url_path="/static", template_folder=TEMPLATES)
    app.extensions["rastro"] = Held(
        settings=settings,
        redis=redis or make_redis(settings.redis_url),
        clock=clock or _now,
        mailer=mailer or make_mailer(settings),
        later=later,
    )
    app.config.update(
        SECRET_KEY=settings.secret_key,
        MAX_CONTENT_LENGTH=LARGEST_FORM,
        SESSION_COOKIE_NAME="rastro",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=settings.admin_url.startswith("https://"),
        PREFERRED_URL_SCHEME=settings.admin_url.partition(":")[0],
    )
    app.jinja_options = {"trim_blocks": True, "lstrip_blocks": True}
    journal.register(app)
    traces.register(app)
    security.register(app)
    extensions.register(app)
    filters.register(app)
    pages.register(app)
    errors.register(app)
    for blueprint in BLUEPRINTS:
        app.register_blueprint(blueprint)
    register_api(app)
    app.add_url_rule("/", "start", start)
    app.wsgi_app = security.TrueScheme(  # type: ignore[method-assign]
        WhiteNoise(
            app.wsgi_app,
            root=STATIC,
            prefix="static/",
            max_age=YEAR_S,
            add_headers_function=security.static_headers,
        ),
        app.config["PREFERRED_URL_SCHEME"],
    )
    return app


def start() -> Response:
    """The first page of who signs in: the links."""
    first = page_url("links.index", "links.view") or url_for("account.profile")
    return make_response(redirect(first, 303))


def _now() -> datetime:
    return datetime.now(UTC)
