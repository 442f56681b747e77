"""One span for each request, where traces are on: named by its method and route, never by its address.

A trace begins here. What a browser or a program sends as `traceparent` is not followed: anybody could send it.
"""

from contextlib import ExitStack

from flask import Flask, Response, g, request

from admin_flask.journal import QUIET
from core import traces
from core.observe import current_request


def register(app: Flask) -> None:
    """Span the requests of `app`, but those that the journal leaves out; add nothing where traces are off.

    Must come after the journal, which gives each request its id.
    """
    if traces.is_on():
        app.before_request(_begin)
        app.after_request(_answered)
        app.teardown_request(_end)


def _begin() -> None:
    if request.endpoint in QUIET:
        return
    route = request.url_rule.rule if request.url_rule else ""
    facts = {"http.request.method": request.method, "rastro.request": current_request()}
    if route:
        facts["http.route"] = route
    g.spans = ExitStack()
    name = f"{request.method} {route}".rstrip()
    g.span = g.spans.enter_context(traces.span(name, kind=traces.SERVER, facts=facts))


def _answered(response: Response) -> Response:
    if "span" in g:
        traces.answered(g.span, response.status_code)
    return response


def _end(_error: BaseException | None) -> None:
    if "spans" in g:
        g.pop("spans").close()
