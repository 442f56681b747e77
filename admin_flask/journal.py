"""One log line for each answer: which view, how long, for whom. Never an address with its query or a secret path."""

import time

from flask import Flask, Response, g, request
from flask_login import current_user

from core.observe import logger

log = logger(__name__)
_QUIET = ("static", "freshness.fragment", "health.livez", "health.readyz")


def register(app: Flask) -> None:
    """Log every answer of `app` but probes, static files and the dot."""
    app.before_request(_start)
    app.after_request(_write)


def _start() -> None:
    g.started = time.perf_counter()


def _write(response: Response) -> Response:
    if request.endpoint in _QUIET:
        return response
    log.info(
        "manager.answered",
        method=request.method,
        view=request.endpoint or "",
        route=request.url_rule.rule if request.url_rule else "",
        status=response.status_code,
        ms=round((time.perf_counter() - g.started) * 1000, 1) if "started" in g else None,
        person=current_user.id if "_login_user" in g and current_user.is_authenticated else None,
    )
    return response
