"""One log line for each answer, and a count: which view, how long, for whom.

Never an address with its query or a secret path. Every request has an id, the one that a load balancer or a program
sent with it or a new one. It is in each line that is logged for it, here and by the workers, and goes back as
`X-Request-ID`: who reports an error names it.
"""

import re
import secrets
import time

from flask import Flask, Response, g, request
from flask_login import current_user

from admin_flask.metrics import ANSWERED, SECONDS
from core.observe import begin_request, current_request, end_request, logger

log = logger(__name__)
HEADER = "X-Request-ID"
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
QUIET = ("static", "freshness.fragment", "health.livez", "health.readyz")
"""Views that browsers and probes ask for all day by themselves."""


def register(app: Flask) -> None:
    """Log and count every answer of `app` but probes, static files and the dot."""
    app.before_request(_start)
    app.after_request(_write)
    app.teardown_request(_end)


def _start() -> None:
    g.started = time.perf_counter()
    sent = request.headers.get(HEADER, "")
    begin_request(sent if _ID.fullmatch(sent) else secrets.token_hex(8))


def _end(_error: BaseException | None) -> None:
    end_request()


def _write(response: Response) -> Response:
    response.headers[HEADER] = current_request()
    if request.endpoint in QUIET:
        return response
    took = time.perf_counter() - g.started if "started" in g else None
    ANSWERED.labels(view=request.endpoint or "", status=response.status_code).inc()
    if took is not None:
        SECONDS.observe(took)
    log.info(
        "manager.answered",
        method=request.method,
        view=request.endpoint or "",
        route=request.url_rule.rule if request.url_rule else "",
        status=response.status_code,
        ms=None if took is None else round(took * 1000, 1),
        person=current_user.id if "_login_user" in g and current_user.is_authenticated else None,
    )
    return response
