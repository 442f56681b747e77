"""Clicks: paste a click id, or open one of the last; and the page of one click, which says why it counted or not."""

from uuid import UUID

from flask import Blueprint, Response, make_response, redirect, render_template, request, url_for
from flask_babel import gettext

from admin_flask import words
from admin_flask.access import needs
from admin_flask.clicks.trail import facts_of, missing_words, naming_steps, steps_of, verdict_of
from admin_flask.held import db, held, moment, read_report
from admin_flask.link_names import titles_of
from admin_flask.nav import page_url
from core.db.reports import recent_clicks
from core.services.click_trail import read_click_id, trail_of

LAST = 30

blueprint = Blueprint("clicks", __name__, url_prefix="/clicks")


@blueprint.get("")
@needs("clicks.view")
def index() -> Response:
    """The box for a click id, and the last clicks. An id that was pasted leads to its page."""
    pasted = request.args.get("id", "").strip()[:300]
    found = read_click_id(pasted) if pasted else None
    if found:
        return make_response(redirect(url_for("clicks.show", click_id=found), 303))
    clicks = read_report(recent_clicks, link_id=None, limit=LAST)
    text = render_template(
        "clicks/index.html",
        pasted=pasted,
        error=gettext(
            "That is no click id. It has 32 letters and digits, such as 0199b1c4-6f4e-7c0e-9b52-5f0c3a1d77e4."
        )
        if pasted
        else "",
        clicks=clicks,
        titles=titles_of({click.link_id for click in clicks}),
        words=words,
    )
    return make_response(text, 422 if pasted else 200)


@blueprint.get("/<uuid:click_id>")
@needs("clicks.view")
def show(click_id: UUID) -> Response:
    """One click and what came of it. One that is not stored gets a page too: why it may not be here."""
    told = trail_of(db.session(), click_id=click_id, now=moment(), zone=held().settings.tz_default)
    text = render_template(
        "clicks/one.html",
        click_id=click_id,
        told=told,
        verdict=verdict_of(told),
        missing=missing_words(told, click_id),
        steps=steps_of(told) if told.click else naming_steps(told),
        facts=facts_of(told.click) if told.click else [],
        queue=page_url("queues.entries", "queues.view", state="dead", q=str(click_id)),
        words=words,
    )
    return make_response(text, 200 if told.click or told.conversions or told.postbacks else 404)
