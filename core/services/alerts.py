"""Alerts: what a person must look at is raised once, told by e-mail or webhook once, and cleared when it is over."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from redis import Redis
from sqlalchemy import delete, select, update
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from core.db.conversions import Webhook
from core.db.work import Alert, AlertSettings, SilencedTask
from core.domain.books import Books, Hour
from core.domain.urls import DestinationRefused, check_destination
from core.net import Bounds, FetchFailed, FetchRefused, fetch
from core.observe import logger
from core.services.actor import Actor
from core.services.audit import record
from core.services.mail import MailFailed, Sender
from core.services.queues.letters import Group, read_groups
from core.services.queues.states import QueueState, read_queues

log = logger(__name__)

LONG_WAIT, FAILED, BOOKS, SENDING = "long wait", "failed", "books", "sending"
LONGEST_WAIT_S = 24 * 3600
MOST_EMAILS = 20
KEPT = timedelta(days=365)

Key = tuple[str, str]
"""Kind and subject of an alert."""

Post = Callable[[str, bytes], None]
"""(address, JSON) -> delivered. Raises FetchRefused, FetchFailed."""


class AlertsRefused(Exception):
    """A setting can not be taken: `field` names it (emails, webhook_url, long_wait_s), `message` says why."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


def alert_settings(session: Session) -> AlertSettings:
    """Whom alerts go to; nobody, and a minute, until somebody says otherwise."""
    found = session.get(AlertSettings, 1)
    return found or AlertSettings(id=1, emails="", webhook_url="", long_wait_s=60)


def save_alert_settings(
    session: Session, *, emails: str, webhook_url: str, long_wait_s: int, actor: Actor, now: datetime
) -> AlertSettings:
    """Tell alerts to these addresses (parted by commas or white space) and this webhook, "" for none.
    Raises AlertsRefused."""
    addresses = list(dict.fromkeys(emails.replace(",", " ").lower().split()))
    if any(one.count("@") != 1 or one.startswith("@") or one.endswith("@") for one in addresses):
        raise AlertsRefused("emails", "Type e-mail addresses, such as ana@example.com, parted by commas.")
    if len(addresses) > MOST_EMAILS:
        raise AlertsRefused("emails", f"At most {MOST_EMAILS} addresses.")
    if not 1 <= long_wait_s <= LONGEST_WAIT_S:
        raise AlertsRefused("long_wait_s", f"Type a number of seconds from 1 to {LONGEST_WAIT_S:,}.")
    url = webhook_url.strip()
    if url:
        try:
            url = check_destination(url, own_hosts=())
        except DestinationRefused as error:
            raise AlertsRefused("webhook_url", error.message) from error
    row = session.merge(
        AlertSettings(id=1, emails=", ".join(addresses), webhook_url=url, long_wait_s=long_wait_s)
    )
    detail = {"emails": addresses, "webhook": bool(url), "long_wait_s": long_wait_s}
    record(session, actor=actor, action="alerts.edit", subject="alerts", now=now, detail=detail)
    session.commit()
    return row


def silenced_tasks(session: Session) -> set[str]:
    """Tasks (queues, for their batches) whose failures raise no alert."""
    return set(session.scalars(select(SilencedTask.task)))


def silenced_rows(session: Session) -> Sequence[SilencedTask]:
    """The same, with who silenced them and when."""
    return session.scalars(select(SilencedTask).order_by(SilencedTask.task)).all()


def silence_key(group: Group) -> str:
    """What is silenced to hear no more of a group: its task; its queue, where entries are no tasks."""
    return group.task or group.queue


def open_alerts(session: Session) -> Sequence[Alert]:
    """What is the matter now, newest first."""
    return session.scalars(select(Alert).where(Alert.cleared_at.is_(None)).order_by(Alert.id.desc())).all()


def last_alerts(session: Session, *, most: int = 30) -> Sequence[Alert]:
    """The last alerts, open or cleared, newest first."""
    return session.scalars(select(Alert).order_by(Alert.id.desc()).limit(most)).all()


def look_around(
    session: Session, redis: "Redis", *, books: Books, postbacks: Books, now: datetime
) -> dict[Key, str]:
    """Everything that is the matter now: queues that wait too long, failures, hours of the books of clicks and of
    postbacks that do not come out, webhooks that were switched off. Raises RedisError."""
    longest = alert_settings(session).long_wait_s
    silenced = silenced_tasks(session)
    found = {
        (LONG_WAIT, state.name): _wait_words(state) for state in _slow(read_queues(redis, now=now), longest)
    }
    found |= {
        (FAILED, f"{group.queue} {group.id}"): _failure_words(group)
        for group in read_groups(redis)
        if silence_key(group) not in silenced
    }
    found |= {(SENDING, str(webhook.id)): _sending_words(webhook) for webhook in _given_up(session)}
    found |= {(BOOKS, hour.start.isoformat()): _books_words(hour, "clicks") for hour in books.unbalanced}
    return found | {
        (BOOKS, f"postbacks {hour.start.isoformat()}"): _books_words(hour, "postbacks")
        for hour in postbacks.unbalanced
    }


def update_alerts(session: Session, found: Mapping[Key, str], *, now: datetime) -> tuple[int, int]:
    """Raise what is new, clear what is over. Returns how many of each."""
    raised = 0
    for (kind, subject), words in found.items():
        new = postgresql.insert(Alert).values(kind=kind, subject=subject, words=words, raised_at=now)
        raised += len(session.execute(new.on_conflict_do_nothing().returning(Alert.id)).all())
    cleared = 0
    for alert in open_alerts(session):
        if (alert.kind, alert.subject) not in found:
            alert.cleared_at = now
            cleared += 1
    session.commit()
    return raised, cleared


def tell_alerts(session: Session, *, mailer: Sender, post: Post, console_url: str, now: datetime) -> int:
    """Tell every open alert that was not told yet, all in one message. Returns how many.

    What can not be delivered to anybody is told again by the next call; while nobody is to be told they wait."""
    settings = alert_settings(session)
    if not settings.emails and not settings.webhook_url:
        return 0
    claim = update(Alert).where(Alert.told_at.is_(None), Alert.cleared_at.is_(None)).values(told_at=now)
    alerts = session.scalars(claim.returning(Alert)).all()
    session.commit()
    if alerts and not _deliver(settings, alerts, mailer=mailer, post=post, console_url=console_url):
        ids = [alert.id for alert in alerts]
        session.execute(update(Alert).where(Alert.id.in_(ids)).values(told_at=None))
        session.commit()
        return 0
    return len(alerts)


def prune_alerts(session: Session, *, now: datetime) -> int:
    """Remove alerts that were cleared a year ago. Returns how many."""
    gone = session.execute(delete(Alert).where(Alert.cleared_at < now - KEPT).returning(Alert.id)).all()
    session.commit()
    return len(gone)


def post_json(url: str, body: bytes) -> None:
    """POST to a webhook: five seconds, no redirects, never into a private network. Raises FetchRefused, FetchFailed."""
    reply = fetch(
        url,
        method="POST",
        body=body,
        headers={"Content-Type": "application/json"},
        bounds=Bounds(size=64 * 1024, seconds=5.0, redirects=0),
    )
    if reply.status >= 300:
        raise FetchFailed(f"it answered {reply.status}")


def _deliver(
    settings: AlertSettings, alerts: Sequence[Alert], *, mailer: Sender, post: Post, console_url: str
) -> bool:
    """True when at least one of those to be told was reached."""
    first, more = alerts[0].words, len(alerts) - 1
    subject = f"Rastro: {first}" if not more else f"Rastro: {first} (and {more} more)"
    lines = [*(f"- {alert.words}" for alert in alerts), "", f"Look at {console_url}"]
    reached = False
    for address in filter(None, settings.emails.split(", ")):
        try:
            mailer.send(to=address, subject=subject[:200], text="\n".join(lines))
            reached = True
        except MailFailed as error:
            log.warning("alerts.mail_failed", reason=str(error))
    if settings.webhook_url:
        said = [
            {
                "kind": alert.kind,
                "subject": alert.subject,
                "text": alert.words,
                "at": alert.raised_at.isoformat(),
            }
            for alert in alerts
        ]
        try:
            post(settings.webhook_url, json.dumps({"alerts": said, "console": console_url}).encode())
            reached = True
        except (FetchRefused, FetchFailed) as error:
            log.warning("alerts.webhook_failed", reason=str(error))
    return reached


def _slow(states: Sequence[QueueState], longest: int) -> list[QueueState]:
    """Queues whose oldest waiting entry waits too long; a paused one waits because somebody wanted it to."""
    return [state for state in states if state.waits_s > longest and not state.paused]


def _given_up(session: Session) -> Sequence[Webhook]:
    """Outgoing postbacks that Rastro itself switched off, and nobody has switched on again."""
    return session.scalars(select(Webhook).where(Webhook.disabled_at.is_not(None)).order_by(Webhook.id)).all()


def _wait_words(state: QueueState) -> str:
    entries = "1 entry waits" if state.waiting == 1 else f"{state.waiting:,} entries wait"
    return f"{state.name}: {entries}, the oldest for {round(state.waits_s):,} s"


def _failure_words(group: Group) -> str:
    entries = "1 entry" if group.count == 1 else f"{group.count:,} entries"
    error = (group.error or group.reason).partition("\n")[0][:150]
    return f"{entries} of {group.task or group.queue} set aside: {error}"


def _sending_words(webhook: Webhook) -> str:
    return f"“{webhook.name}” is sent no conversions any more: {webhook.failures:,} attempts in a row failed"


def _books_words(hour: Hour, of_what: str) -> str:
    at = hour.start.strftime("%Y-%m-%d %H:00 UTC")
    if hour.counts.missing:
        return f"the books of {at} do not balance: {hour.counts.missing:,} {of_what} are missing"
    return (
        f"the books of {at} do not balance: {hour.counts.surplus:,} more {of_what} were stored than accepted"
    )
