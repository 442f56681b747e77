"""One press, one deed: pause, resume, archive, restore, delete. Each offers to be undone."""

from collections.abc import Callable
from functools import partial

from flask import Response, abort, request, url_for
from flask_babel import gettext

from admin_flask.access import acting, needs
from admin_flask.addresses import came_from
from admin_flask.held import db, held, moment
from admin_flask.htmx import hx_redirect, is_htmx, page_or_block
from admin_flask.link_names import title_of
from admin_flask.links.blueprint import blueprint
from admin_flask.links.rows import rows_of
from admin_flask.toasts import say
from core.db.models import Link
from core.services import links as service

_STATES = ("live", "paused", "archived")


@blueprint.post("/<row:link_id>/pause")
@needs("links.edit")
def pause(link_id: int) -> Response:
    """Visitors read that it is not open now."""
    link = _do(service.pause_link, link_id)
    say(
        gettext("“%(title)s” is paused.", title=title_of(link)), undo=url_for("links.resume", link_id=link_id)
    )
    return _answer(link)


@blueprint.post("/<row:link_id>/resume")
@needs("links.edit")
def resume(link_id: int) -> Response:
    """It leads to its destination again."""
    link = _do(service.resume_link, link_id)
    say(gettext("“%(title)s” is live.", title=title_of(link)), undo=url_for("links.pause", link_id=link_id))
    return _answer(link)


@blueprint.post("/<row:link_id>/archive")
@needs("links.edit")
def archive(link_id: int) -> Response:
    """Out of the lists: visitors read that it is gone, its clicks stay."""
    before = _state_of(link_id)
    link = _do(service.archive_link, link_id)
    _say_with_way_back(gettext("“%(title)s” is archived.", title=title_of(link)), link_id, before)
    return _answer(link)


@blueprint.post("/<row:link_id>/delete")
@needs("links.delete")
def delete(link_id: int) -> Response:
    """Out of every list. The row, its slug and its clicks stay, so that it can be undone."""
    before = _state_of(link_id)
    link = _do(service.delete_link, link_id)
    _say_with_way_back(gettext("“%(title)s” is deleted.", title=title_of(link)), link_id, before)
    return _answer(link)


@blueprint.post("/<row:link_id>/restore")
@needs("links.edit")
def restore(link_id: int) -> Response:
    """An archived or deleted link comes back: live, or in the `state` that an Undo names."""
    state = request.form.get("state", "live")
    if state not in _STATES:
        abort(400)
    link = _do(partial(service.restore_link, state=state), link_id)
    text = gettext("“%(title)s” is live.", title=title_of(link)) if state == "live" else gettext("Undone.")
    say(text)
    return _answer(link)


def _do(verb: Callable[..., Link], link_id: int) -> Link:
    try:
        return verb(db.session(), link_id=link_id, actor=acting(), now=moment(), redis=held().redis)
    except service.LinkNotFound:
        abort(404)


def _state_of(link_id: int) -> str:
    try:
        return service.get_link(db.session(), link_id=link_id).state
    except service.LinkNotFound:
        abort(404)


def _say_with_way_back(text: str, link_id: int, state: str) -> None:
    say(text, undo=url_for("links.restore", link_id=link_id), fields={"state": state})


def _answer(link: Link) -> Response:
    """The row anew where the list asked for it; else back to the page that the button was on."""
    if is_htmx() and request.headers.get("HX-Target") == f"link-{link.id}":
        return page_or_block("links/_row.html", "row", row=rows_of([link])[0])
    here = came_from()
    gone = link.state == "deleted" and here.startswith(url_for("links.detail", link_id=link.id))
    return hx_redirect(url_for("links.index") if gone else here)
