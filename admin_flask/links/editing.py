"""The editor: make a link, change a link, and what is said about its slug while one types."""

from collections.abc import Mapping
from random import SystemRandom
from typing import Any

from flask import Response, abort, make_response, render_template, request, url_for
from flask_babel import gettext
from wtforms import Field

from admin_flask.access import acting, needs
from admin_flask.forms import put_error
from admin_flask.held import db, held, moment
from admin_flask.htmx import hx_redirect, page_or_block
from admin_flask.links.blueprint import blueprint
from admin_flask.links.forms import LinkForm, split_tags
from admin_flask.links.shown import show_link
from admin_flask.links.slugs import Note, slug_notes, taken_note
from admin_flask.links.versions import Conflict, conflict_of, fields_at, trail_of
from admin_flask.toasts import say
from core.db.models import Link
from core.domain.urls import new_slug
from core.services import links as service
from core.services.link_choices import link_choices
from core.services.link_words import check_notes, check_tags, check_title

_REFUSALS = (service.DestinationRefused, service.SlugRefused, service.SlugTaken, service.LinkRefused)


@blueprint.route("/new", methods=["GET", "POST"])
@needs("links.edit")
def new() -> Response:
    """Make a link. What can not be taken comes back as it was typed, with status 422."""
    form = _offer(LinkForm(data={"url": request.args.get("url", "")}))
    if not form.is_submitted() or _chose_otherwise(form):
        return _page(form)
    if not form.validate():
        return _page(form, status=422)
    try:
        link = service.create_link(
            db.session(), **_typed(form), actor=acting(), now=moment(), redis=held().redis
        )
    except _REFUSALS as refused:
        return _refused(form, refused)
    say(gettext("The link is live."))
    return hx_redirect(url_for("links.detail", link_id=link.id))


@blueprint.route("/<row:link_id>/edit", methods=["GET", "POST"])
@needs("links.edit")
def edit(link_id: int) -> Response:
    """Change a link, if nobody else did meanwhile; else both versions are shown and nothing is saved.

    `over` is the version that a person chose to save over after they compared: only fields that they touched are sent.
    """
    link = _found(link_id)
    form = _offer(LinkForm(data=_saved(link)), link)
    if not form.is_submitted() or _chose_otherwise(form):
        return _page(form, link)
    if not form.validate():
        return _page(form, link, status=422)
    seen, over = _number(form.version.data), _number(request.form.get("over"))
    base = fields_at(link_id, seen)
    try:
        typed = _typed(form)
        service.edit_link(
            db.session(),
            link_id=link_id,
            **(_touched(typed, base, form) if over else typed),
            version=over or seen,
            actor=acting(),
            now=moment(),
            redis=held().redis,
        )
    except service.StaleVersion as stale:
        conflict = conflict_of(
            stale, mine=_as_history(typed, form), base=base, campaigns=dict(form.campaign_id.choices)
        )
        return _page(form, stale.current, conflict=conflict, status=422)
    except service.LinkNotFound:
        abort(404)
    except _REFUSALS as refused:
        return _refused(form, refused, _found(link_id))
    say(gettext("Saved. It works on every server within a second."))
    return hx_redirect(url_for("links.detail", link_id=link_id))


@blueprint.get("/slug")
@needs("links.edit")
def slug() -> Response:
    """What there is to say about a slug; asked when a person leaves the field."""
    link_id = _number(request.args.get("link_id"))
    link = _found(link_id) if link_id else None
    notes = _notes(_offer(LinkForm(request.args, meta={"csrf": False}), link), link)
    return make_response(render_template("links/_slug_note.html", slug_notes=notes))


def _page(
    form: LinkForm,
    link: Link | None = None,
    *,
    conflict: Conflict | None = None,
    notes: list[Note] | None = None,
    instead: str = "",
    status: int = 200,
) -> Response:
    saved, history = trail_of(link.id) if link else (None, [])
    slug_says = _notes(form, link) if notes is None else notes
    if form.is_submitted() and any(note.is_error for note in slug_says) and not form.slug.errors:
        put_error(form.slug, slug_says[0].text)
    return page_or_block(
        "links/edit.html",
        "form",
        status=status,
        form=form,
        link=show_link(link) if link else None,
        action=url_for("links.edit", link_id=link.id) if link else url_for("links.new"),
        saved=saved,
        history=history,
        conflict=conflict,
        slug_notes=slug_says,
        slug_check=url_for("links.slug", link_id=link.id if link else None),
        instead=instead,
    )


def _refused(form: LinkForm, refused: Exception, link: Link | None = None) -> Response:
    """The form as it was typed, with what the service said at the field it is about."""
    notes, instead = None, ""
    if isinstance(refused, service.SlugTaken):
        put_error(form.slug, str(refused))
        notes = [taken_note(refused)]
    elif isinstance(refused, service.DestinationRefused):
        put_error(form.url, refused.message)
        instead = refused.suggestion or ""
    elif isinstance(refused, service.SlugRefused):
        put_error(form.slug, refused.message)
        notes = [Note(refused.message, tone="err")]
    elif isinstance(refused, service.LinkRefused):
        put_error(_field_of(form, refused.field), refused.message)
    return _page(form, link, notes=notes, instead=instead, status=422)


def _field_of(form: LinkForm, name: str) -> Field:
    return form[{"domain": "domain_id", "campaign": "campaign_id"}.get(name, name)]


def _offer(form: LinkForm, link: Link | None = None) -> LinkForm:
    """Give the form its choices, the domain and campaign of `link` among them, however many there are."""
    choices = link_choices(db.session())
    form.domain_id.choices = [(choice.id, choice.name) for choice in choices.domains]
    form.campaign_id.choices = [("", gettext("None"))] + [(one.id, one.name) for one in choices.campaigns]
    if link and link.domain_id not in dict(form.domain_id.choices):
        form.domain_id.choices.append((link.domain_id, link.domain.host))
    if link and link.campaign and link.campaign_id not in dict(form.campaign_id.choices):
        form.campaign_id.choices.append((link.campaign_id, link.campaign.name))
    if choices.domains and (form.domain_id.data is None or not form.is_submitted()):
        known = dict(form.domain_id.choices)
        form.domain_id.data = form.domain_id.data if form.domain_id.data in known else next(iter(known))
    return form


def _chose_otherwise(form: LinkForm) -> bool:
    """True when a button was pressed that only fills in a field: another slug, a free slug, a whole address."""
    if request.form.get("do") == "new-slug":
        form.slug.data = new_slug(SystemRandom())
    elif request.form.get("use_slug"):
        form.slug.data = request.form["use_slug"]
    elif request.form.get("use_url"):
        form.url.data = request.form["use_url"]
    else:
        return False
    return True


def _typed(form: LinkForm) -> dict[str, Any]:
    """The fields as the service takes them, and as history would write them. Raises LinkRefused."""
    return {
        "url": (form.url.data or "").strip(),
        "domain_id": form.domain_id.data,
        "slug": form.slug.data or "",
        "title": check_title(form.title.data or ""),
        "campaign_id": form.campaign_id.data,
        "tags": check_tags(split_tags(form.tags.data)),
        "notes": check_notes(form.notes.data or ""),
    }


def _as_history(typed: Mapping[str, Any], form: LinkForm) -> dict[str, Any]:
    fields = dict(typed)
    return {"domain": dict(form.domain_id.choices).get(fields.pop("domain_id"), ""), **fields}


def _touched(typed: Mapping[str, Any], base: Mapping[str, Any] | None, form: LinkForm) -> dict[str, Any]:
    """Only the fields that this person changed, so that saving over somebody undoes nothing else of theirs."""
    if base is None:
        return dict(typed)
    kept_as = {"domain_id": "domain"}
    mine = _as_history(typed, form)
    return {
        name: value
        for name, value in typed.items()
        if mine[kept_as.get(name, name)] != base.get(kept_as.get(name, name))
    }


def _saved(link: Link) -> dict[str, Any]:
    return {
        "url": link.url,
        "domain_id": link.domain_id,
        "slug": link.slug,
        "title": link.title,
        "campaign_id": link.campaign_id,
        "tags": ", ".join(tag.name for tag in link.tags),
        "notes": link.notes,
        "version": str(link.version),
    }


def _notes(form: LinkForm, link: Link | None) -> list[Note]:
    hosts = dict(form.domain_id.choices)
    domain_id = form.domain_id.data
    if hosts and domain_id not in hosts:
        return []
    return slug_notes(
        slug=form.slug.data or "", domain_id=domain_id, host=hosts.get(domain_id, ""), link=link
    )


def _found(link_id: int) -> Link:
    try:
        return service.get_link(db.session(), link_id=link_id)
    except service.LinkNotFound:
        abort(404)


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else 0
