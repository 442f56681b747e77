"""What every template may use beside the values of its view."""

from typing import Any

from flask import Flask, request
from flask_babel import get_locale
from flask_login import current_user

from admin_flask.addresses import static_url, url_with
from admin_flask.freshness.reading import read_freshness
from admin_flask.held import held, moment
from admin_flask.nav import SETTINGS, navigation, page_url, role_name, role_text, shown
from admin_flask.toasts import waiting_toasts

THEMES = ("auto", "light", "dark")


def register(app: Flask) -> None:
    """Give templates the functions and values of this file."""
    app.context_processor(_values)
    app.jinja_env.globals.update(
        static_url=static_url,
        url_with=url_with,
        navigation=navigation,
        page_url=page_url,
        role_name=role_name,
        role_text=role_text,
        settings_pages=lambda: shown(SETTINGS),
        waiting_toasts=waiting_toasts,
        freshness=lambda: read_freshness(held().redis, now=moment()),
    )
    app.jinja_env.globals["ui"] = app.jinja_env.get_template("_macros.html").module


def _values() -> dict[str, Any]:
    return {
        "me": current_user,
        "org_name": held().settings.org_name,
        "language": str(get_locale() or "en").replace("_", "-"),
        "theme": theme(),
    }


def theme() -> str:
    """Light or dark as the person chose in this browser; "auto" follows the system."""
    value = request.cookies.get("theme", "auto")
    return value if value in THEMES else "auto"
