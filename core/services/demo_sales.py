"""Example sales: sources and the postbacks by which they tell of them, judged by the code that judges real ones."""

import itertools
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal

import msgspec
from redis import Redis
from sqlalchemy import Engine, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from core.contracts import keys
from core.contracts.click_event import hour_name, unix_ms
from core.contracts.postback_event import ADDRESS, TOKEN, PostbackEvent
from core.db import postback_store
from core.db.arrays import bigints, instants, uuids
from core.db.conversion_store import judge, load_sources
from core.db.conversions import ConversionSource, ExchangeRate, Webhook
from core.db.engine import make_sessions
from core.db.postback_store import PostbackRow
from core.db.queries import query
from core.domain.presets import PRESETS
from core.domain.sending import FORM
from core.services import demo_world as world
from core.services.actor import COMMAND
from core.services.conversion_sources import change_source, make_source
from core.services.coupons import put_coupon
from core.services.demo_stories import Purchase, Said, tell
from core.services.domains import default_domain
from core.services.webhooks import WebhookFields, create_webhook, switch

BATCH = 1000
_DAY_MS = 24 * 3_600_000
_WEBHOOK = "Plataforma de anúncios"


def make_sales(
    engine: Engine,
    redis: Redis,
    purchases: Sequence[Purchase],
    *,
    since: datetime,
    now: datetime,
    rng: random.Random,
    report_currency: str,
    coupon_link: str = "",
) -> int:
    """Sources as of `since`, exchange rates, an outgoing postback that is switched off, and what the sources said until
    `now` of these purchases. `coupon_link` is the slug that the coupon belongs to, "" for none. Returns the number of
    postbacks. Raises what the services and the store raise; what is stored by then stays."""
    with make_sessions(engine)() as session:
        sources = _sources(session, redis, now=since)
        _rates(session, report_currency, now=since)
        if coupon_link:
            put_coupon(session, code=world.COUPON, link=coupon_link, actor=COMMAND, now=since)
        domain = default_domain(session)
        host = domain.host if domain else ""
    told = tell(purchases, with_coupon=bool(coupon_link), rng=rng)
    end = int(now.timestamp() * 1000)
    events = [_event(said, sources, host, rng) for said in told if said.ms < end]
    for _, of_day in itertools.groupby(events, key=lambda event: unix_ms(event.id) // _DAY_MS):
        while batch := list(itertools.islice(of_day, BATCH)):
            _take(engine, redis, batch, report_currency=report_currency)
    with make_sessions(engine)() as session:
        _webhook(session, now=since)
    return len(events)


def id_at(ms: int, rng: random.Random) -> bytes:
    """An id (UUIDv7) of a time, as clicks and postbacks have."""
    number = ms << 80 | 7 << 76 | rng.getrandbits(12) << 64 | 2 << 62 | rng.getrandbits(62)
    return number.to_bytes(16, "big")


def _take(engine: Engine, redis: Redis, events: Sequence[PostbackEvent], *, report_currency: str) -> None:
    """What trackers and workers do with real ones, each of them as of a moment after it came."""
    pipeline = redis.pipeline(transaction=False)
    for hour, number in Counter(hour_name(unix_ms(event.id)) for event in events).items():
        pipeline.hincrby(keys.RECEIVED, hour, number)
    pipeline.execute()
    at = events[-1].at
    with engine.begin() as connection:
        postback_store.store(connection, events, now=at)
        rows = [PostbackRow(event) for event in events]
        sources = load_sources(connection)
        judged = judge(connection, rows, sources=sources, now=at, report_currency=report_currency)
        connection.execute(
            query("demo_times"),
            {
                "ids": uuids([one.postback_id.bytes for one in judged]),
                "seconds": instants([unix_ms(one.postback_id.bytes) // 1000 + 1 for one in judged]),
                "conversions": bigints([one.conversion_id or 0 for one in judged]),
            },
        )


def _event(
    said: Said, sources: Mapping[str, tuple[int, str]], host: str, rng: random.Random
) -> PostbackEvent:
    reporter = next(one for one in world.REPORTERS if one.name == said.source)
    source_id, hint = sources[said.source]
    return PostbackEvent(
        id=id_at(said.ms, rng),
        source_id=0 if said.refused == TOKEN else source_id,
        method="POST" if said.body else "GET",
        host=host,
        query=said.query,
        content_type="application/json" if said.body else "",
        body=said.body.encode(),
        ip=world.STRANGER if said.refused == ADDRESS else reporter.address,
        user_agent=reporter.agent,
        token_hint=world.NOBODYS_TOKEN if said.refused == TOKEN else hint,
        refused=said.refused,
        status={TOKEN: 401, ADDRESS: 403}.get(said.refused, 200),
    )


def _sources(session: Session, redis: Redis, *, now: datetime) -> dict[str, tuple[int, str]]:
    """Name -> id and the newest token's hint; a source that is there already is left as it is."""
    for reporter in world.REPORTERS:
        if session.scalar(select(ConversionSource.id).where(ConversionSource.name == reporter.name)) is None:
            made = make_source(
                session, name=reporter.name, preset=reporter.preset, actor=COMMAND, now=now, redis=redis
            )
            change_source(
                session,
                source_id=made.source.id,
                version=made.source.version,
                name=reporter.name,
                settings=msgspec.structs.replace(PRESETS[reporter.preset].settings, **reporter.settings),
                actor=COMMAND,
                now=now,
                redis=redis,
            )
    names = [reporter.name for reporter in world.REPORTERS]
    found = session.scalars(select(ConversionSource).where(ConversionSource.name.in_(names)))
    return {source.name: (source.id, source.tokens[0].hint if source.tokens else "") for source in found}


def _rates(session: Session, report_currency: str, *, now: datetime) -> None:
    """What is there stays: somebody may have filled it in."""
    worth = world.IN_USD.get(report_currency)
    currencies = [code for code in world.IN_USD if code != report_currency]
    if worth is None:
        return
    rows = [
        {
            "currency": code,
            "day": now.date(),
            "rate": (world.IN_USD[code] / worth).quantize(Decimal("0.000001")),
            "origin": COMMAND.name,
            "created_at": now,
        }
        for code in currencies
    ]
    session.execute(postgresql.insert(ExchangeRate).values(rows).on_conflict_do_nothing())
    session.commit()


def _webhook(session: Session, *, now: datetime) -> None:
    """Switched off: nothing of an example goes out of the house."""
    if session.scalar(select(Webhook.id).where(Webhook.name == _WEBHOOK)) is not None:
        return
    fields = WebhookFields(
        name=_WEBHOOK,
        url="https://ads.example.com/conversions?click={external_id}&value={amount}&currency={currency}",
        content_type=FORM,
    )
    made = create_webhook(session, fields=fields, actor=COMMAND, now=now)
    switch(session, webhook_id=made.id, on=False, actor=COMMAND, now=now)
