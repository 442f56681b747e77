"""States, statuses and outcomes of deliveries as people read them."""

from datetime import timedelta

from flask_babel import gettext

from core.db.conversions import WebhookDelivery
from core.domain.conversions import APPROVED, PENDING, REFUNDED, REJECTED
from core.domain.sending import DONE, FAILED, SKIPPED, TEST, WAITING, SendingSettings


def state_label(state: str) -> str:
    """How a delivery stands, in a word or two."""
    return {
        WAITING: gettext("Waiting"),
        DONE: gettext("Taken"),
        FAILED: gettext("Failed"),
        SKIPPED: gettext("Left out"),
    }.get(state, state)


def status_label(status: str) -> str:
    """A conversion's status."""
    return {
        PENDING: gettext("pending"),
        APPROVED: gettext("approved"),
        REJECTED: gettext("rejected"),
        REFUNDED: gettext("refunded"),
    }.get(status, status)


def kind_label(delivery: WebhookDelivery) -> str:
    """What a delivery tells."""
    if delivery.kind == TEST:
        return gettext("test")
    return status_label(delivery.status)


def answer_words(delivery: WebhookDelivery) -> str:
    """What came of the last attempt, in a few words."""
    if delivery.state == SKIPPED:
        return gettext("not among those that are told")
    if not delivery.attempts:
        return gettext("not tried yet")
    if delivery.response_status is not None:
        return gettext("answered %(status)s", status=delivery.response_status)
    return delivery.error


def told_words(settings: SendingSettings) -> str:
    """For which conversions it is, without its scopes: "approved, rejected · sale · 30%"."""
    parts = [", ".join(status_label(status) for status in settings.statuses)]
    if settings.events:
        parts.append(", ".join(settings.events))
    if settings.percentage < 100:
        parts.append(f"{settings.percentage}%")
    if settings.delay_s:
        parts.append(gettext("after %(time)s", time=_delay(timedelta(seconds=settings.delay_s))))
    return " · ".join(parts)


def _delay(time: timedelta) -> str:
    seconds = int(time.total_seconds())
    if seconds % 3600 == 0:
        return gettext("%(n)s h", n=seconds // 3600)
    return gettext("%(n)s min", n=seconds // 60) if seconds % 60 == 0 else gettext("%(n)s s", n=seconds)
