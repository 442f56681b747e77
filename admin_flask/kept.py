"""What was typed is kept when a form can not be taken: the session ended, or its token was too old.

The answer to such a POST is a page (sign-in, or "open too long") that carries the typed fields along in one hidden
field. From there they become a draft, and the form's own page opens with the draft filled in. Nothing is ever sent
again by itself, and passwords and files are never carried. A draft belongs to one person and lives an hour.
"""

import secrets
from dataclasses import dataclass

import msgspec
from flask import Response, current_app, redirect, request
from flask_babel import gettext
from flask_login import current_user
from redis import RedisError
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

from admin_flask.access import me
from admin_flask.addresses import local_path
from admin_flask.held import held
from admin_flask.toasts import say
from core.contracts import keys

FIELD = "kept"
"""Name of the hidden field that carries what was typed."""
QUERY = "draft"
_LARGEST = 128 * 1024
_NEVER = ("password", "csrf_token", "secret", FIELD)


@dataclass(frozen=True, slots=True)
class Kept:
    """The path a form was sent to, where it was shown, and its fields in their order."""

    path: str
    shown_at: str
    fields: tuple[tuple[str, str], ...]

    def text(self) -> str:
        """For the hidden field."""
        return msgspec.json.encode(self).decode()


def kept_now() -> Kept | None:
    """What this request's form holds, to be carried along; None when it is no form of a page of ours."""
    if request.method != "POST" or request.mimetype not in (
        "application/x-www-form-urlencoded",
        "multipart/form-data",
    ):
        return None
    fields = tuple((name, value) for name, value in request.form.items(multi=True) if not _is_secret(name))
    kept = Kept(path=request.path, shown_at=_shown_at(), fields=fields)
    return kept if len(kept.text()) <= _LARGEST else None


def kept_sent() -> Kept | None:
    """What a carrying page sent along, None when nothing or nothing readable was sent."""
    text = request.form.get(FIELD, "")
    if not text or len(text) > _LARGEST * 2:
        return None
    try:
        kept = msgspec.json.decode(text, type=Kept)
    except msgspec.MsgspecError:
        return None
    if local_path(kept.path) != kept.path or local_path(kept.shown_at) is None:
        return None
    return kept


def give_back(kept: Kept, *, person_id: int) -> Response | None:
    """Go to the form's page, filled with what was typed; None when Redis can not hold it meanwhile.

    Where the path shows no form (a button such as Pause), go back to the page it was on and say that nothing was done.
    """
    if not _answers_get(kept.path):
        say(
            gettext("You were signed out, so nothing was changed. Do it again if you still want it."),
            tone="bad",
        )
        return _see(kept.shown_at)
    token = secrets.token_urlsafe(18)
    try:
        held().redis.set(
            keys.form_draft(person_id, token), msgspec.msgpack.encode(kept), ex=keys.FORM_DRAFT_TTL_S
        )
    except RedisError:
        return None
    say(gettext("Nothing was saved yet. What you typed is here again: look it over and save."))
    return _see(f"{kept.path}?{QUERY}={token}")


def draft() -> MultiDict[str, str] | None:
    """The draft that this page's address names, for its form to be filled with; None when there is none.

    A draft is shown only to its person and only at the path it was typed for.
    """
    token = request.args.get(QUERY, "")
    if request.method != "GET" or not token or len(token) > 64 or not current_user.is_authenticated:
        return None
    try:
        raw = held().redis.get(keys.form_draft(me().id, token))
    except RedisError:
        return None
    if not isinstance(raw, bytes):
        return None
    kept = msgspec.msgpack.decode(raw, type=Kept)
    return MultiDict(kept.fields) if kept.path == request.path else None


def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in _NEVER)


def _shown_at() -> str:
    """The page the form was on: the path that answers GET, else where the browser came from, else the start."""
    if _answers_get(request.path):
        return request.path
    origin = request.host_url.rstrip("/")
    source = request.headers.get("HX-Current-URL") or request.referrer or ""
    path = source.removeprefix(origin) if source.startswith(origin + "/") else ""
    return local_path(path) or "/"


def _answers_get(path: str) -> bool:
    adapter = current_app.create_url_adapter(request)
    if adapter is None:
        return False
    try:
        endpoint, _ = adapter.match(path, method="GET")
    except RequestRedirect:
        return False
    except HTTPException:
        return False
    return endpoint != "static"


def _see(path: str) -> Response:
    return current_app.make_response(redirect(path, 303))
