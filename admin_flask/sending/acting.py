"""What can be done by one press: try it out, send once more, switch on and off, delete."""

from flask import Response, abort, request, url_for
from flask_babel import gettext, ngettext

from admin_flask.access import acting, needs
from admin_flask.held import db, moment
from admin_flask.htmx import hx_redirect
from admin_flask.sending.blueprint import blueprint
from admin_flask.sending.forms import RESEND_PERIODS
from admin_flask.toasts import say
from core.services import webhook_log as log_service
from core.services import webhooks as service


@blueprint.post("/<row:webhook_id>/test")
@needs("sending.edit")
def test(webhook_id: int) -> Response:
    """Have a worker call the address with made-up values; the page shows what it answers."""
    try:
        delivery_id = log_service.send_test(db.session(), webhook_id=webhook_id, actor=acting(), now=moment())
    except service.WebhookNotFound:
        abort(404)
    return hx_redirect(url_for("sending.delivery", webhook_id=webhook_id, delivery_id=delivery_id))


@blueprint.post("/<row:webhook_id>/deliveries/<row:delivery_id>/resend")
@needs("sending.edit")
def resend(webhook_id: int, delivery_id: int) -> Response:
    """Send one once more; one that waits is tried now."""
    try:
        resent = log_service.resend(
            db.session(), webhook_id=webhook_id, delivery_id=delivery_id, actor=acting(), now=moment()
        )
    except log_service.DeliveryNotFound:
        abort(404)
    return hx_redirect(url_for("sending.delivery", webhook_id=webhook_id, delivery_id=resent))


@blueprint.post("/<row:webhook_id>/resend")
@needs("sending.edit")
def resend_failed(webhook_id: int) -> Response:
    """Send once more all that failed since a time; the count was shown before."""
    ago = RESEND_PERIODS.get(request.form.get("period", ""))
    if ago is None:
        abort(400)
    try:
        count = log_service.resend_failed(
            db.session(), webhook_id=webhook_id, since=moment() - ago, actor=acting(), now=moment()
        )
    except service.WebhookNotFound:
        abort(404)
    if count:
        say(ngettext("%(num)s delivery is sent once more.", "%(num)s deliveries are sent once more.", count))
    else:
        say(gettext("Nothing was left to do: somebody was faster."), tone="bad")
    return hx_redirect(url_for("sending.show", webhook_id=webhook_id))


@blueprint.post("/<row:webhook_id>/<any(on, off):what>")
@needs("sending.edit")
def switch(webhook_id: int, what: str) -> Response:
    """Switch it on or off."""
    on = what == "on"
    try:
        row = service.switch(db.session(), webhook_id=webhook_id, on=on, actor=acting(), now=moment())
    except service.WebhookNotFound:
        abort(404)
    back = url_for("sending.switch", webhook_id=webhook_id, what="off" if on else "on")
    if on:
        say(gettext("%(name)s is on. What waits is sent now.", name=row.name), undo=back)
    else:
        say(gettext("%(name)s is off. What comes meanwhile is not told.", name=row.name), undo=back)
    return hx_redirect(url_for("sending.show", webhook_id=webhook_id))


@blueprint.post("/<row:webhook_id>/delete")
@needs("sending.edit")
def delete(webhook_id: int) -> Response:
    """Remove it for good, with its log. Asked about before."""
    try:
        name = service.delete_webhook(db.session(), webhook_id=webhook_id, actor=acting(), now=moment())
    except service.WebhookNotFound:
        abort(404)
    say(gettext("%(name)s was deleted.", name=name))
    return hx_redirect(url_for("sending.index"))
