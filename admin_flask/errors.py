"""Error pages: what happened, what became of it, and the way on."""

from flask import Flask, Response, make_response, render_template, request, url_for
from flask_babel import gettext
from flask_login import current_user
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from admin_flask.auth.door import sign_in_refused
from admin_flask.htmx import hx_whole_page
from admin_flask.kept import Kept, kept_now, kept_sent
from core.db.engine import is_away, is_in_doubt
from core.observe import current_request, logger

log = logger(__name__)
_DOOR = "auth.login"


def register(app: Flask) -> None:
    """Answer every error of `app` with a page of ours."""
    app.register_error_handler(CSRFError, _too_old)
    app.register_error_handler(HTTPException, _known)
    app.register_error_handler(SQLAlchemyError, _of_database)
    app.register_error_handler(Exception, _unknown)


def _too_old(error: CSRFError) -> Response:
    if request.endpoint == _DOOR:
        return sign_in_refused(gettext("This page was open too long. Sign in again."), status=419)
    kept = kept_sent() or kept_now()
    has_words = kept is not None and bool(kept.fields) and _is_signed_in()
    text = (
        gettext("What you typed is kept. Go back to it and save again.")
        if has_words
        else gettext("Go back and do it again.")
    )
    return _page(
        419,
        gettext("This page was open too long, so nothing was saved"),
        text,
        kept=kept if has_words else None,
        way=gettext("Back"),
        way_url=kept.shown_at if kept else None,
    )


def _known(error: HTTPException) -> Response:
    code = error.code or 500
    if error.response is not None:
        return make_response(error.response)
    if code == 429 and request.endpoint == _DOOR:
        return _wait(
            sign_in_refused(gettext("That were many tries. Wait a minute, then try again."), status=429)
        )
    title, text = _words(code)
    response = _page(code, title, text)
    if code == 405 and error.get_headers():
        response.headers["Allow"] = dict(error.get_headers()).get("Allow", "")
    return _wait(response) if code == 429 else response


def _of_database(error: SQLAlchemyError) -> Response:
    return _no_database(error) if is_away(error) else _unknown(error)


def _no_database(error: Exception) -> Response:
    log.error("manager.postgres_away", exc_info=error)
    kept = kept_now() if request.method == "POST" else None
    return _page(
        503,
        gettext("The database does not answer"),
        _in_doubt_words() if is_in_doubt(error) else _away_words(),
        kept=kept if kept and kept.fields else None,
        way=gettext("Try again"),
        way_url=kept.shown_at if kept else request.full_path.rstrip("?"),
    )


def _away_words() -> str:
    return gettext(
        "Short links still work and every click is kept. Try again in a moment; nothing was saved."
    )


def _in_doubt_words() -> str:
    """The connection went while it was being saved."""
    return gettext(
        "Short links still work and every click is kept. Its answer was lost on the way, so this is saved or it is "
        "not: look before you save again."
    )


def _unknown(error: Exception) -> Response:
    route = request.url_rule.rule if request.url_rule else ""  # a path can hold the secret of a new password
    log.error("manager.failed", route=route, exc_info=error)
    return _page(
        500,
        gettext("Something broke on our side"),
        gettext("Nothing was saved by this step. Give the reference to whoever runs Rastro."),
        number=current_request(),
    )


def _words(code: int) -> tuple[str, str]:
    return {
        403: (
            gettext("Your role does not allow this"),
            gettext("Nothing was changed. An administrator can do it, or change your role."),
        ),
        404: (
            gettext("There is no such page"),
            gettext("It was moved or deleted, or the address is not whole."),
        ),
        405: (
            gettext("This address can not be opened like that"),
            gettext("Nothing was changed. Use the buttons of the page it belongs to."),
        ),
        413: (gettext("That is too much for one form"), gettext("Nothing was saved. Send less at once.")),
        429: (gettext("That was a lot at once"), gettext("Wait a minute, then try again.")),
    }.get(code, (gettext("This request was not understood"), gettext("Nothing was changed.")))


def _page(
    status: int,
    title: str,
    text: str,
    *,
    kept: Kept | None = None,
    way: str | None = None,
    way_url: str | None = None,
    number: str | None = None,
) -> Response:
    inside = status != 503 and _is_signed_in()
    passed = [gettext("Signed in as %(name)s", name=current_user.name)] if inside else []
    values = {
        "title": title,
        "text": text,
        "passed": passed,
        "kept": kept,
        "way": way or gettext("To the start"),
        "way_url": way_url or url_for("start"),
        "number": number,
    }
    return hx_whole_page(render_template("errors/error.html", **values), status)


def _is_signed_in() -> bool:
    """False also while the database can not say: the page of an error must not fail itself."""
    try:
        return bool(current_user.is_authenticated)
    except SQLAlchemyError as error:
        if not is_away(error):
            raise
        return False


def _wait(response: Response) -> Response:
    response.headers["Retry-After"] = "60"
    return response
