"""A batch from the queue: decoded, enriched, stored; what can not be stored is named."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from core import geo
from core.config import Settings
from core.contracts.click_event import GONE, ClickEvent, encode
from core.db import shards
from core.db.reports import breakdown
from core.db.visitor_keys import VisitorKeys, forget_visitors
from core.domain.ranges import parse_ranges
from core.domain.visitors import KEPT_DAYS
from tasks.clicks import make_handler
from tasks.registry import REGISTRY
from tests.core.db.samples import NOW, click_id, raw_clicks, rows
from tests.tasks.mmdb import write_mmdb

pytestmark = pytest.mark.usefixtures("clean_database")

PERSON = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 Chrome/131.0.0.0 Mobile Safari/537.36"


def event(seconds: float = 0, *, tail: int = 1, **fields: Any) -> ClickEvent:
    """A person's click, `seconds` before NOW."""
    given: dict[str, Any] = {
        "link_id": 1,
        "host": "go.example.com",
        "path": "/bf",
        "ip": "203.0.113.77",
        "user_agent": PERSON,
        **fields,
    }
    return ClickEvent(id=click_id(NOW - timedelta(seconds=seconds), tail), **given)


def handle(
    settings: Settings, engine: Engine, payloads: Sequence[bytes], *, behind: timedelta = timedelta()
) -> Mapping[int, str]:
    """What a fresh worker thread makes of a batch at NOW, on a machine whose clock is `behind`."""
    handler = make_handler(
        settings, engine, process_name="test", now=lambda: NOW - behind, server_now=lambda _: NOW
    )
    return handler(payloads)


def test_it_is_the_handler_of_the_clicks_queue() -> None:
    assert REGISTRY.batches["track"].make is make_handler


def test_it_knows_the_operators_networks_of_robots(settings: Settings, engine: Engine) -> None:
    """Also where the tracker did not, and nothing of it stays for another address of the same agent."""
    known = replace(settings, robot_networks=parse_ranges("203.0.113.0/24"))
    clicks = [
        event(tail=1),
        event(tail=2, ip="198.51.100.7"),
        event(tail=3, ip="198.51.100.7", door_bot="network"),
        event(tail=4, user_agent="Barracuda Sentinel (EE)"),
    ]
    assert handle(known, engine, [encode(click) for click in clicks]) == {}
    reasons = [row["bot_reason"] for row in raw_clicks(engine)]
    assert reasons == ["network", "", "network", "scanner"]


def test_it_stores_what_can_be_read_out_of_a_click(settings: Settings, engine: Engine) -> None:
    full = event(
        query="utm_source=Mail&utm_campaign=BF",
        referrer="https://www.instagram.com/p/1",
        language="pt-br,en;q=0.5",
        revision=12,
    )
    assert handle(settings, engine, [encode(full)]) == {}
    (row,) = raw_clicks(engine)
    words = (
        "browser",
        "os",
        "device",
        "language",
        "referrer_host",
        "utm_source",
        "utm_campaign",
        "bot_reason",
    )
    assert [row[name] for name in words] == [
        *("Chrome", "Android", "mobile", "pt-BR", "instagram.com", "Mail", "BF", ""),
    ]
    assert (str(row["ip"]), row["revision"], row["is_unique"], row["query"]) == (
        *("203.0.113.0", 12, True),
        "utm_source=Mail&utm_campaign=BF",
    )
    assert row["visitor"] != 0


def test_it_takes_the_utm_values_of_where_the_visitor_was_led(settings: Settings, engine: Engine) -> None:
    query = "utm_source=short&s=flyer"
    events = [
        event(query=query, source="flyer", landing_utm="utm_source=resolved%20one", tail=1),
        event(query=query, source="flyer", landing_utm="", tail=2),
        event(query=query, tail=3),
    ]
    assert handle(settings, engine, [encode(one) for one in events]) == {}
    found = sorted((row["utm_source"], row["source"]) for row in raw_clicks(engine))
    assert found == [("", "flyer"), ("resolved one", "flyer"), ("short", "")]


@pytest.mark.parametrize(
    ("fields", "reason", "door"),
    [
        ({"user_agent": "curl/8.5.0"}, "agent", ""),
        ({"user_agent": ""}, "empty_agent", ""),
        ({"method": "HEAD"}, "head", ""),
        ({"purpose": "prefetch"}, "prefetch", ""),
        ({"door_bot": "network"}, "network", "network"),
        ({"user_agent": "x" * 60_000}, "", ""),
    ],
)
def test_it_asks_again_who_is_a_robot(
    settings: Settings, engine: Engine, fields: dict[str, Any], reason: str, door: str
) -> None:
    handle(settings, engine, [encode(event(**fields))])
    (row,) = raw_clicks(engine)
    assert (row["bot_reason"], row["door_bot"], row["is_unique"]) == (reason, door, not reason)


def test_it_stores_and_counts_what_led_a_click(settings: Settings, engine: Engine) -> None:
    led = [event(tail=n, rule=5, variant=n % 2 + 8, ip=f"203.0.{n}.1") for n in range(3)]
    impossible = event(tail=9, rule=-1)
    assert handle(settings, engine, [*map(encode, led), encode(impossible), encode(event(tail=4))]) == {
        3: "poison"
    }
    assert sorted((row["rule"], row["variant"]) for row in raw_clicks(engine)) == [
        *(("", ""), ("5", "8"), ("5", "8"), ("5", "9"))
    ]
    with Session(engine) as session:
        for kind, expected in (("rule", {"5": 3, "": 1}), ("variant", {"8": 2, "9": 1, "": 1})):
            found = breakdown(
                session, link_id=1, kind=kind, first_day=NOW.date(), last_day=NOW.date() + timedelta(days=1)
            )
            assert {row.value: row.clicks for row in found.rows} == expected


def test_it_names_what_must_be_a_dead_letter_and_stores_the_others(
    settings: Settings, engine: Engine
) -> None:
    payloads = [
        encode(event(tail=1)),
        b"\xc1garbage",
        b"",
        encode(ClickEvent(id=b"short", link_id=1)),
        encode(event(tail=2, link_id=0)),
        encode(event(tail=3, link_id=2**63)),
        encode(event(tail=4, outcome="vanished")),
        encode(event(-2 * 86_400)),
        encode(ClickEvent(id=b"\x00" * 16, link_id=1)),
        encode(ClickEvent(id=b"\xff" * 16, link_id=1)),
        encode(event(tail=5, outcome=GONE)),
    ]
    dead = handle(settings, engine, payloads)
    assert dead == {**dict.fromkeys(range(1, 7), "poison"), **dict.fromkeys((7, 8, 9), "clock")}
    assert len(raw_clicks(engine)) == 2


def test_it_buries_nothing_for_a_clock_of_its_own_that_lags(settings: Settings, engine: Engine) -> None:
    payloads = [encode(event(tail=1)), encode(event(-2 * 86_400)), encode(event(tail=2))]
    assert handle(settings, engine, payloads, behind=timedelta(days=900)) == {1: "clock"}
    assert [bool(row["visitor"]) for row in raw_clicks(engine)] == [True, True]
    lagging = make_handler(settings, engine, process_name="lags", now=lambda: NOW - timedelta(days=900))
    young = ClickEvent(id=click_id(datetime.now(UTC), 1), link_id=1)
    assert lagging([encode(young)]) == {}


def test_it_stores_a_batch_once_whoever_brings_it(settings: Settings, engine: Engine) -> None:
    payloads = [encode(event(second, tail=second, ip=f"203.0.113.{second % 7}")) for second in range(50)]
    assert handle(settings, engine, payloads) == {}
    before = raw_clicks(engine)
    assert handle(settings, engine, [*payloads, payloads[0]]) == {}
    assert raw_clicks(engine) == before
    assert rows(engine, "select sum(stored), sum(duplicate) from books") == [(50, 51)]
    assert sum(row["is_unique"] for row in before) == 7


def test_it_knows_a_visitor_for_a_day_and_nobody_for_longer(settings: Settings, engine: Engine) -> None:
    day = 86_400
    payloads = [encode(event(ago * day, tail=ago)) for ago in (0, 1, KEPT_DAYS, KEPT_DAYS + 1)]
    handle(settings, engine, payloads)
    visitors = [row["visitor"] for row in raw_clicks(engine)]
    assert visitors[0] == 0  # older than any key that is kept
    assert len(set(visitors)) == 4
    assert [row["is_unique"] for row in raw_clicks(engine)] == [False, True, True, True]


def test_it_destroys_the_keys_of_days_that_are_over(engine: Engine) -> None:
    keys = VisitorKeys(engine)
    today = date(2026, 11, 23)
    made = {ago: keys.key_of(today - timedelta(days=ago), today=today) for ago in range(-2, 5)}
    assert [ago for ago, key in made.items() if key is None] == [-2, 4]
    assert VisitorKeys(engine).key_of(today, today=today) == made[0]
    later = today + timedelta(days=2)
    with engine.begin() as connection:
        forget_visitors(connection, today=later)
    assert rows(engine, "select min(day) from visitor_keys") == [(later - timedelta(days=KEPT_DAYS),)]
    assert keys.key_of(today - timedelta(days=2), today=later) is None


@pytest.mark.parametrize(
    ("record", "code"),
    [
        ({"country": {"iso_code": "BR"}}, "BR"),
        ({"country_code": "pt"}, "PT"),
        ({"country": "AR"}, "AR"),
        ({"continent": {"code": "SA"}}, ""),
        ({"country": {"iso_code": "BRA"}}, ""),
    ],
)
def test_it_looks_up_the_country_in_either_shape(
    settings: Settings, engine: Engine, tmp_path: Path, record: dict[str, Any], code: str
) -> None:
    path = tmp_path / "geo.mmdb"
    write_mmdb(path, ip_network("203.0.113.0/24"), record)
    countries = geo.Countries(path)
    countries.refresh()
    assert [countries.of(ip) for ip in ("203.0.113.9", "198.51.100.1", "", "nonsense")] == [code, "", "", ""]


def test_it_follows_a_new_file_and_keeps_the_last_good_one(tmp_path: Path) -> None:
    path = tmp_path / "geo.mmdb"
    write_mmdb(path, ip_network("203.0.113.0/24"), {"country_code": "BR"})
    countries = geo.Countries(path)
    for content, code in ((None, "BR"), (b"no such format", "BR"), ("PT", "PT")):
        if isinstance(content, bytes):
            new = tmp_path / "new"
            new.write_bytes(content)
            new.rename(path)
        elif content:
            write_mmdb(path, ip_network("203.0.0.0/16"), {"country_code": content})
        countries.refresh()
        assert countries.of("203.0.113.9") == code
    path.unlink()
    countries.refresh()
    assert countries.of("203.0.113.9") == "PT"


def test_it_knows_no_country_without_a_file() -> None:
    countries = geo.Countries(None)
    countries.refresh()
    assert countries.of("203.0.113.9") == ""


def test_it_takes_a_shard_of_its_own_for_each_thread(
    environment: dict[str, str], engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "LEASE_S", 3600)  # none may end while a busy machine takes its time
    settings = Settings.from_env({**environment, "ROLLUP_SHARDS": "16"})
    for number in range(18):
        handler = make_handler(settings, engine, process_name=f"thread {number}", now=lambda: NOW)
        assert handler([encode(event(tail=number))]) == {}
    assert rows(engine, "select count(distinct shard) from rollup_totals") == [(16,)]
    assert rows(engine, "select count(distinct owner) from rollup_shards") == [(16,)]
    with engine.begin() as connection:
        connection.execute(
            text("update rollup_shards set leased_until = now() - interval '1 s' where shard = 9")
        )
    handler = make_handler(settings, engine, process_name="next", now=lambda: NOW)
    handler([encode(event(tail=99))])
    assert rows(engine, "select owner from rollup_shards where shard = 9") == [("next",)]


def test_it_writes_no_more_shards_than_it_is_told(environment: dict[str, str], engine: Engine) -> None:
    settings = Settings.from_env({**environment, "ROLLUP_SHARDS": "2"})
    for number in range(6):
        handler = make_handler(settings, engine, process_name=f"thread {number}", now=lambda: NOW)
        assert handler([encode(event(tail=number))]) == {}
    assert rows(engine, "select distinct shard from rollup_totals order by shard") == [(0,), (1,)]
    assert rows(engine, "select sum(clicks) from rollup_totals where link_id = 0") == [(6,)]


def test_it_counts_days_in_the_zone_of_the_organisation(environment: dict[str, str], engine: Engine) -> None:
    settings = Settings.from_env({**environment, "TZ_DEFAULT": "Asia/Kolkata"})
    assert settings.tz_default == ZoneInfo("Asia/Kolkata")
    handle(settings, engine, [encode(event(seconds, tail=seconds)) for seconds in (0, 18 * 3600)])
    days = rows(engine, "select day from rollup_dims where link_id = 1 and kind = 0 order by day")
    assert days == [(date(2026, 11, 22),), (date(2026, 11, 23),)]
