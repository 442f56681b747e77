"""After a storm: what was put in against what PostgreSQL and Redis say, each counted on its own way."""

import json
import uuid
from collections import Counter
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs
from zoneinfo import ZoneInfo

import redis
from sqlalchemy import Engine, text

from core.contracts import click_event, keys
from core.contracts.click_event import REDIRECT
from core.db.tracking import ALL_LINKS, ALL_REDIRECTS
from tests.faults.storm_load import ROBOTS, Books, Letter
from tests.faults.storm_worker import TICK, TRIES

Count = tuple[int, int, int, int]
"""People, unique visitors, robots, others."""

_QUARTER_MS = 900_000


@dataclass(frozen=True, slots=True)
class Facts:
    """What there is to know of a storm's clicks. Links, quarter hours and hours without a click are left out."""

    missing: int
    foreign: int
    rows: int
    unique_rows: int
    links: dict[int, Count]
    all_links: Count
    quarters: dict[int, int]
    redirects_of_days: dict[str, int]
    stored: dict[str, int]
    accepted: dict[str, int]


def expected(books: Books, zone: ZoneInfo) -> Facts:
    """What a worker that makes no mistake leaves of these books."""
    links: dict[int, list[int]] = {}
    quarters: Counter[int] = Counter()
    days: Counter[str] = Counter()
    hours: Counter[str] = Counter()
    seen: set[tuple[str, int, str, str]] = set()
    for event in books.clicks.values():
        count = links.setdefault(event.link_id, [0, 0, 0, 0])
        quarters[event.unix_ms // _QUARTER_MS] += 1
        hours[click_event.hour_name(event.unix_ms)] += 1
        day = event.at.astimezone(zone).date().isoformat()
        if event.outcome != REDIRECT:
            count[3] += 1
            continue
        days[day] += 1
        if event.method == "HEAD" or event.user_agent in ROBOTS:
            count[2] += 1
            continue
        count[0] += 1
        visitor = (day, event.link_id, event.ip, event.user_agent)
        count[1] += visitor not in seen
        seen.add(visitor)
    return Facts(
        missing=0,
        foreign=0,
        rows=len(books.clicks),
        unique_rows=len(seen),
        links={link: _count(count) for link, count in links.items()},
        all_links=_count([sum(column) for column in zip(*links.values(), strict=True)]),
        quarters=dict(quarters),
        redirects_of_days=dict(days),
        stored=dict(hours),
        accepted=dict(books.accepted),
    )


def found(books: Books, engine: Engine) -> Facts:
    """What is there."""
    ids = {row.bytes for row in _column(engine, "select id from clicks")}
    sums = "sum(clicks), sum(uniques), sum(bots), sum(others)"
    links = {
        int(link): _count(count)
        for link, *count in _rows(engine, f"select link_id, {sums} from rollup_totals group by 1")
    }
    quarters = (
        "select extract(epoch from slot) / 900, sum(clicks + bots + others) from rollup_totals"
        f" where link_id <> {ALL_LINKS} group by 1"
    )
    days = (
        "select day::text, sum(clicks + bots) from rollup_dims"
        f" where link_id <> {ALL_LINKS} and kind = {ALL_REDIRECTS} group by 1"
    )
    return Facts(
        missing=len(books.clicks.keys() - ids),
        foreign=len(ids - books.clicks.keys()),
        rows=int(_column(engine, "select count(*) from clicks")[0]),
        unique_rows=int(_column(engine, "select count(*) from clicks where is_unique")[0]),
        links={link: count for link, count in links.items() if link != ALL_LINKS},
        all_links=links[ALL_LINKS],
        quarters=_numbers(engine, quarters),
        redirects_of_days=_numbers(engine, days),
        stored=_books(engine, "stored"),
        accepted=_books(engine, "accepted"),
    )


def look_now(engine: Engine) -> int:
    """How many postbacks are still to be judged; those that wait for their click are looked at again at once."""
    with engine.begin() as connection:
        connection.execute(text("update postbacks set next_try = now() where next_try is not null"))
    return int(_column(engine, "select count(*) from postbacks where verdict in ('new', 'waiting')")[0])


def check_postbacks(books: Books, engine: Engine) -> str:
    """Every postback is in the inbox once, and has made one conversion of its click and transaction; in words."""
    assert set(_column(engine, "select id from postbacks")) == {
        uuid.UUID(bytes=one) for one in books.postbacks
    }
    wanted = {
        (parameters["subid"][0], parameters["tid"][0])
        for event in books.postbacks.values()
        if "subid" in (parameters := parse_qs(event.query))
    }
    there = [tuple(row) for row in _rows(engine, "select ref_click::text, transaction_id from conversions")]
    assert Counter(there) == Counter(wanted)
    versions = _numbers(engine, "select conversion_id, max(version) from conversion_history group by 1")
    assert versions == _numbers(engine, "select id, version from conversions")
    poison = sum(count for (queue, *_), count in books.poison.items() if queue == "conversion")
    received = _numbers(engine, "select hour, received from postback_books where received > 0")
    stored = int(_column(engine, "select sum(stored) from postback_books")[0])
    assert {f"{hour:%Y%m%d%H}": count for hour, count in received.items()} == dict(books.received)
    assert stored == len(books.postbacks)
    verdicts = _numbers(engine, "select verdict, count(*) from postbacks group by 1")
    assert sum(verdicts.values()) == stored
    said = ", ".join(f"{count:,} {verdict}" for verdict, count in sorted(verdicts.items()))
    return (
        f"postbacks: {books.received.total():,} received, {stored:,} stored once, {poison} poison; "
        f"{said}; {len(there):,} conversions"
    )


def letters(valkey: "redis.Redis") -> Counter[Letter]:
    """The dead letters of all queues."""
    dead: Counter[Letter] = Counter()
    for queue in keys.QUEUES:
        field = keys.field_of(queue)
        for _, letter in valkey.xrange(keys.dead(queue)):
            if letter[b"reason"] == b"failed":
                assert letter[b"attempts"] == b"%d" % TRIES, letter
            dead[queue, letter[b"reason"].decode(), letter.get(b"task_id", letter[field])] += 1
    return dead


def check_letters(books: Books, valkey: "redis.Redis") -> str:
    """The dead letters hold all poison and nothing else; in words. What was taken twice may be there once: two equal
    messages that wait for their next attempt are one."""
    dead = letters(valkey)
    assert dead.keys() - books.poison.keys() == set()
    assert books.poison.keys() - dead.keys() == set()
    assert dead <= books.poison
    return f"dead letters: {dead.total()}, all of them poison; {books.poison.total()} were put in"


def waiting(valkey: "redis.Redis", engine: Engine) -> int:
    """Everything that somebody still has to do."""
    streams = [name(queue) for name in (keys.stream, keys.held) for queue in keys.QUEUES]
    queues = [valkey.xlen(stream) for stream in streams]
    queues += [valkey.zcard(keys.later(queue)) for queue in keys.QUEUES]
    return int(sum(queues) + _column(engine, "select count(*) from outbox")[0])


def check_tasks(books: Books, engine: Engine, interruptions: int) -> str:
    """Every task was done, and done again only where a worker or a server went; in words."""
    done = _numbers(engine, "select number, times from storm_notes")
    assert done.keys() == set(range(1, books.notes + 1))
    again = sum(done.values()) - len(done)
    assert again <= interruptions, (again, interruptions)
    return f"tasks: {books.notes:,} sent, {len(done):,} done, {again} of them twice"


def check_schedule(engine: Engine, interruptions: int, *, left: int) -> str:
    """Every run was claimed once, and each that was claimed ran once; again only where a worker or a server went."""
    doubled = "select name, next_run from storm_claims group by 1, 2 having count(*) > 1"
    assert _rows(engine, doubled) == []
    claims = _numbers(engine, "select name, count(*) from storm_claims group by 1")[TICK]
    put_out = _numbers(engine, "select name, count(*) from storm_rows group by 1")[TICK]
    ran = int(_column(engine, "select count(*) from storm_ticks")[0])
    assert claims >= put_out
    assert put_out - left <= ran <= put_out + interruptions, (put_out, left, ran, interruptions)
    (fails,) = _column(engine, "select last_result from schedule where name = 'storm fails'")
    assert fails == "failed: ValueError: never"
    return f"schedule: {claims} claims of a run a second, {put_out} put out, {ran} runs"


def said(log: str) -> tuple[Counter[str], Counter[str]]:
    """How often workers said something, and the entries that were concerned, by the name of the event."""
    times: Counter[str] = Counter()
    entries: Counter[str] = Counter()
    for line in log.splitlines():
        event: dict[str, Any] = json.loads(line)
        times[event["event"]] += 1
        entries[event["event"]] += int(event.get("entries", 0))
    return times, entries


def _count(columns: Any) -> Count:
    people, uniques, robots, others = map(int, columns)
    return people, uniques, robots, others


def _books(engine: Engine, column: str) -> dict[str, int]:
    hours = _numbers(engine, f"select extract(epoch from hour) * 1000, sum({column}) from books group by 1")
    return {click_event.hour_name(int(ms)): count for ms, count in hours.items() if count}


def _numbers(engine: Engine, sql: str) -> dict[Any, int]:
    return {key: int(count) for key, count in _rows(engine, sql)}


def _rows(engine: Engine, sql: str) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(text(sql)))


def _column(engine: Engine, sql: str) -> list[Any]:
    return [row[0] for row in _rows(engine, sql)]
