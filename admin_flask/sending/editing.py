"""The editor: make an outgoing postback, change one, and see what would be sent while one types."""

from dataclasses import asdict, replace

from flask import Response, abort, render_template, request, url_for
from flask_babel import gettext
from sqlalchemy import func, select

from admin_flask.access import acting, needs
from admin_flask.filters import ago
from admin_flask.forms import put_error
from admin_flask.held import db, held, moment
from admin_flask.htmx import hx_redirect
from admin_flask.sending.blueprint import blueprint
from admin_flask.sending.forms import FIRST_BODY, SendingForm
from admin_flask.toasts import say
from core.db.conversions import ConversionSource, Webhook
from core.db.models import Campaign
from core.domain.outgoing import MACROS
from core.services import webhook_log as log_service
from core.services import webhooks as service

_NEW = service.WebhookFields(name="", url="", body=FIRST_BODY)


@blueprint.route("/new", methods=["GET", "POST"])
@needs("sending.edit")
def new() -> Response | tuple[str, int] | str:
    """Make one. What can not be taken comes back as it was typed, with status 422."""
    form = _offer(SendingForm(data=asdict(_NEW)))
    if not form.is_submitted() or _wants_secret(form):
        return _page(form)
    if form.validate():
        try:
            webhook = service.create_webhook(db.session(), fields=form.fields(), actor=acting(), now=moment())
        except service.WebhookRefused as refused:
            put_error(form[refused.field], refused.message)
        else:
            say(gettext("It is on. Send a test to see what the receiver answers."))
            return hx_redirect(url_for("sending.show", webhook_id=webhook.id))
    return _page(form), 422


@blueprint.route("/<row:webhook_id>/edit", methods=["GET", "POST"])
@needs("sending.edit")
def edit(webhook_id: int) -> Response | tuple[str, int] | str:
    """Change one, if nobody else did meanwhile. `over` is the version that a person chose to save over."""
    webhook = _found(webhook_id)
    saved = service.fields_of(db.session(), webhook)
    form = _offer(SendingForm(data={**asdict(saved), "version": str(webhook.version)}))
    if not form.is_submitted() or _wants_secret(form):
        return _page(form, webhook)
    changed = None
    if form.validate():
        try:
            service.edit_webhook(
                db.session(),
                webhook_id=webhook_id,
                version=_number(request.form.get("over") or form.version.data),
                fields=form.fields(),
                actor=acting(),
                now=moment(),
            )
        except service.WebhookNotFound:
            abort(404)
        except service.WebhookChanged as stale:
            changed = stale
        except service.WebhookRefused as refused:
            put_error(form[refused.field], refused.message)
        else:
            say(gettext("Saved. The next attempt uses it."))
            return hx_redirect(url_for("sending.show", webhook_id=webhook_id))
    return _page(form, _found(webhook_id), changed=changed), 422


@blueprint.post("/preview")
@needs("sending.edit")
def preview() -> str:
    """What the form as it is typed would send; asked while one types."""
    return render_template("sending/_preview.html", **_preview(_offer(SendingForm())))


def _page(
    form: SendingForm, webhook: Webhook | None = None, *, changed: service.WebhookChanged | None = None
) -> str:
    return render_template(
        "sending/edit.html",
        form=form,
        webhook=webhook,
        action=url_for("sending.edit", webhook_id=webhook.id) if webhook else url_for("sending.new"),
        back=url_for("sending.show", webhook_id=webhook.id) if webhook else url_for("sending.index"),
        changed=changed,
        changed_ago=ago(changed.at) if changed else "",
        macros=[name for name in MACROS if name != "external_id"],
        **_preview(form),
    )


def _preview(form: SendingForm) -> dict[str, object]:
    """The request that the form makes, or why there is none. A name is not needed for it."""
    fields = replace(form.fields(), name="preview", secret="")
    if not fields.url:
        return {"shown": None, "why_not": ""}
    try:
        row = service.read_fields(db.session(), fields)
    except service.WebhookRefused as refused:
        return {"shown": None, "why_not": refused.message}
    allowed = held().settings.sending_networks
    return {"shown": log_service.preview(db.session(), row, allowed=allowed), "why_not": ""}


def _offer(form: SendingForm) -> SendingForm:
    """Give the form its choices."""
    session = db.session()
    sources = session.execute(
        select(ConversionSource.id, ConversionSource.name).order_by(func.lower(ConversionSource.name))
    )
    campaigns = session.execute(select(Campaign.id, Campaign.name).order_by(func.lower(Campaign.name)))
    form.source_id.choices = [("", gettext("Any")), *((row.id, row.name) for row in sources)]
    form.campaign_id.choices = [("", gettext("Any")), *((row.id, row.name) for row in campaigns)]
    return form


def _wants_secret(form: SendingForm) -> bool:
    """True when the button was pressed that only fills in a secret."""
    if request.form.get("do") != "new-secret":
        return False
    form.secret.data = service.new_secret()
    return True


def _found(webhook_id: int) -> Webhook:
    try:
        return service.get_webhook(db.session(), webhook_id=webhook_id)
    except service.WebhookNotFound:
        abort(404)


def _number(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else 0
