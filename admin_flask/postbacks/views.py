"""The inbox: every postback as it came, with what was made of it."""

from uuid import UUID

from flask import Response, make_response, render_template, request

from admin_flask.access import needs, polled, zone
from admin_flask.held import db, moment
from admin_flask.htmx import is_htmx, page_or_block
from admin_flask.nav import page_url
from admin_flask.postbacks import acting  # noqa: F401 (its views add themselves)
from admin_flask.postbacks.asked import read_asked
from admin_flask.postbacks.blueprint import blueprint
from admin_flask.postbacks.rows import list_url, read_inbox, seen_of
from admin_flask.postbacks.shown import Shown, shown_of
from core.services import postbacks as service

__all__ = ["blueprint"]


@blueprint.get("")
@needs("postbacks.view")
def index() -> Response:
    """The list; all of what is asked for is in the address."""
    return _page(None)


@blueprint.get("/<uuid:postback_id>")
@needs("postbacks.view")
def show(postback_id: UUID) -> Response | tuple[str, int]:
    """One postback, beside the list that it was opened in."""
    opened = service.open_postback(db.session(), postback_id)
    if opened is None:
        return render_template("postbacks/gone.html", back=list_url()), 404
    return _page(shown_of(opened))


@blueprint.get("/live")
@polled
@needs("postbacks.view")
def live() -> Response:
    """The list again, asked by the page itself; nothing (204) while it would say the same."""
    asked = read_asked(request.args, now=moment(), zone=zone())
    found = service.find_postbacks(db.session(), asked.as_service())
    if seen_of(found.rows) == request.args.get("seen"):
        return make_response("", 204)
    return page_or_block("postbacks/index.html", "list", inbox=read_inbox(opened=_opened()), polled=True)


def _page(detail: Shown | None) -> Response:
    return page_or_block(
        "postbacks/index.html",
        "inbox",
        inbox=read_inbox(opened=detail.id if detail else None),
        detail=detail,
        back=list_url(),
        test_href=_test_url(),
        new_search=is_htmx() and request.headers.get("HX-Trigger") != "find",
    )


def _test_url() -> str | None:
    """Where a postback can be tested: the source that is looked at, else all of them."""
    source = request.args.get("source", "")
    if source.isdecimal() and int(source):
        test = page_url("sources.test", "sources.view", source_id=int(source))
        if test:
            return test
    return page_url("sources.index", "sources.view")


def _opened() -> UUID | None:
    try:
        return UUID(request.args.get("open", ""))
    except ValueError:
        return None
