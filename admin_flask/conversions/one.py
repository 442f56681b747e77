"""One conversion: its trail, its history, what was sent on because of it; and its status, set with a reason."""

from flask import Response, abort, request, url_for
from flask_babel import gettext
from flask_babel import lazy_gettext as _l
from wtforms import HiddenField, SelectField, TextAreaField
from wtforms.validators import InputRequired, Length

from admin_flask import words
from admin_flask.access import acting, needs
from admin_flask.conversions.blueprint import blueprint
from admin_flask.conversions.trail import history_steps, link_to, steps_of
from admin_flask.forms import PageForm, put_error, strip
from admin_flask.held import db, held, moment
from admin_flask.htmx import hx_redirect, page_or_block
from admin_flask.toasts import say
from core.domain.conversions import APPROVED, PENDING, REFUNDED, REJECTED, STATUSES
from core.services import conversions as service

_LIKELY = {PENDING: APPROVED, APPROVED: REJECTED, REJECTED: APPROVED, REFUNDED: APPROVED}
"""Status -> the one that a person most likely wants instead."""


class StatusForm(PageForm):
    """Another status, and why."""

    status = SelectField(_l("Status"), validate_choice=True)
    reason = TextAreaField(
        _l("Reason"),
        [
            InputRequired(_l("Say why: it stands in the history for whoever asks later.")),
            Length(max=service.LONGEST_REASON, message=_l("At most 500 characters.")),
        ],
        filters=[strip],
    )
    version = HiddenField()


@blueprint.get("/<row:conversion_id>")
@needs("conversions.view")
def show(conversion_id: int) -> Response:
    """The conversion and all that belongs to it."""
    return _page(_told(conversion_id))


@blueprint.post("/<row:conversion_id>/status")
@needs("conversions.edit")
def status(conversion_id: int) -> Response:
    """Set the status, if nothing changed the conversion since the page was made; else the page as it is now, with what
    was typed."""
    told = _told(conversion_id)
    form = _form(told)
    if not form.validate():
        return _page(told, form, status=422)
    version = form.version.data or ""
    try:
        service.set_status(
            db.session(),
            conversion_id=conversion_id,
            status=form.status.data,
            reason=form.reason.data or "",
            version=int(version) if version.isascii() and version.isdigit() and len(version) < 10 else 0,
            actor=acting(),
            now=moment(),
        )
    except service.StaleConversion as stale:
        told = _told(conversion_id)
        form = _form(told)
        form.version.data = str(told.conversion.version)
        return _page(told, form, stale=stale, status=422)
    except service.ConversionRefused as refused:
        put_error(form[refused.field], refused.message)
        return _page(told, form, status=422)
    except service.ConversionNotFound:
        abort(404)
    say(
        gettext(
            "Saved. The conversion is %(status)s now.",
            status=words.conversion_status(form.status.data).lower(),
        )
    )
    return hx_redirect(url_for("conversions.show", conversion_id=conversion_id))


def _page(
    told: service.Told,
    form: StatusForm | None = None,
    *,
    stale: service.StaleConversion | None = None,
    status: int = 200,
) -> Response:
    form = form or _form(told)
    return page_or_block(
        "conversions/one.html",
        "main",
        status=status,
        told=told,
        it=told.conversion,
        form=form,
        stale=stale,
        is_open=form.is_submitted() or "edit" in request.args,
        steps=steps_of(told),
        history=history_steps(told),
        currency=held().settings.report_currency,
        words=words,
        link_to=link_to,
    )


def _form(told: service.Told) -> StatusForm:
    now = told.conversion
    form = StatusForm(data={"version": str(now.version), "status": _LIKELY[now.status]})
    form.status.choices = [(name, words.conversion_status(name)) for name in STATUSES]
    return form


def _told(conversion_id: int) -> service.Told:
    try:
        return service.tell_conversion(db.session(), conversion_id=conversion_id)
    except service.ConversionNotFound:
        abort(404)
