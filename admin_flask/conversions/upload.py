"""Upload conversions: look the rows over, send those that can be read, and see what becomes of them."""

from random import SystemRandom
from typing import Any
from uuid import UUID

from flask import Response, abort, make_response, request, url_for
from flask_babel import gettext
from flask_babel import lazy_gettext as _l
from flask_wtf.file import FileField
from redis import RedisError
from wtforms import HiddenField, SelectField, TextAreaField

from admin_flask import words
from admin_flask.access import acting, needs, polled
from admin_flask.conversions.blueprint import blueprint
from admin_flask.forms import PageForm, put_error
from admin_flask.held import db, held, moment
from admin_flask.htmx import hx_redirect, is_htmx, page_or_block
from admin_flask.nav import page_url
from admin_flask.toasts import say
from core.domain.conversions import NEW, VERDICTS, WAITING
from core.domain.reading import Problem
from core.domain.uploads import LONGEST, UploadRefused
from core.services import conversion_upload as service
from core.services.receiving import lot_of, new_lot

SHOWN = 10
"""Good rows of a check that are shown as they were read."""

MOST_BAD = 100
SEND = "send"


class UploadForm(PageForm):
    """Rows for a source: pasted, or from a file, whose text then stands in the field."""

    source = SelectField(_l("Source"), coerce=int, validate_choice=True)
    text = TextAreaField(_l("Rows"))
    file = FileField(_l("File"))
    lot = HiddenField()
    mark = HiddenField()


@blueprint.route("/upload", methods=["GET", "POST"])
@needs("conversions.edit")
def upload() -> Response:
    """The form; sent with "send" after a check, and unchanged since, the rows that could be read are sent."""
    form = UploadForm()
    form.source.choices = [(choice.id, choice.name) for choice in service.upload_sources(db.session())]
    if not form.is_submitted():
        return _page(form)
    file = _file_text(form)
    if file:
        form.text.data = file
    if not form.validate():
        return _page(form, status=422)
    if not form.text.data:
        put_error(form.text, gettext("Paste rows here, or choose a file."))
        return _page(form, status=422)
    lot = _lot(form.lot.data) or new_lot(moment(), SystemRandom())
    try:
        checked = service.check_upload(
            db.session(), source_id=form.source.data, text=form.text.data, lot=lot, now=moment()
        )
    except UploadRefused as refused:
        put_error(form.text, str(refused))
        return _page(form, status=422)
    except service.NoSuchSource:
        abort(404)
    if request.form.get("do") == SEND and form.mark.data == checked.mark and checked.good:
        return _send(form, checked, lot)
    if form.mark.data != checked.mark:  # other rows must never get the ids of those that were sent
        lot = new_lot(moment(), SystemRandom())
    form.lot.data, form.mark.data = str(lot), checked.mark
    return _page(form, checked)


@blueprint.get("/upload/<uuid:lot>")
@needs("conversions.edit")
@polled
def uploaded(lot: UUID) -> Response:
    """What became of the rows of an upload; asks again until all are judged. For HTMX its block `progress`."""
    if lot_of(lot) is None:
        abort(404)
    sent, source = request.args.get("rows", 0, type=int), request.args.get("source", type=int)
    by_verdict = service.follow_upload(db.session(), lot=lot)
    arrived = sum(by_verdict.values())
    judged = arrived - by_verdict.get(NEW, 0)
    if is_htmx() and request.args.get("seen", -1, type=int) == judged and judged < sent:
        return make_response("", 204)
    rows = [
        (
            words.postback_verdict(verdict),
            by_verdict[verdict],
            page_url("postbacks.index", "postbacks.view", tab=verdict, source=source, span="7d"),
            verdict == WAITING,
        )
        for verdict in VERDICTS
        if by_verdict.get(verdict)
    ]
    poll = (
        url_for("conversions.uploaded", lot=lot, rows=sent, source=source, seen=judged)
        if judged < sent
        else ""
    )
    return page_or_block(
        "conversions/uploaded.html",
        "progress",
        sent=max(sent, arrived),
        judged=judged,
        rows=rows,
        poll=poll,
    )


def _send(form: UploadForm, checked: service.Checked, lot: UUID) -> Response:
    try:
        count = service.send_upload(
            db.session(), held().redis, checked=checked, lot=lot, actor=acting(), now=moment()
        )
    except RedisError:
        say(
            gettext("The queue does not answer. Send again in a moment: nothing is counted twice."),
            tone="bad",
        )
        return _page(form, checked, status=503)
    return hx_redirect(url_for("conversions.uploaded", lot=lot, rows=count, source=checked.source.id))


def _page(form: UploadForm, checked: service.Checked | None = None, *, status: int = 200) -> Response:
    shown: dict[str, Any] = {"good": [], "bad": []}
    if checked:
        shown = {
            "good": checked.good[:SHOWN],
            "bad": [(it.row.line, _problem_words(it.problem)) for it in checked.bad[:MOST_BAD] if it.problem],
        }
    return page_or_block(
        "conversions/upload.html", "main", status=status, form=form, checked=checked, shown=shown, words=words
    )


def _file_text(form: UploadForm) -> str:
    """The text of the file that came along; what is no UTF-8 is taken for the encoding that spreadsheets write."""
    if not form.file.data:
        return ""
    data: bytes = form.file.data.read(4 * LONGEST + 1)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", "replace")
    return text


def _lot(text: str | None) -> UUID | None:
    try:
        return lot_of(UUID(text or ""))
    except ValueError:
        return None


def _problem_words(problem: Problem) -> str:
    return {
        "row": problem.value,
        "bad_amount": gettext("“%(value)s” is no amount.", value=problem.value),
        "unknown_currency": gettext("“%(value)s” is no currency.", value=problem.value),
        "unknown_status": gettext("The source has no status “%(value)s”.", value=problem.value)
        if problem.value
        else gettext("It has no status, and the source says none for that."),
        "broken_encoding": gettext("Its characters can not be read."),
    }.get(problem.code, f"{problem.code} {problem.value}")
