"""A rule all the way: saved, published, followed, changed and followed anew, stored, and found in the report."""

import asyncio
import time
from datetime import UTC, datetime

from quart.typing import TestClientProtocol as Client
from redis import Redis
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from core.config import Settings
from core.contracts import keys
from core.contracts.link_snapshot import Condition
from core.db.reports import breakdown
from core.services import domains, links, publishing
from core.services.actor import COMMAND
from core.services.link_rules import names_of
from core.services.links import RuleFields, VariantFields
from tasks.clicks import make_handler
from tests.tracker_quart.conftest import CHROME, Publisher
from tracker_quart.app import create_app

URL, VIPS, GOLD = "https://shop.example/", "https://shop.example/vip", "https://shop.example/gold"


async def test_it_leads_and_reports_what_was_saved(
    db: Session, engine: Engine, valkey: Redis, environment: dict[str, str]
) -> None:
    now = datetime.now(UTC)
    settings = Settings.from_env({**environment, "DEFAULT_HOSTS": "localhost", "DRAIN_LIMIT": "2"})
    domains.add_domain(db, host="go.example.com", actor=COMMAND, now=now)
    vips = RuleFields(conditions=(Condition("query", name="vip"),), url=VIPS, name="VIPs")
    split = (VariantFields(f"{URL}a", 1, "Old"), VariantFields(f"{URL}b", 1, "New"))
    link = links.create_link(
        db, url=URL, slug="tv", rules=[vips], split=split, actor=COMMAND, now=now, redis=valkey
    )
    publishing.republish_all(engine, valkey)
    app = create_app(settings)
    async with app.test_app():
        client = app.test_client()
        assert await follow(client, "/tv?vip") == VIPS
        variant = await follow(client, "/tv")
        (rule,) = link.rules
        gold = RuleFields(conditions=vips.conditions, url=GOLD, name="Gold", id=rule.id)
        links.edit_link(db, link_id=link.id, rules=[gold], actor=COMMAND, now=now, redis=valkey)
        deadline = time.monotonic() + 10
        while await follow(client, "/tv?vip") != GOLD:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)
        assert await follow(client, "/tv") == variant
        clicks = await Publisher(valkey).kept(5)
    entries = [fields[keys.EVENT_FIELD] for _, fields in valkey.xrange(keys.stream("track"))]
    assert make_handler(settings, engine, process_name="test")(entries) == {}
    found = {}
    for kind in ("rule", "variant"):
        days = {"first_day": now.date(), "last_day": datetime.now(UTC).date()}
        rows = breakdown(db, link_id=link.id, kind=kind, **days).rows
        names = names_of(db, kind=kind, ids=[int(row.value) for row in rows if row.value])
        found[kind] = {names[int(row.value)] if row.value else "": row.clicks for row in rows}
    led = len(clicks) - 2
    assert found["rule"] == {"Gold": led, "": 2}
    assert found["variant"] == {"Old" if variant.endswith("a") else "New": 2, "": led}


async def follow(client: Client, path: str) -> str:
    """Where a person's browser is led, without a query."""
    answer = await client.get(path, headers={"user-agent": CHROME})
    assert answer.status_code == 302
    location: str = answer.headers["location"]
    return location.partition("?")[0]
