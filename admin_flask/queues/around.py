"""Beside the queues: the books by the hour, the schedule, and alerts."""

from datetime import timedelta

from flask import Response, abort, make_response, redirect, render_template, url_for
from flask_babel import gettext
from redis import RedisError

from admin_flask.access import acting, needs
from admin_flask.forms import put_error
from admin_flask.held import db, held, moment
from admin_flask.htmx import hx_redirect
from admin_flask.queues.blueprint import blueprint
from admin_flask.queues.forms import AlertsForm
from admin_flask.toasts import say
from core.services import alerts as service
from core.services import schedule as schedule_service
from core.services.audit import names_of
from core.services.books import last_records, read_books

BOOKS_HOURS = 7 * 24
_SHOWN = timedelta(hours=24)


@blueprint.get("/books")
@needs("queues.view")
def books() -> str:
    """The sum that must balance, for each hour of seven days; those before the last day are folded away where they
    balance."""
    now = moment()
    try:
        found = read_books(db.session(), held().redis, now=now, hours=BOOKS_HOURS, fresh_answers=True)
    except RedisError:
        found = None
    hours = () if found is None else found.hours
    earlier = [hour for hour in hours if hour.start < now - _SHOWN and hour.state == "balanced"]
    shown = [hour for hour in hours if hour not in earlier]
    records = last_records(db.session())
    return render_template("queues/books.html", books=found, shown=shown, earlier=earlier, records=records)


@blueprint.get("/schedule")
@needs("queues.view")
def schedule() -> str:
    """What runs by the clock."""
    entries = schedule_service.list_schedule(db.session())
    return render_template("queues/schedule.html", entries=entries, now=moment())


@blueprint.post("/schedule/<name>/run")
@needs("queues.edit")
def run_entry(name: str) -> Response:
    """Run an entry now."""
    try:
        put = schedule_service.run_now(db.session(), name=name, actor=acting(), now=moment())
    except schedule_service.NoSuchEntry:
        abort(404)
    say(
        gettext("“%(name)s” runs within seconds.", name=name)
        if put
        else gettext("“%(name)s” waits for its run already.", name=name)
    )
    return hx_redirect(url_for("queues.schedule"))


@blueprint.get("/alerts")
@needs("queues.view")
def alerts() -> str:
    """What was told, to whom, and what is silenced."""
    settings = service.alert_settings(db.session())
    return _alerts_page(
        AlertsForm(emails=settings.emails, webhook_url=settings.webhook_url, long_wait_s=settings.long_wait_s)
    )


@blueprint.post("/alerts")
@needs("queues.edit")
def save_alerts() -> Response | tuple[str, int]:
    """Tell alerts to these from now on."""
    form = AlertsForm()
    if form.validate_on_submit():
        try:
            service.save_alert_settings(
                db.session(),
                emails=form.emails.data or "",
                webhook_url=form.webhook_url.data or "",
                long_wait_s=form.long_wait_s.data,
                actor=acting(),
                now=moment(),
            )
        except service.AlertsRefused as refused:
            put_error(form[refused.field], refused.message)
        else:
            say(gettext("Saved."))
            return make_response(redirect(url_for("queues.alerts"), 303))
    return _alerts_page(form), 422


def _alerts_page(form: AlertsForm) -> str:
    session = db.session()
    silenced = service.silenced_rows(session)
    return render_template(
        "queues/alerts.html",
        form=form,
        alerts=service.last_alerts(session),
        silenced=silenced,
        names=names_of(session, {row.actor for row in silenced}),
    )
