"""The list of sources, a new one, and how one is set up."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import Response, abort, make_response, render_template, request, url_for
from flask_babel import gettext
from msgspec.structs import asdict
from sqlalchemy import select

from admin_flask.access import acting, me, needs, zone
from admin_flask.forms import put_error
from admin_flask.held import db, held, moment
from admin_flask.htmx import hx_redirect
from admin_flask.sources import acting as doing  # noqa: F401 (its views add themselves)
from admin_flask.sources import coupons, rates, testing, words  # noqa: F401 (their views, too)
from admin_flask.sources.blueprint import blueprint
from admin_flask.sources.forms import (
    KeyForm,
    NewSourceForm,
    RotateForm,
    SourceForm,
    control_of,
    source_form,
    typed_settings,
)
from admin_flask.sources.shown import found, token_page
from admin_flask.toasts import say
from admin_flask.words import field_word
from core.db.conversions import ConversionSource
from core.db.models import AuditLog, Campaign
from core.domain.periods import midnight
from core.domain.presets import PRESETS, preset_of
from core.domain.source_checks import MEANINGS
from core.domain.sources import FIELDS, SignatureSettings, SourceSettings, settings_of
from core.services import conversion_sources as service
from core.services.link_choices import link_choices
from core.services.source_list import MOST_COUNTED, list_sources

__all__ = ["blueprint"]

_LAST_CHANGES = 5


@dataclass(frozen=True, slots=True)
class Difference:
    """A setting that somebody else saved otherwise, as both have it."""

    name: str
    theirs: str
    mine: str


@blueprint.get("/sources")
@needs("sources.view")
def index() -> str:
    """Every source, with what came today. Before the first one: what a source is, and the way to make one."""
    since = midnight(moment().astimezone(zone()).date(), zone())
    return render_template(
        "sources/index.html",
        sources=list_sources(db.session(), since=since),
        preset_of=preset_of,
        verdict_words=words.verdict_words,
        needs_someone=words.NEEDS_SOMEONE,
        most_counted=MOST_COUNTED,
    )


@blueprint.route("/sources/new", methods=["GET", "POST"])
@needs("sources.edit")
def new() -> Response:
    """Make a source from a preset. Its URL is in the answer, and nowhere else."""
    form = NewSourceForm(data={"preset": request.args.get("preset", "plain")})
    if form.validate_on_submit():
        try:
            made = service.make_source(
                db.session(),
                name=form.name.data or "",
                preset=form.preset.data,
                actor=acting(),
                now=moment(),
                redis=held().redis,
            )
        except service.SourceRefused as refused:
            put_error(form.preset if refused.field == "preset" else form.name, refused.message)
        else:
            return token_page(made, is_new=True)
    status = 422 if form.is_submitted() else 200
    return make_response(render_template("sources/new.html", form=form, presets=PRESETS.values()), status)


@blueprint.route("/sources/<row:source_id>", methods=["GET", "POST"])
@needs("sources.view")
def show(source_id: int) -> Response:
    """How a source is taken and read; whoever may, changes it, if nobody else did meanwhile.

    `over` is the version that a person chose to save over after they compared.
    """
    source = found(source_id)
    saved = settings_of(source.settings)
    form = source_form(source.name, source.version, saved, _campaigns(saved.campaigns))
    if not form.is_submitted():
        return _page(source, form)
    if not me().may("sources.edit"):
        abort(403)
    if not form.validate():
        return _page(source, form, status=422)
    typed: SourceSettings | None = None
    try:
        typed = typed_settings(form)
        service.change_source(
            db.session(),
            source_id=source_id,
            version=_number(request.form.get("over")) or _number(form.version.data),
            name=form.name.data or "",
            settings=typed,
            actor=acting(),
            now=moment(),
            redis=held().redis,
        )
    except service.StaleSource as stale:
        return _page(stale.current, form, conflict=(stale, typed or saved), status=422)
    except service.SourceNotFound:
        abort(404)
    except service.SourceRefused as refused:
        put_error(control_of(form, refused.field), refused.message)
        return _page(found(source_id), form, status=422)
    say(gettext("Saved. What comes from now on is read like this."))
    return hx_redirect(url_for("sources.show", source_id=source_id))


def _page(
    source: ConversionSource,
    form: SourceForm,
    *,
    conflict: tuple[service.StaleSource, SourceSettings] | None = None,
    status: int = 200,
) -> Response:
    settings = settings_of(source.settings)
    tokens = [token for token in source.tokens if token.expires_at is None or token.expires_at > moment()]
    text = render_template(
        "sources/show.html",
        source=source,
        settings=settings,
        preset=preset_of(source.preset),
        form=form,
        fields=[(form[f"field_{name}"], field_word(name)) for name in FIELDS],
        meanings=[(form[f"says_{name}"], words.status_words(name)) for name in MEANINGS],
        tokens=tokens,
        rotate=RotateForm(formdata=None, data={"seen": str(source.tokens[0].id) if source.tokens else ""}),
        key_form=KeyForm(formdata=None),
        conflict=conflict and conflict[0],
        differences=_differences(conflict[0], conflict[1], form) if conflict else [],
        changes=_changes(source.id),
    )
    return make_response(text, status)


def _campaigns(chosen: Sequence[int]) -> list[tuple[int, str]]:
    """The campaigns to choose from, those that are chosen among them, however many there are."""
    offered = {one.id: one.name for one in link_choices(db.session()).campaigns}
    others = select(Campaign.id, Campaign.name).where(Campaign.id.in_(set(chosen) - offered.keys()))
    return [*offered.items(), *((row.id, row.name) for row in db.session.execute(others))]


def _changes(source_id: int) -> list[dict[str, Any]]:
    """The last that was done with a source, as steps of a trail."""
    query = select(AuditLog).where(AuditLog.subject == f"source:{source_id}")
    rows = db.session.scalars(query.order_by(AuditLog.id.desc()).limit(_LAST_CHANGES))
    done = {
        "source.make": gettext("Made"),
        "source.edit": gettext("Changed"),
        "source.switch_on": gettext("Switched on"),
        "source.switch_off": gettext("Switched off"),
        "source.rotate_token": gettext("New URL"),
        "source.end_old_tokens": gettext("Old URL ended"),
        "source.put_key": gettext("Signing key added"),
        "source.drop_old_keys": gettext("Old signing key ended"),
        "source.remove_keys": gettext("Signing keys removed"),
    }
    return [
        {
            "title": done.get(row.action, row.action),
            "at": row.at,
            "text": ", ".join(_setting_words(name) for name in sorted(row.detail.get("changed", {}))),
            "who": row.actor_name or row.actor,
        }
        for row in rows
    ]


def _setting_words(name: str) -> str:
    return {
        "name": gettext("name"),
        "fields": gettext("parameters"),
        "statuses": gettext("statuses"),
        "default_status": gettext("status where none comes"),
        "events": gettext("events"),
        "default_event": gettext("event where none comes"),
        "currency": gettext("currency"),
        "amounts": gettext("how amounts are written"),
        "duplicates": gettext("what comes twice"),
        "window_days": gettext("days after the click"),
        "payout_kind": gettext("payout"),
        "payout": gettext("payout"),
        "networks": gettext("addresses"),
        "signature": gettext("signature"),
        "reply": gettext("answer"),
        "attribution": gettext("whose a conversion is"),
        "model": gettext("which conversion of a customer"),
        "campaigns": gettext("campaigns"),
    }.get(name, name)


def _differences(stale: service.StaleSource, mine: SourceSettings, form: SourceForm) -> list[Difference]:
    theirs = {"name": stale.current.name} | asdict(settings_of(stale.current.settings))
    ours = {"name": form.name.data or ""} | asdict(mine)
    return [
        Difference(_setting_words(name), _as_text(theirs[name]), _as_text(ours[name]))
        for name in theirs
        if theirs[name] != ours[name]
    ]


def _as_text(value: Any) -> str:
    if isinstance(value, SignatureSettings):
        return value.header
    if isinstance(value, dict):
        return "; ".join(f"{name}: {_as_text(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else 0
