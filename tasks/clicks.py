"""A batch of queued clicks: decoded, enriched, stored in one transaction."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec
from sqlalchemy import Engine

from core import traces
from core.config import Settings
from core.contracts import click_event
from core.contracts.click_event import OUTCOMES, ClickEvent, unix_ms
from core.db.clicks import CLOCK, ClickStore, believable, store_batch
from core.db.engine import server_time
from core.db.visitor_keys import VisitorKeys
from core.geo import Countries
from tasks import metrics
from tasks.enrich import Enricher
from tasks.letters import POISON
from tasks.registry import Handler, batch

_LARGEST_NUMBER = 2**63 - 1


def _utc_now() -> datetime:
    return datetime.now(UTC)


@batch(queue="track")
def make_handler(
    settings: Settings,
    engine: Engine,
    *,
    process_name: str,
    now: Callable[[], datetime] = _utc_now,
    server_now: Callable[[Engine], datetime] = server_time,
) -> Handler:
    """The handler of one worker thread; `process_name` is unique among all threads of all processes.

    It stores what it can in ONE transaction and names the payloads that must be dead letters: "poison" for what is no
    click, "clock" for a click whose time is impossible by this machine's clock and by the database's. It raises for
    anything else, having stored nothing.
    """
    zone = settings.tz_default
    store = ClickStore(engine, zone=zone, owner=process_name, shards=settings.rollup_shards)
    countries = Countries(settings.geoip_mmdb)
    enricher = Enricher(
        zone=zone,
        keys=VisitorKeys(engine),
        countries=countries,
        robot_networks=settings.robot_networks,
    )

    def handle(payloads: Sequence[bytes]) -> Mapping[int, str]:
        at = now()
        events = [_read(payload) for payload in payloads]
        possible = believable(at)
        if not all(event is None or unix_ms(event.id) in possible for event in events):
            at = max(at, server_now(engine))  # a machine whose clock lags must not bury everybody's clicks
            possible = believable(at)
        today = at.astimezone(zone).date()
        countries.refresh()
        dead: dict[int, str] = {}
        prepared = []
        for index, event in enumerate(events):
            if event is None:
                dead[index] = POISON
            elif unix_ms(event.id) not in possible:
                dead[index] = CLOCK
            else:
                prepared.append(enricher.prepare(event, today=today))
        if prepared:
            with traces.span("store clicks", facts={"rastro.clicks": len(prepared)}):
                result = store_batch(store, prepared, now=at)
            metrics.CLICKS.labels("stored").inc(result.stored)
            metrics.CLICKS.labels("duplicate").inc(result.duplicate)
            metrics.CLICKS.labels("expired").inc(result.expired)
        return dead

    return handle


def _read(payload: bytes) -> ClickEvent | None:
    """The click in a payload; None for bytes that are no click, or one that no table can hold."""
    try:
        event = click_event.decode(payload)
    except msgspec.DecodeError:
        return None
    in_range = (
        0 < event.link_id <= _LARGEST_NUMBER
        and 0 <= event.revision <= _LARGEST_NUMBER
        and 0 <= event.rule <= _LARGEST_NUMBER
        and 0 <= event.variant <= _LARGEST_NUMBER
    )
    return event if in_range and event.outcome in OUTCOMES else None
