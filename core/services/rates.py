"""The feed of exchange rates: fetched, stored, and counted with."""

from collections.abc import Callable
from datetime import UTC, date, datetime

from sqlalchemy import Engine

from core.db.rates import fill_rates, store_rates
from core.domain.rate_feeds import BadFeed, parse_feed
from core.net import Bounds, FetchFailed, Reply, fetch

FEED = "feed"
"""The origin of rates that a feed said; those that a person filled in stay as they are."""

_BOUNDS = Bounds(size=4 * 1024 * 1024, seconds=30.0)
_EVER = date(1970, 1, 1)


def _fetch(url: str) -> Reply:
    return fetch(url, bounds=_BOUNDS)


def fetch_rates(
    engine: Engine,
    *,
    url: str,
    report_currency: str,
    now: datetime,
    get: Callable[[str], Reply] = _fetch,
) -> int:
    """Fetch a feed and store its rates. Returns how many of them are new or others than before. Raises FetchRefused,
    FetchFailed, BadFeed, SQLAlchemyError; nothing is stored then."""
    reply = get(url)
    if reply.status != 200:
        raise FetchFailed(f"The feed answered with status {reply.status}.")
    if reply.cut:
        raise BadFeed("it is too large")
    rates = parse_feed(reply.body, report_currency=report_currency, today=now.astimezone(UTC).date())
    with engine.begin() as connection:
        return store_rates(connection, rates, origin=FEED)


def count_again(engine: Engine, *, report_currency: str) -> int:
    """Count every conversion again by the rates of now. Returns how many changed."""
    with engine.begin() as connection:
        return fill_rates(connection, "", _EVER, report_currency=report_currency)
