"""Settings, exchange rates: what a unit of each currency is worth, from a day on."""

from datetime import date

from flask import Response, abort, make_response, redirect, render_template, request, url_for
from flask_babel import gettext, ngettext

from admin_flask.access import acting, needs, zone
from admin_flask.filters import number
from admin_flask.forms import put_error
from admin_flask.held import db, held, moment
from admin_flask.sources.blueprint import blueprint
from admin_flask.sources.forms import RateForm
from admin_flask.sources.words import rate_words
from admin_flask.toasts import say
from core.domain.source_checks import SourceRefused
from core.services import exchange_rates as service
from core.services.rates import FEED


@blueprint.route("/rates", methods=["GET", "POST"])
@needs("sources.view")
def rates() -> Response:
    """The rates that hold now, or all days of one currency; adding one counts its conversions anew."""
    currency = request.args.get("currency", "").upper()
    today = moment().astimezone(zone()).date()
    form = RateForm(data={"day": today, "currency": currency})
    if form.is_submitted():
        return _put(form)
    return _page(form, currency)


@blueprint.post("/rates/<currency>/<day>/delete")
@needs("sources.edit")
def delete_rate(currency: str, day: str) -> Response:
    """The rate before it holds on."""
    try:
        changed = service.delete_rate(
            db.session(),
            currency=currency,
            day=date.fromisoformat(day),
            report_currency=held().settings.report_currency,
            actor=acting(),
            now=moment(),
        )
    except (ValueError, service.RateNotFound):
        abort(404)
    say(_said(gettext("The rate is removed."), changed))
    left = service.rates_of(db.session(), currency=currency)
    return make_response(redirect(url_for("sources.rates", currency=currency if left else None), 303))


@needs("sources.edit")
def _put(form: RateForm) -> Response:
    if form.validate():
        try:
            changed = service.put_rate(
                db.session(),
                currency=form.currency.data or "",
                day=form.day.data,
                rate=form.rate.data or "",
                report_currency=held().settings.report_currency,
                actor=acting(),
                now=moment(),
            )
        except SourceRefused as refused:
            put_error(form[refused.field], refused.message)
        else:
            say(_said(gettext("The rate is saved."), changed))
            return make_response(redirect(url_for("sources.rates"), 303))
    return _page(form, "", status=422)


def _page(form: RateForm, currency: str, *, status: int = 200) -> Response:
    session, settings = db.session(), held().settings
    text = render_template(
        "sources/rates.html",
        form=form,
        currency=currency,
        latest=service.latest_rates(session),
        days=service.rates_of(session, currency=currency) if currency else [],
        missing=service.missing_rates(session),
        report_currency=settings.report_currency,
        has_feed=bool(settings.rates_url),
        feed=FEED,
        rate_words=rate_words,
    )
    return make_response(text, status)


def _said(done: str, changed: int) -> str:
    if not changed:
        return done
    counted = ngettext(
        "%(n)s conversion was counted anew.",
        "%(n)s conversions were counted anew.",
        changed,
        n=number(changed),
    )
    return f"{done} {counted}"
