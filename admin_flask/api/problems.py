"""Errors of the API as problem+json (RFC 9457). Whatever goes wrong below /api is answered here, and only there."""

import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from admin_flask.api.shapes import link_json
from core.db.engine import is_away, is_in_doubt
from core.db.reports import UnknownDimension
from core.domain.periods import PeriodError
from core.domain.urls import DestinationRefused, SlugRefused
from core.observe import current_request, logger
from core.services.domain_settings import DomainRefused
from core.services.domains import DomainNotFound
from core.services.links import LinkNotFound, LinkRefused, SlugTaken, StaleVersion

log = logger(__name__)

PROBLEM = "application/problem+json"
PREFIX = "/api/"
_WORDS = {
    "Missing data for required field.": "This is required.",
    "Field may not be null.": "This can not be null.",
    "Not a valid string.": "This must be text.",
    "Not a valid integer.": "This must be a whole number.",
    "Not a valid list.": "This must be a list.",
    "Not a valid mapping type.": "This must be an object.",
    "Not a valid boolean.": "This must be true or false.",
    "Not a valid aware datetime.": "This must be a time with its zone, such as 2026-11-27T09:00:00-03:00.",
    "Not a valid datetime.": "This must be a time with its zone, such as 2026-11-27T09:00:00-03:00.",
    "Unknown field.": "There is no such field.",
    "Invalid input type.": "Send a JSON object.",
}
_DETAILS = {
    400: "The body is not JSON.",
    404: "There is nothing at this address.",
    405: "This address does not take this method.",
    413: "The body is larger than the API takes.",
    415: "Send JSON, with Content-Type: application/json.",
}


class Problem(Exception):
    """An error that a view found itself; `more` are members beside the usual ones."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}
        self.more = more or {}


class FieldProblem(Problem):
    """One field of body or query can not be taken; `suggestion` is what may have been meant."""

    def __init__(self, field: str, message: str, *, suggestion: str | None = None) -> None:
        more: dict[str, object] = {"errors": [{"field": field, "message": message}]}
        if suggestion:
            more["suggestion"] = suggestion
        super().__init__(422, f"{field}: {message}", more=more)


def register(app: Flask) -> None:
    """Answer errors below /api here and all others as before. Must come after every other error handler."""
    for handlers in app.error_handler_spec[None].values():
        for kind, page in handlers.items():
            handlers[kind] = _choose(page)
    app.after_request(_no_pages)


def is_api() -> bool:
    """True for a request that a program sent, by its path alone."""
    return request.path.startswith(PREFIX)


def _choose(page: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def answer(error: Exception) -> Any:
        return _respond(_problem_of(error)) if is_api() else page(error)

    return answer


def _problem_of(error: Exception) -> Problem:
    """What to say for any exception there is."""
    match error:
        case Problem():
            return error
        case HTTPException():
            return _of_http(error)
        case SlugTaken():
            return _of_taken(error)
        case StaleVersion():
            current = {"editor": error.editor, "current": link_json(error.current)}
            return Problem(409, str(error), more={"code": "stale_version", **current})
        case SlugRefused():
            return FieldProblem("slug", error.message)
        case DestinationRefused():
            return FieldProblem("url", error.message, suggestion=error.suggestion)
        case LinkRefused():
            field = {"campaign": "campaign_id"}.get(error.field, error.field)
            return FieldProblem(field, error.message)
        case DomainRefused():
            return FieldProblem(error.field, error.message)
        case DomainNotFound():
            return FieldProblem("domain", str(error))
        case LinkNotFound():
            return Problem(404, str(error))
        case PeriodError():
            return FieldProblem("interval" if "interval" in str(error) else "from", str(error))
        case UnknownDimension():
            return FieldProblem("by", str(error))
        case SQLAlchemyError() if is_away(error):
            log.error("postgres_away", exc_info=error)
            text = "The database does not answer. Short links still work. Try again in a moment."
            if is_in_doubt(error):
                text = "The database's answer was lost, so this may be saved or not: look before you send it again."
            return Problem(503, text, headers={"Retry-After": "5"})
    log.error("api_failed", route=request.url_rule.rule if request.url_rule else "", exc_info=error)
    return Problem(500, "Something broke on our side. Nothing was saved by this request.")


def _of_taken(error: SlugTaken) -> Problem:
    more = {
        "code": "slug_taken",
        "errors": [{"field": "slug", "message": str(error)}],
        "link_id": error.link_id or None,
        "suggestion": error.suggestion or None,
    }
    return Problem(409, str(error), more=more)


def _of_http(error: HTTPException) -> Problem:
    code = error.code or 500
    messages = getattr(error, "data", {}).get("messages")
    if code == 422 and isinstance(messages, Mapping):
        errors = [found for part in messages.values() for found in _flat(part, "")]
        return Problem(422, "Some fields can not be taken.", more={"errors": errors})
    kept = {name: value for name, value in error.get_headers() if name in ("Allow", "Retry-After")}
    return Problem(code, _DETAILS.get(code, HTTPStatus(code).description or error.name), headers=kept)


def _flat(messages: object, path: str) -> list[dict[str, str]]:
    """Marshmallow's nested messages as a list: `tags.0` names the first tag."""
    if isinstance(messages, Mapping):
        found = []
        for name, inner in messages.items():
            step = "" if name == "_schema" else str(name)
            found += _flat(inner, f"{path}.{step}" if path and step else path or step)
        return found
    texts = messages if isinstance(messages, list) else [messages]
    return [{"field": path, "message": _WORDS.get(str(text), str(text))} for text in texts]


def _respond(problem: Problem) -> Response:
    body = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        **problem.more,
    }
    if problem.status >= 500:
        body["request_id"] = current_request()
    response = Response(json.dumps(body), problem.status, mimetype=PROBLEM)
    response.headers.extend(problem.headers)
    return response


def _no_pages(response: Response) -> Response:
    """Guards that stand before every view answer with pages; a program gets their status as a problem."""
    if not is_api() or response.status_code < 400 or response.mimetype == PROBLEM:
        return response
    text = response.get_data(as_text=True).strip() if response.mimetype == "text/plain" else ""
    detail = text or HTTPStatus(response.status_code).description
    return _respond(Problem(response.status_code, detail))
