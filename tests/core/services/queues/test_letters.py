"""Dead letters: what belongs together, what it has in common, and what a search finds."""

import uuid
from datetime import UTC, datetime

import redis

from core.contracts import click_event, keys
from core.services.queues.entries import DEAD, LATER, RUNNING, WAITING, Search, find_entries
from core.services.queues.letters import (
    count_groups,
    forget_before,
    ids_of,
    index_letters,
    read_group,
    read_groups,
    read_letters,
    read_shared,
)
from tasks.streams import StreamStorage, now_ms
from tests.core.services.queues.conftest import Bury, click, task


def test_it_groups_letters_by_what_went_wrong(valkey: redis.Redis, bury: Bury) -> None:
    bury("track", click(), error=ValueError("link 7 has 'a' at 0x7f01"))
    bury("track", click(), click(), error=ValueError("link 12 has 'bcd' at 0x7fff"))
    bury("track", click(), error=KeyError("link"))
    bury("system", task("export"), error=KeyError("link"))
    groups = read_groups(valkey)
    assert sorted((group.queue, group.task, group.count) for group in groups) == [
        ("system", "export", 1),
        ("track", "", 1),
        ("track", "", 3),
    ]
    largest = next(group for group in groups if group.count == 3)
    assert largest.error.startswith("ValueError: link ")
    assert largest.first <= largest.last <= datetime.now(UTC)
    assert len(ids_of(valkey, "track", largest.id, most=10)) == 3


def test_it_reads_only_the_newest_groups_where_every_error_differs(valkey: redis.Redis) -> None:
    for number in range(60):
        valkey.xadd(
            keys.dead("track"),
            {"e": b"x", "reason": "failed", "group": f"g{number}"},
            id=f"{1000 + number}-0",
        )
    groups = read_groups(valkey)
    assert [group.id for group in groups] == [f"g{number}" for number in range(59, 9, -1)]
    assert count_groups(valkey) == 60
    oldest = read_group(valkey, "track", "g0")
    assert oldest is not None and oldest.count == 1
    assert read_group(valkey, "track", "g60") is None


def test_it_indexes_each_letter_once(valkey: redis.Redis, bury: Bury) -> None:
    bury("track", click(), click())
    assert index_letters(valkey, "track") == 2
    assert index_letters(valkey, "track") == 0
    bury("track", click())
    assert [group.count for group in read_groups(valkey)] == [3]


def test_it_counts_dead_clicks_in_the_hour_of_the_click(valkey: redis.Redis, bury: Bury) -> None:
    bury(
        "track",
        click(at=datetime(2026, 11, 27, 9, 59, tzinfo=UTC)),
        click(at=datetime(2026, 11, 27, 10, tzinfo=UTC)),
    )
    bury("track", b"no click", reason="poison")
    index_letters(valkey, "track")
    assert valkey.hgetall(keys.DEAD_CLICKS) == {b"2026112709": b"1", b"2026112710": b"1"}


def test_it_says_what_the_letters_of_a_group_share(valkey: redis.Redis, bury: Bury) -> None:
    bury("track", click(link_id=9), click(link_id=9))
    (group,) = read_groups(valkey)
    shared = read_shared(valkey, "track", group.id)
    assert (shared.looked_at, shared.link_id, shared.links, shared.deliveries) == (2, 9, 1, 1)
    assert shared.host
    bury("track", click(link_id=10))
    shared = read_shared(valkey, "track", group.id)
    assert (shared.link_id, shared.links) == (None, 2)
    assert shared.newest is not None and "ValueError" in shared.newest.traceback


def test_it_reads_a_letter_with_the_click_in_it(valkey: redis.Redis, bury: Bury) -> None:
    data = click(ip="198.51.100.7")
    (letter_id,) = bury("track", data)
    (letter,) = read_letters(valkey, "track", [letter_id])
    assert letter.content.click == click_event.decode(data)
    assert (letter.reason, letter.deliveries, letter.consumer) == ("failed", 1, "host-1-abc.0.ff")
    assert read_letters(valkey, "track", ["1-1"]) == []


def test_it_reads_letters_of_an_older_release_and_garbage(valkey: redis.Redis) -> None:
    valkey.xadd(keys.dead("track"), {"e": b"\xff\xfe", "reason": "poison", "error": b"\xff"})
    (group,) = read_groups(valkey)
    assert (group.id, group.reason, group.count) == ("poison", "poison", 1)
    (row,) = find_entries(valkey, state=DEAD).rows
    assert row.content.click is None and row.content.size == 2


def test_it_finds_dead_letters_by_click_link_task_and_error(valkey: redis.Redis, bury: Bury) -> None:
    wanted = click(link_id=9)
    bury("track", click(), wanted, click())
    bury("system", task("export.report", 44), error=ConnectionError("mailbox unavailable"))
    click_id = str(uuid.UUID(bytes=click_event.decode(wanted).id))

    def found(**search: object) -> list[str]:
        rows = find_entries(valkey, state=DEAD, search=Search(**search)).rows  # type: ignore[arg-type]
        return [row.content.click_id or row.content.words() for row in rows]

    assert found(text=click_id) == [click_id]
    assert found(link_id=9) == [click_id]
    assert found(text="EXPORT.report 44") == ["7 export.report 44"]
    assert found(text="mailbox") == ["7 export.report 44"]
    assert found(text="nothing like it") == []
    assert len(found()) == 4


def test_it_lists_what_waits_runs_and_is_put_off(valkey: redis.Redis, storage: StreamStorage) -> None:
    storage.add("system", [task("first"), task("second"), task("third")])
    (lot,) = storage.take(["system"], "host-1-abc.0.ff", most=2)
    storage.retry(lot, lot.ids[1], message=task("second"), due_ms=now_ms() + 60_000)
    valkey.xadd(keys.held("system"), {"m": task("held")})

    def names(state: str) -> list[str]:
        rows = find_entries(valkey, state=state, queues=["system"]).rows
        return [row.content.task.task for row in rows if row.content.task]

    assert names(WAITING) == ["third", "held"]
    assert names(RUNNING) == ["first"]
    assert names(LATER) == ["second"]
    (running,) = find_entries(valkey, state=RUNNING).rows
    assert (running.consumer, running.deliveries) == ("host-1-abc.0.ff", 1)
    (later,) = find_entries(valkey, state=LATER).rows
    assert later.due is not None and later.due > datetime.now(UTC)


def test_it_looks_at_no_more_than_a_part_of_a_long_backlog(
    valkey: redis.Redis, storage: StreamStorage
) -> None:
    storage.add("track", [click(link_id=8)] * 60)
    found = find_entries(valkey, state=WAITING, queues=["track"], most=50)
    assert (len(found.rows), found.cut) == (50, True)
    one = find_entries(valkey, state=WAITING, queues=["track"], search=Search(link_id=9))
    assert (one.rows, one.cut) == ([], False)


def test_it_forgets_old_letters_in_the_index_too(valkey: redis.Redis, bury: Bury) -> None:
    old = {
        "e": click(at=datetime(2026, 11, 1, tzinfo=UTC)),
        "reason": "failed",
        "group": "g",
        "hour": "2026110100",
    }
    valkey.xadd(keys.dead("track"), old, id="1600000000000-0")
    bury("track", click())
    assert forget_before(valkey, oldest_ms=1_650_000_000_000) == 1
    assert [group.count for group in read_groups(valkey)] == [1]
    assert valkey.hget(keys.DEAD_CLICKS, "2026110100") == b"1"
