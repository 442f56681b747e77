"""Replaying: one postback as a trial and for good; the settings of a source as a trial, then saved with a replay of
all."""

from decimal import Decimal
from uuid import UUID

from flask import Response, abort, request, url_for
from flask_babel import gettext, ngettext

from admin_flask.access import acting, me, needs, polled, zone
from admin_flask.addresses import came_from
from admin_flask.filters import money
from admin_flask.held import db, held, moment
from admin_flask.htmx import hx_redirect, page_or_block
from admin_flask.nav import page_url
from admin_flask.postbacks.blueprint import blueprint
from admin_flask.postbacks.forms import TryForm, form_of, meanings
from admin_flask.postbacks.trials import Result, Sample, outcome_rows, result_of, samples_of, would_words
from admin_flask.postbacks.words import verdict_word
from admin_flask.toasts import say
from core.db.conversions import ConversionSource
from core.domain.source_checks import SourceRefused
from core.domain.sources import settings_of
from core.services import postback_replay as service
from core.services.conversion_sources import SourceNotFound, StaleSource
from core.services.postback_trial import try_settings
from core.services.postbacks import days_before, open_postback

_SOURCE = "/sources/<int(max=9223372036854775807):source_id>/try"
_REPLAY = "/replays/<int(max=9223372036854775807):replay_id>"


@blueprint.get("/<uuid:postback_id>/trial")
@needs("postbacks.replay")
def trial(postback_id: UUID) -> Response:
    """What a replay of one postback would change. Nothing is changed by asking."""
    opened = open_postback(db.session(), postback_id)
    if opened is None:
        abort(404)
    source = opened.source
    back = url_for("postbacks.show", postback_id=postback_id)
    try:
        row, would = service.preview_postback(
            db.session(), postback_id, now=moment(), report_currency=held().settings.report_currency
        )
    except service.NotReplayed:
        abort(404)
    return page_or_block(
        "postbacks/trial.html",
        "trial",
        postback_id=postback_id,
        back=back,
        would=would_words(row, would),
        try_href=url_for("postbacks.try_fields", source_id=source.id, postback=postback_id)
        if source
        else None,
    )


@blueprint.post("/<uuid:postback_id>/replay")
@needs("postbacks.replay")
def replay(postback_id: UUID) -> Response:
    """Judge one postback again."""
    try:
        row, done = service.replay_postback(
            db.session(),
            postback_id,
            actor=acting(),
            now=moment(),
            report_currency=held().settings.report_currency,
        )
    except service.NotReplayed:
        abort(404)
    if done.changed and done.after:
        amount = money(Decimal(str(done.after["revenue"])), done.after.get("currency") or "")
        say(gettext("Replayed: %(verdict)s, %(amount)s.", verdict=verdict_word(done.verdict), amount=amount))
    elif done.verdict != row.verdict:
        say(gettext("Replayed: %(verdict)s.", verdict=verdict_word(done.verdict)))
    else:
        say(gettext("Replayed. Nothing changed."))
    here = came_from()
    back = url_for("postbacks.show", postback_id=postback_id)
    return hx_redirect(here if here.startswith(back) and "/trial" not in here else back)


@blueprint.route(_SOURCE, methods=["GET", "POST"])
@needs("postbacks.replay")
def try_fields(source_id: int) -> Response:
    """Change how a source is read, and see what would differ; save it and replay, for who may."""
    source = db.session.get(ConversionSource, source_id, populate_existing=True)
    if source is None:
        abort(404)
    form = (
        TryForm()
        if request.method == "POST"
        else form_of(settings_of(source.settings), version=source.version)
    )
    if request.method == "GET":
        return _try_page(source, form)
    settings = form.settings(settings_of(source.settings)) if form.validate() else None
    if settings is None:
        return _try_page(source, form, status=422)
    if request.form.get("do") == "save":
        if not me().may("sources.edit"):
            abort(403)
        return _save(source_id, form)
    found = try_settings(
        db.engine,
        source=source,
        settings=settings,
        since=days_before(moment(), form.days.data),
        now=moment(),
        report_currency=held().settings.report_currency,
    )
    return _try_page(source, form, result=result_of(found, days=form.days.data))


@blueprint.get(_REPLAY)
@needs("postbacks.view")
def replayed(replay_id: int) -> Response:
    """How far the replay of a source's postbacks is, and what came of it."""
    return _replay_page(replay_id)


@blueprint.get(f"{_REPLAY}/live")
@polled
@needs("postbacks.view")
def replay_live(replay_id: int) -> Response:
    """The same, asked by the page itself until it has ended."""
    return _replay_page(replay_id)


def _save(source_id: int, form: TryForm) -> Response:
    session = db.session()
    source = session.get(ConversionSource, source_id)
    if source is None:
        abort(404)
    settings = form.settings(settings_of(source.settings))
    if settings is None:
        return _try_page(source, form, status=422)
    trouble = ""
    try:
        started = service.save_and_replay(
            session,
            source_id=source_id,
            version=form.version.data,
            settings=settings,
            days=form.days.data,
            actor=acting(),
            now=moment(),
            redis=held().redis,
        )
        return hx_redirect(url_for("postbacks.replayed", replay_id=started.id))
    except StaleSource as stale:
        trouble = gettext(
            "%(editor)s saved this source meanwhile. Open this page again to see the fields of now.",
            editor=stale.editor,
        )
    except service.ReplayRuns:
        trouble = gettext(
            "The postbacks of this source are being replayed already. Wait until that has ended."
        )
    except SourceRefused as refused:
        form.refuse(refused.field, refused.message)
    except SourceNotFound:
        abort(404)
    source = session.get(ConversionSource, source_id, populate_existing=True)
    if source is None:
        abort(404)
    return _try_page(source, form, status=422, trouble=trouble)


def _try_page(
    source: ConversionSource,
    form: TryForm,
    *,
    status: int = 200,
    result: Result | None = None,
    trouble: str = "",
) -> Response:
    samples: list[Sample] = samples_of(db.session(), source, first=request.args.get("postback", ""))
    running = service.running_replay(db.session(), source.id, now=moment())
    return page_or_block(
        "postbacks/try.html",
        "trying",
        status=status,
        source=source,
        form=form,
        meanings=meanings(),
        result=result,
        trouble=trouble,
        samples=samples,
        running=running,
        can_save=me().may("sources.edit"),
        source_href=page_url("sources.show", "sources.view", source_id=source.id),
        back=url_for("postbacks.index", source=source.id),
    )


def _replay_page(replay_id: int) -> Response:
    session = db.session()
    found = service.get_replay(session, replay_id)
    if found is None:
        abort(404)
    source = session.get(ConversionSource, found.source_id)
    words = ngettext(
        "%(num)s conversion was made or changed.", "%(num)s conversions were made or changed.", found.changed
    )
    return page_or_block(
        "postbacks/replay.html",
        "progress",
        replay=found,
        source=source,
        words=words,
        rows=outcome_rows(found.outcome),
        zone=zone(),
        back=url_for("postbacks.index", source=found.source_id, span="28d"),
    )
