"""What is sent on: the list, one with its log, and one delivery."""

from dataclasses import dataclass
from datetime import datetime

from flask import Response, abort, render_template, request, url_for
from flask_babel import gettext

from admin_flask.access import needs, polled
from admin_flask.addresses import url_with
from admin_flask.held import db, held, moment
from admin_flask.htmx import page_or_block
from admin_flask.nav import page_url
from admin_flask.sending import acting, editing  # noqa: F401 (their views add themselves)
from admin_flask.sending.blueprint import blueprint
from admin_flask.sending.forms import PERIODS, RESEND_PERIODS, LogQuery
from admin_flask.sending.words import (
    answer_words,
    kind_label,
    state_label,
    status_label,
    told_words,
)
from core.db.conversions import WebhookDelivery
from core.domain.sending import DELIVERY, FAILED, KEY, SKIPPED, STATES, TEST, WAITING, delivery_key
from core.services import webhook_log as log_service
from core.services import webhooks as service

__all__ = ["blueprint"]


@dataclass(frozen=True, slots=True)
class Choice:
    """A tab or chip: the log by another filter."""

    label: str
    href: str
    is_here: bool


@blueprint.get("")
@needs("sending.view")
def index() -> str:
    """Every outgoing postback, and how it fared in the last 24 hours."""
    return render_template(
        "sending/index.html",
        rows=service.list_webhooks(db.session(), now=moment()),
        told_words=told_words,
    )


@blueprint.get("/<row:webhook_id>")
@needs("sending.view")
def show(webhook_id: int) -> Response:
    """One with its log; its filters are in the address."""
    try:
        webhook = service.get_webhook(db.session(), webhook_id=webhook_id)
        row = service.webhook_row(db.session(), webhook_id=webhook_id, now=moment())
    except service.WebhookNotFound:
        abort(404)
    query = LogQuery.from_query(request.args)
    log = log_service.find_deliveries(
        db.session(), webhook_id=webhook_id, wanted=query.as_service(now=moment())
    )
    failed = log_service.count_failed(
        db.session(),
        webhook_id=webhook_id,
        since=[moment() - ago for ago in RESEND_PERIODS.values()],
    )
    return page_or_block(
        "sending/show.html",
        "log",
        row=row,
        unknown=service.unknown_in(webhook),
        is_private=service.is_private(webhook.url, allowed=held().settings.sending_networks),
        query=query,
        log=log,
        states=[
            Choice(
                state_label(state) if state else gettext("All"),
                url_with(state=state or None, before=None),
                state == query.state,
            )
            for state in ("", *STATES)
        ],
        periods=[
            Choice(
                _period_label(period),
                url_with(period=None if period == "all" else period, before=None),
                period == query.period,
            )
            for period in PERIODS
        ],
        older=url_with(before=log.rows[-1].delivery.id) if log.older else "",
        newest=url_with(before=None) if query.before else "",
        resend=[
            (period, _period_label(period), count)
            for period, count in zip(RESEND_PERIODS, failed, strict=True)
            if count
        ],
        told_words=told_words,
        state_label=state_label,
        kind_label=kind_label,
        answer_words=answer_words,
    )


@blueprint.get("/<row:webhook_id>/deliveries/<row:delivery_id>")
@needs("sending.view")
def delivery(webhook_id: int, delivery_id: int) -> Response:
    """One delivery: what was sent, what came back, and every attempt."""
    return _delivery_page(webhook_id, delivery_id)


@blueprint.get("/<row:webhook_id>/deliveries/<row:delivery_id>/live")
@polled
@needs("sending.view")
def live(webhook_id: int, delivery_id: int) -> Response:
    """The same, asked by the page itself while a worker is about to send it."""
    return _delivery_page(webhook_id, delivery_id)


def _delivery_page(webhook_id: int, delivery_id: int) -> Response:
    try:
        webhook = service.get_webhook(db.session(), webhook_id=webhook_id)
        found = log_service.get_delivery(db.session(), webhook_id=webhook_id, delivery_id=delivery_id)
    except (service.WebhookNotFound, log_service.DeliveryNotFound):
        abort(404)
    soon = found.state == WAITING and found.next_try is not None and found.next_try <= moment()
    return page_or_block(
        "sending/delivery.html",
        "delivery",
        webhook=webhook,
        delivery=found,
        poll=url_for("sending.live", webhook_id=webhook_id, delivery_id=delivery_id)
        if soon and (webhook.is_active or found.kind == TEST)
        else "",
        steps=_steps(found, is_on=webhook.is_active),
        own_headers=[(DELIVERY, str(found.id)), (KEY, delivery_key(found.id))],
        conversion=page_url("conversions.show", "conversions.view", conversion_id=found.conversion_id)
        if found.conversion_id
        else None,
        resent_from=url_for("sending.delivery", webhook_id=webhook_id, delivery_id=found.resent_from)
        if found.resent_from
        else None,
        kind_label=kind_label,
    )


def _steps(found: WebhookDelivery, *, is_on: bool) -> list[dict[str, object]]:
    """The trail of a delivery: why it is there, each attempt, and what comes next."""
    if found.kind == TEST:
        first = {
            "title": gettext("Tried out"),
            "text": gettext("With made-up values, by somebody who wanted to see."),
        }
    else:
        told = gettext(
            "Conversion %(id)s is %(status)s.", id=found.conversion_id, status=status_label(found.status)
        )
        again = gettext("Sent once more by hand.")
        first = {"title": gettext("To be told"), "text": f"{told} {again}" if found.resent_from else told}
    steps: list[dict[str, object]] = [{**first, "at": found.created_at}]
    for number, attempt in enumerate(found.tries, start=1):
        good = attempt["status"] is not None and not attempt["error"]
        steps.append(
            {
                "title": gettext("Attempt %(n)s", n=number),
                "text": gettext("It answered %(status)s.", status=attempt["status"])
                if good
                else attempt["error"],
                "at": datetime.fromisoformat(attempt["at"]),
                "ms": attempt["ms"],
                "mark": "key" if good else "stop",
            }
        )
    if found.state == SKIPPED:
        text = gettext("The percentage left this conversion out.")
        steps.append({"title": gettext("Left out"), "text": text, "mark": "skip"})
    elif found.state == WAITING:
        when = (
            {"at": found.next_try}
            if is_on or found.kind == TEST
            else {"text": gettext("Once it is switched on.")}
        )
        steps.append({"title": gettext("Next attempt"), "mark": "skip", **when})
    elif found.state == FAILED and found.kind != TEST:
        steps.append({"title": gettext("Given up"), "at": found.ended_at, "mark": "stop"})
    return steps


def _period_label(period: str) -> str:
    return {
        "hour": gettext("Last hour"),
        "day": gettext("Last 24 hours"),
        "week": gettext("Last 7 days"),
        "all": gettext("All"),
    }[period]
