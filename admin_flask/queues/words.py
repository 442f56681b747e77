"""Queues, reasons and states as people read them."""

from flask_babel import gettext

from core.services.queues.entries import DEAD, LATER, RUNNING, WAITING, Content


def queue_about(queue: str) -> str:
    """What a queue is for, in two words."""
    return {
        "publish": gettext("links to trackers"),
        "conversion": gettext("sales, webhooks"),
        "system": gettext("exports, schedule"),
        "track": gettext("clicks"),
    }.get(queue, "")


def reason_words(reason: str) -> str:
    """Why an entry was set aside, in one sentence."""
    return {
        "failed": gettext("It failed at its last attempt."),
        "deadly": gettext("Five processes died while they held it alone."),
        "poison": gettext("Its bytes are no message that this release can read."),
        "newer": gettext("A newer release wrote it. Upgrade the workers, then retry."),
        "unknown": gettext("This release has no such task."),
        "clock": gettext("Its time is impossible: before 2024, or more than a day ahead."),
    }.get(reason, gettext("Its handler refused it: %(reason)s.", reason=reason))


def state_label(state: str) -> str:
    """A state of entries, as a tab says it."""
    return {
        WAITING: gettext("Waiting"),
        RUNNING: gettext("Running"),
        LATER: gettext("Put off"),
        DEAD: gettext("Set aside"),
    }[state]


def title_of(queue: str, content: Content) -> str:
    """What an entry is, in a few words: a click's short link, a postback's source, a task's name."""
    if content.click:
        return f"{content.click.host}/{content.click.path.lstrip('/')}"
    if content.postback:
        return gettext("postback of source %(id)s", id=content.postback.source_id)
    if content.task:
        return content.task.task
    return gettext("%(n)s unreadable bytes", n=content.size) if content.size else gettext("no content")


def error_title(error: str, reason: str) -> str:
    """The message of an error without its kind; the reason where there is none."""
    first = error.strip().partition("\n")[0]
    kind, _, message = first.partition(": ")
    if not first:
        return reason_words(reason)
    return message if message and " " not in kind else first


def error_kind(error: str) -> str:
    """The class of an error; "" where none was raised."""
    kind, found, _ = error.strip().partition(":")
    return kind if found and " " not in kind else ""
