"""A batch of postbacks from the queue: written down first, judged then, each once."""

import threading
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, text

from core.config import Settings
from core.contracts import keys
from core.contracts.postback_event import LARGEST, PostbackEvent, encode
from core.db import conversion_store, postback_store
from core.db.postback_store import first_id
from core.domain.conversions import NEW
from tasks.postbacks import look_again, make_handler
from tasks.registry import REGISTRY, BatchSpec, Registry
from tasks.streams import StreamStorage
from tests.core.db.postbacks import CLICK, conversions, make_source, postback, store_click
from tests.core.db.samples import NOW, click_id, rows
from tests.tasks.conftest import MakeWorker

pytestmark = pytest.mark.usefixtures("clean_database")


def handle(
    settings: Settings, engine: Engine, payloads: Sequence[bytes], *, now: datetime = NOW
) -> Mapping[int, str]:
    """What a fresh worker thread makes of a batch."""
    return make_handler(settings, engine, process_name="test", now=lambda: now)(payloads)


def inbox(engine: Engine) -> list[tuple[Any, ...]]:
    return rows(engine, "select verdict, why->>'code' from postbacks order by id")


def books(engine: Engine) -> list[tuple[Any, ...]]:
    return rows(engine, "select sum(stored), sum(duplicate) from postback_books")


def test_it_is_the_handler_of_the_postbacks_queue() -> None:
    assert REGISTRY.batches["conversion"].make is make_handler


def test_it_keeps_all_of_a_request(settings: Settings, engine: Engine) -> None:
    event = PostbackEvent(
        id=click_id(NOW, 1),
        source_id=make_source(engine),
        kind="pixel",
        method="POST",
        host="go.example.com",
        query="a=%00&b=%ff\0",
        content_type="application/json",
        body=b"\x00\xff{}",
        headers=(("x-shop", "nul\0"),),
        ip="2001:db8::7",
        user_agent="Shop/1\0",
        referrer="https://shop.example/thanks",
        token_hint="pb_ab…wxyz",
        status=200,
    )
    assert handle(settings, engine, [encode(event)]) == {}
    with engine.connect() as connection:
        (row,) = postback_store.rows_of(connection, [uuid.UUID(bytes=event.id)])
    kept = row.event
    assert (kept.id, kept.source_id, kept.kind, kept.method, kept.host) == (
        *(event.id, event.source_id, "pixel", "POST"),
        "go.example.com",
    )
    assert (kept.query, kept.body) == ("a=%00&b=%ff\ufffd", b"\x00\xff{}")
    assert (kept.headers, kept.ip, kept.user_agent) == (
        (("x-shop", "nul\ufffd"),),
        "2001:db8::7",
        "Shop/1\ufffd",
    )
    assert (kept.referrer, kept.token_hint, kept.status) == (event.referrer, event.token_hint, 200)


def test_it_stores_and_judges_a_batch_once_whoever_brings_it(settings: Settings, engine: Engine) -> None:
    source = make_source(engine)
    store_click(engine)
    payloads = [encode(postback(source, subid=CLICK, tid=f"T{n % 3}", payout="5")) for n in range(6)]
    assert handle(settings, engine, payloads) == {}
    assert handle(settings, engine, [*payloads, payloads[0]]) == {}
    assert [verdict for verdict, _ in inbox(engine)] == [*["conversion"] * 3, *["repeated"] * 3]
    assert len(conversions(engine)) == 3
    assert books(engine) == [(6, 7)]


def test_it_names_what_must_be_a_dead_letter_and_takes_the_others(settings: Settings, engine: Engine) -> None:
    good = postback(make_source(engine), subid="x")
    payloads = [
        encode(good),
        b"\xc1garbage",
        b"",
        encode(PostbackEvent(id=b"short")),
        encode(PostbackEvent(id=click_id(NOW, 2), source_id=2**63)),
        encode(PostbackEvent(id=click_id(NOW, 3), source_id=-1)),
        encode(PostbackEvent(id=click_id(NOW, 4), kind="telegram")),
        encode(PostbackEvent(id=click_id(NOW, 5), status=70_000)),
        encode(postback(good.source_id, subid="")),
    ]
    assert handle(settings, engine, payloads) == dict.fromkeys(range(1, 8), "poison")
    assert inbox(engine) == [("no_click", "bad_click_id"), ("no_click", "no_click_id")]


@pytest.mark.parametrize("id_", [b"\x00" * 16, b"\xff" * 16])
def test_it_takes_an_id_of_any_time_as_received_now(settings: Settings, engine: Engine, id_: bytes) -> None:
    source = make_source(engine)
    store_click(engine)
    event = PostbackEvent(id=id_, source_id=source, query=f"subid={CLICK}&payout=5")
    assert handle(settings, engine, [encode(event)]) == {}
    assert [row["at"] for row in conversions(engine)] == [NOW]


@pytest.mark.parametrize(
    "event",
    [
        PostbackEvent(id=click_id(NOW, 1), query="&".join(f"p{n}={n}" for n in range(9000))[:LARGEST]),
        PostbackEvent(id=click_id(NOW, 1), query="subid=" + "%00" * 9000),
        PostbackEvent(
            id=click_id(NOW, 1), query="\ud800", host="\0" * 999, user_agent="\0" * 9999, ip="nowhere"
        ),
        PostbackEvent(id=click_id(NOW, 1), body=b'{"a":' * 9000),
        PostbackEvent(id=click_id(NOW, 1), body=b"[" * LARGEST),
        PostbackEvent(id=click_id(NOW, 1), body=b'{"tid":"\\ud800\\u0000","subid":"\\u0000"}'),
        PostbackEvent(id=click_id(NOW, 1), body=bytes(range(256)) * 256, content_type="application/json"),
        PostbackEvent(id=click_id(NOW, 1), headers=(("a\0", "\ud800"),) * 50, refused="\0odd"),
    ],
)
def test_it_bears_whatever_is_sent(settings: Settings, engine: Engine, event: PostbackEvent) -> None:
    source = make_source(engine)
    given = {name: getattr(event, name) for name in event.__struct_fields__} | {"source_id": source}
    assert handle(settings, engine, [_encoded(PostbackEvent(**given))]) == {}
    assert [verdict for verdict, _ in inbox(engine)] != [NEW]


def _encoded(event: PostbackEvent) -> bytes:
    try:
        return encode(event)
    except UnicodeEncodeError:  # MessagePack has no lone surrogates
        given = {name: getattr(event, name) for name in event.__struct_fields__}
        clean = {
            name: value.encode("utf-8", "replace").decode() if isinstance(value, str) else value
            for name, value in given.items()
        }
        return encode(PostbackEvent(**{**clean, "headers": ()}))


def test_it_judges_what_a_killed_worker_had_only_written_down(settings: Settings, engine: Engine) -> None:
    source = make_source(engine)
    store_click(engine)
    event = postback(source, subid=CLICK, payout="5")
    with engine.begin() as connection:
        postback_store.store(connection, [event], now=NOW)  # and it was killed here
    assert inbox(engine) == [(NEW, None)]
    assert handle(settings, engine, [encode(event)]) == {}
    assert inbox(engine) == [("conversion", "matched")]
    assert books(engine) == [(1, 1)]


def test_it_keeps_one_whose_judging_fails_in_the_inbox_and_takes_the_others(
    settings: Settings,
    engine: Engine,
    client: redis.Redis,
    storage: StreamStorage,
    make_worker: MakeWorker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = make_source(engine)
    store_click(engine)
    bad = postback(source, subid=CLICK, tid="bad")
    events = [*(postback(source, subid=CLICK, tid=f"T{n}") for n in range(5)), bad]

    def judge(connection: Any, postbacks: Any, **options: Any) -> Any:
        if any(row.event.id == bad.id for row in postbacks):
            raise ValueError("no judge can read this")
        return conversion_store.judge(connection, postbacks, **options)

    monkeypatch.setattr("tasks.postbacks.judge", judge)
    for event in events:
        client.xadd(keys.stream("conversion"), {keys.EVENT_FIELD: encode(event)})
    registry = Registry(batches={"conversion": BatchSpec("conversion", make_handler, 1000)})
    worker = make_worker(registry, ("conversion",))
    for _ in range(40):
        worker.loop()
        if not client.xlen(keys.stream("conversion")):
            break
    ((_, letter),) = client.xrange(keys.dead("conversion"))
    assert letter[b"postback"].decode() == str(uuid.UUID(bytes=bad.id))
    assert b"no judge can read this" in letter[b"error"]
    assert sorted(verdict for verdict, _ in inbox(engine)) == [*["conversion"] * 5, NEW]
    assert books(engine) == [(6, 0)]


def test_it_looks_again_for_clicks_in_their_time(settings: Settings, engine: Engine) -> None:
    source = make_source(engine)
    handle(settings, engine, [encode(postback(source, subid=CLICK, payout="5"))])
    assert inbox(engine) == [("waiting", "click_not_stored_yet")]
    assert look_again(engine, report_currency="USD", now=NOW + timedelta(seconds=1)) == 0
    assert look_again(engine, report_currency="USD", now=NOW + timedelta(seconds=3)) == 1
    assert inbox(engine) == [("waiting", "click_not_stored_yet")]
    store_click(engine)
    assert look_again(engine, report_currency="USD", now=NOW + timedelta(seconds=20)) == 1
    assert inbox(engine) == [("conversion", "matched")]
    assert look_again(engine, report_currency="USD", now=NOW + timedelta(days=2)) == 0


def test_it_lets_one_whose_judging_fails_not_hold_up_others_that_wait(
    settings: Settings, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_source(engine)
    events = [postback(source, subid=CLICK, tid=f"T{n}") for n in range(5)]
    handle(settings, engine, [encode(event) for event in events])
    store_click(engine)

    def fails(connection: Any, postbacks: Any, **options: Any) -> Any:
        if any(row.event.id == events[2].id for row in postbacks):
            raise ValueError("no judge can read this")
        return conversion_store.judge(connection, postbacks, **options)

    monkeypatch.setattr("tasks.postbacks.judge", fails)
    later = NOW + timedelta(seconds=3)
    assert look_again(engine, report_currency="USD", now=later) == 5
    assert Counter(verdict for verdict, _ in inbox(engine)) == {"conversion": 4, "waiting": 1}
    assert rows(engine, "select next_try from postbacks where verdict = 'waiting'") == [
        (later + timedelta(hours=1),)
    ]


def test_it_looks_again_in_two_processes_at_once(settings: Settings, engine: Engine) -> None:
    source = make_source(engine, duplicates="repeat")
    handle(settings, engine, [encode(postback(source, subid=CLICK, payout="5")) for _ in range(20)])
    store_click(engine)
    looked: list[int] = []

    def look() -> None:
        looked.append(look_again(engine, report_currency="USD", now=NOW + timedelta(minutes=1), most=15))

    threads = [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    look()
    assert sum(looked) == 20
    assert len(conversions(engine)) == 20


def test_it_forgets_addresses_and_then_the_postbacks(settings: Settings, engine: Engine) -> None:
    source = make_source(engine)
    old, young = (postback(source, at=NOW - timedelta(days=days), subid="x") for days in (8, 6))
    handle(settings, engine, [encode(old), encode(young)])
    with engine.begin() as connection:
        assert postback_store.blank_addresses(connection, before=NOW - timedelta(days=7), most=10) == 1
        assert postback_store.blank_addresses(connection, before=NOW - timedelta(days=7), most=10) == 0
    assert rows(engine, "select host(ip) from postbacks order by id") == [(None,), ("203.0.113.9",)]
    with engine.begin() as connection:
        assert postback_store.prune(connection, before=NOW - timedelta(days=7), most=10) == 1
        assert connection.scalars(text("select id from postbacks")).all() == [uuid.UUID(bytes=young.id)]
    assert first_id(NOW) <= uuid.UUID(bytes=click_id(NOW, 1))
