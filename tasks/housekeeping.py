"""What the schedule runs: looking after tables and Redis. Each may run twice, or late, without harm."""

from datetime import datetime, timedelta

from sqlalchemy import delete
from sqlalchemy.orm import Session

from core.contracts import keys
from core.db import deliveries, postback_store
from core.db.models import PasswordReset
from core.db.models import Session as SignIn
from core.db.partitions import ensure_partitions
from core.db.visitor_keys import forget_visitors
from core.domain.rate_feeds import BadFeed
from core.net import FetchFailed, FetchRefused
from core.services import alerts, books, postback_books, rates
from core.services.mail import make_waiting_mailer
from core.services.publishing import is_published, republish_all
from core.services.queues.letters import forget_before
from tasks.registry import Context

MONTHS_AHEAD = 3
DELIVERIES_KEPT = timedelta(days=90)

ADDRESSES_KEPT = timedelta(days=7)
"""Full addresses in the inbox of postbacks, as everywhere."""

_BATCH, _MOST_BATCHES = 5000, 400


def make_partitions(context: Context, now: datetime) -> str:
    """Have the partitions of the clicks of this month and the next ones."""
    with context.engine.begin() as connection:
        made = ensure_partitions(connection, now=now, months_ahead=MONTHS_AHEAD)
    return f"made {', '.join(made)}" if made else "all there"


def republish_when_missing(context: Context, now: datetime) -> str:
    """Write every snapshot again when Redis has lost its ready marker."""
    if is_published(context.redis):
        return "all there"
    return f"{republish_all(context.engine, context.redis)} links published"


def copy_books(context: Context, now: datetime) -> str:
    """Copy the clicks and postbacks accepted, answered and set aside by hour from Redis to the books."""
    hours = books.copy_books(context.engine, context.redis)
    hours = max(hours, postback_books.copy_postback_books(context.engine, context.redis))
    return f"{hours} hours" if hours else "none yet"


def reconcile(context: Context, now: datetime) -> str:
    """Judge the books and put on record how they stand; hours long past leave Redis."""
    books.forget_hours(context.engine, context.redis, now=now)
    postback_books.forget_postback_hours(context.engine, context.redis, now=now)
    with Session(context.engine) as session:
        found = books.read_books(session, context.redis, now=now, hours=books.DAYS * 24, fresh_answers=True)
        books.put_on_record(session, found, now=now)
        postbacks = postback_books.read_postback_books(
            session,
            context.redis,
            now=now,
            hours=books.DAYS * 24,
            kept_days=context.settings.postbacks_kept_days,
        )
    total, received = found.total, postbacks.books.total
    return (
        f"{found.state}: {total.accepted:,} accepted, {total.stored:,} stored, {found.missing:,} missing; "
        f"postbacks {postbacks.state}: {received.accepted:,} received, {received.stored:,} stored"
    )


def watch(context: Context, now: datetime) -> str:
    """Look for what a person must know of, and tell it."""
    settings = context.settings
    with Session(context.engine, expire_on_commit=False) as session:
        found = books.read_books(session, context.redis, now=now, hours=books.DAYS * 24)
        postbacks = postback_books.read_postback_books(
            session, context.redis, now=now, hours=books.DAYS * 24
        ).books
        matters = alerts.look_around(session, context.redis, books=found, postbacks=postbacks, now=now)
        raised, cleared = alerts.update_alerts(session, matters, now=now)
        told = alerts.tell_alerts(
            session,
            mailer=make_waiting_mailer(settings),
            post=alerts.post_json,
            console_url=f"{settings.admin_url}/queues",
            now=now,
        )
    return f"{len(matters)} open, {raised} raised, {cleared} cleared, {told} told"


def prune_alerts(context: Context, now: datetime) -> str:
    """Remove alerts that were over a year ago."""
    with Session(context.engine) as session:
        return f"{alerts.prune_alerts(session, now=now)} removed"


def prune_deliveries(context: Context, now: datetime) -> str:
    """Remove what was sent on (or given up) more than ninety days ago."""
    removed = 0
    while True:
        with context.engine.begin() as connection:
            step = deliveries.prune(connection, before=now - DELIVERIES_KEPT)
        removed += step
        if not step:
            return f"{removed} removed"


def prune_visitors(context: Context, now: datetime) -> str:
    """Destroy the visitor keys of days that are over for three days, and who was counted with them."""
    today = now.astimezone(context.settings.tz_default).date()
    with context.engine.begin() as connection:
        visitors = forget_visitors(connection, today=today)
    return f"{visitors} visitors forgotten"


def prune_sessions(context: Context, now: datetime) -> str:
    """Remove sessions and password resets that have expired."""
    with context.engine.begin() as connection:
        sessions = connection.execute(delete(SignIn).where(SignIn.expires_at < now)).rowcount
        resets = connection.execute(delete(PasswordReset).where(PasswordReset.expires_at < now)).rowcount
    return f"{sessions} sessions and {resets} resets removed"


def prune_postbacks(context: Context, now: datetime) -> str:
    """Forget addresses of postbacks after seven days, and the postbacks themselves when the inbox has kept them."""
    blanked = removed = 0
    for _ in range(_MOST_BATCHES):
        with context.engine.begin() as connection:
            kept = timedelta(days=context.settings.postbacks_kept_days)
            gone = postback_store.prune(connection, before=now - kept, most=_BATCH)
            blank = postback_store.blank_addresses(connection, before=now - ADDRESSES_KEPT, most=_BATCH)
        blanked, removed = blanked + blank, removed + gone
        if max(gone, blank) < _BATCH:
            break
    return f"{removed} postbacks removed, addresses of {blanked} forgotten"


def exchange_rates(context: Context, now: datetime) -> str:
    """Fetch the feed of exchange rates, where there is one, and count conversions by the rates of now."""
    settings = context.settings
    report_currency = settings.report_currency
    said = "no feed"
    try:
        if settings.rates_url:
            fetched = rates.fetch_rates(
                context.engine, url=settings.rates_url, report_currency=report_currency, now=now
            )
            said = f"{fetched} rates"
    except (FetchRefused, FetchFailed, BadFeed) as error:
        said = f"the feed failed: {error}"
    counted = rates.count_again(context.engine, report_currency=report_currency)
    return f"{said}, {counted} conversions counted again"


def trim_dead_letters(context: Context, now: datetime) -> str:
    """Remove dead letters older than seven days: they hold full addresses of visitors."""
    oldest = max(int(now.timestamp() * 1000) - keys.DEAD_TTL_MS, 0)
    return f"{forget_before(context.redis, oldest_ms=oldest)} removed"
