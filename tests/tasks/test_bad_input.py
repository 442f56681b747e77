"""What nobody expects in a queue, through the product's handlers: it ends where it is seen, and nothing stops."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import redis
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

import tasks.main  # noqa: F401 (registers what the product does)
from core.contracts import keys, task_message
from core.contracts.click_event import GONE, ClickEvent, encode
from core.contracts.task_message import TaskMessage
from core.db.reports import breakdown
from core.db.work import Schedule
from core.services import domains, links
from core.services.actor import COMMAND
from tasks import schedule
from tasks.outbox import pump
from tasks.registry import REGISTRY, Context, Registry, task
from tasks.schedule import Entry, claim_due
from tasks.streams import StreamStorage
from tests.core.db.samples import click_id, raw_clicks, rows
from tests.tasks.conftest import MakeWorker

pytestmark = pytest.mark.usefixtures("clean_database")

NOW = datetime.now(UTC)
AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"


def click(at: datetime = NOW, *, tail: int = 1, **fields: Any) -> bytes:
    given: dict[str, Any] = {"link_id": 1, "ip": "203.0.113.7", "user_agent": AGENT, **fields}
    return encode(ClickEvent(id=click_id(at, tail), **given))


def letters(valkey: redis.Redis, queue: str = "track") -> list[dict[bytes, bytes]]:
    return [letter for _, letter in valkey.xrange(keys.dead(queue))]


def left(valkey: redis.Redis) -> int:
    return sum(valkey.xlen(keys.stream(queue)) + valkey.zcard(keys.later(queue)) for queue in keys.QUEUES)


def test_it_buries_bad_clicks_and_stores_the_good_ones_between_them(
    make_worker: MakeWorker, engine: Engine, valkey: redis.Redis
) -> None:
    bad = {
        b"\xc1 garbage": b"poison",
        b"": b"poison",
        b"\x81" * 100_000: b"poison",
        msgspec.msgpack.encode({"i": click_id(NOW, 7), "l": "seven"}): b"poison",
        click(datetime(1970, 1, 1, tzinfo=UTC)): b"clock",
        click(datetime(2100, 1, 1, tzinfo=UTC)): b"clock",
    }
    payloads = []
    for tail, one in enumerate(bad):
        payloads += [click(tail=2 * tail), one, click(tail=2 * tail + 1)]
    worker = make_worker(REGISTRY, ("track",))
    worker.huey.storage.add("track", payloads)
    worker.loop()
    assert left(valkey) == 0
    assert {letter[b"e"]: letter[b"reason"] for letter in letters(valkey)} == bad
    assert len(letters(valkey)) == len(bad)
    assert len(raw_clicks(engine)) == 2 * len(bad)


def test_it_stores_clicks_of_older_and_newer_trackers(
    make_worker: MakeWorker, engine: Engine, valkey: redis.Redis
) -> None:
    older = {"i": click_id(NOW, 1), "l": 5}
    newer = {**older, "i": click_id(NOW, 2), "v": 99, "news": {"of": ["a", "later", "release"]}}
    worker = make_worker(REGISTRY, ("track",))
    worker.huey.storage.add("track", [msgspec.msgpack.encode(one) for one in (older, newer)])
    worker.loop()
    assert [row["link_id"] for row in raw_clicks(engine)] == [5, 5]
    assert (left(valkey), letters(valkey)) == (0, [])


def test_it_runs_messages_of_older_programs_and_shows_those_of_newer_ones(
    make_worker: MakeWorker, valkey: redis.Redis
) -> None:
    registry = Registry()
    ran: list[int] = []
    task(queue="system", name="test.run", registry=registry)(lambda context, number: ran.append(number))
    older = msgspec.msgpack.encode({"id": "1", "task": "test.run", "args": [7]})
    newer = msgspec.msgpack.encode({"id": "2", "task": "test.run", "args": [8], "version": 99, "news": 1})
    worker = make_worker(registry, ("system",))
    worker.huey.storage.add("system", [newer, older])
    worker.loop()
    worker.loop()
    assert ran == [7]
    (letter,) = letters(valkey, "system")
    assert [letter[name] for name in (b"reason", b"task", b"args", b"m")] == [
        *(b"newer", b"test.run", b"[8]", newer)
    ]
    assert left(valkey) == 0


def test_it_counts_clicks_of_a_link_that_was_deleted_meanwhile(
    make_worker: MakeWorker, engine: Engine, valkey: redis.Redis, db: Session
) -> None:
    domains.add_domain(db, host="go.example.com", actor=COMMAND, now=NOW)
    link = links.create_link(db, url="https://example.com", slug="sale", actor=COMMAND, now=NOW)
    links.delete_link(db, link_id=link.id, actor=COMMAND, now=NOW)
    never_was = 10**9
    worker = make_worker(REGISTRY, ("track",))
    worker.huey.storage.add(
        "track",
        [
            click(NOW - timedelta(minutes=5), link_id=link.id),
            click(link_id=link.id, outcome=GONE),
            click(tail=2, link_id=never_was),
        ],
    )
    worker.loop()
    assert (left(valkey), letters(valkey)) == (0, [])
    assert sorted(row["link_id"] for row in raw_clicks(engine)) == [link.id, link.id, never_was]
    day = NOW.date()
    counts = [
        breakdown(
            db,
            link_id=one,
            kind="browser",
            first_day=day - timedelta(days=1),
            last_day=day + timedelta(days=1),
        )
        for one in (link.id, never_was)
    ]
    assert [[(row.value, row.clicks) for row in count.rows] for count in counts] == [[("Firefox", 1)]] * 2


def test_it_stores_what_fits_of_an_enormous_click(
    make_worker: MakeWorker, engine: Engine, valkey: redis.Redis
) -> None:
    much = "Mozilla/5.0 (" + "x; " * 1_000_000
    everywhere = {"query": f"utm_source={much}", "referrer": f"https://site.example/{much}", "language": much}
    worker = make_worker(REGISTRY, ("track",))
    worker.huey.storage.add(
        "track", [click(tail=1), click(tail=2, user_agent=much, **everywhere), click(tail=3)]
    )
    worker.loop()
    assert (left(valkey), letters(valkey)) == (0, [])
    assert [len(row["query"] or "") for row in raw_clicks(engine)] == [0, 2048, 0]
    longest = rows(engine, "select kind, max(length(value)) from dictionaries group by kind")
    assert max(length for _, length in longest) == 1024


@pytest.mark.parametrize("queue", ["track", "system"])
def test_it_handles_what_was_delivered_a_hundred_times(
    make_worker: MakeWorker, engine: Engine, valkey: redis.Redis, queue: str
) -> None:
    """A hundred consumers took it and said nothing more, without having stood alone with it: it is no poison."""
    ran: list[str] = []
    registry = Registry(batches=REGISTRY.batches)
    task(queue="system", name="test.run", registry=registry)(lambda context: ran.append("ran"))
    message = task_message.encode(TaskMessage(id="1", task="test.run"))
    worker = make_worker(registry, (queue,))
    storage = worker.huey.storage
    storage.add(queue, [click() if queue == "track" else message])
    (lot,) = storage.take([queue], "consumer 0", most=1)
    for times in range(1, 100):
        storage.drop(lot)
        give_up(storage, queue, lot.ids[0])
        again = storage.reclaim(queue, f"consumer {times}", most=1)
        assert again is not None
        assert again.deliveries == times
        lot = again
    storage.drop(lot)
    give_up(storage, queue, lot.ids[0])
    worker.loop()
    assert len(raw_clicks(engine)) + len(ran) == 1
    assert (left(valkey), letters(valkey, queue), valkey.hgetall(keys.suspects(queue))) == (0, [], {})


def give_up(storage: StreamStorage, queue: str, entry: bytes) -> None:
    """As if the lease of whoever has the entry had ended."""
    (row,) = storage.client.xpending_range(keys.stream(queue), keys.GROUP, entry, entry, 1)
    idle = int(storage.lease * 1000) + 1
    storage.client.xclaim(keys.stream(queue), keys.GROUP, row["consumer"], 0, [entry], idle=idle, justid=True)


def test_it_goes_on_with_the_schedule_beside_an_entry_that_always_fails(
    make_worker: MakeWorker,
    engine: Engine,
    db: Session,
    valkey: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran: list[str] = []

    def fails(context: Context, now: datetime) -> str:
        ran.append("fails")
        raise ValueError("always")

    def works(context: Context, now: datetime) -> str:
        ran.append("works")
        return "done"

    entries = tuple(Entry(run.__name__, run, every=timedelta(hours=1)) for run in (fails, works))
    monkeypatch.setattr(schedule, "ENTRIES", entries)
    worker = make_worker(REGISTRY, ("system",))
    for hour in range(3):
        at = NOW + timedelta(hours=hour)
        assert claim_due(engine, now=at, entries=entries) == ["fails", "works"]
        assert pump(engine, worker.huey.storage, now=at) == 2
        worker.loop()
        worker.loop()
    assert sorted(ran) == ["fails"] * 3 + ["works"] * 3
    results = {entry.name: entry.last_result for entry in db.scalars(select(Schedule))}
    assert results == {"fails": "failed: ValueError: always", "works": "done"}
    assert (left(valkey), letters(valkey, "system")) == (0, [])
