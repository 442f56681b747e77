"""Counts of answered clicks on their way to the books: told again and again, and counted once."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from core.config import Settings
from core.contracts import click_event, keys
from tests.tracker_quart.conftest import Publisher
from tests.tracker_quart.test_answered import HOUR, ids, inherited
from tracker_quart.answered import SUFFIX, Answered
from tracker_quart.books import HOURS_HELD, Books
from tracker_quart.click_ids import ClickIds
from tracker_quart.contact import make_client
from tracker_quart.service import Service


class Clock:
    """Stands where it is put."""

    def __init__(self, hour: int) -> None:
        self.hour = hour

    def __call__(self) -> float:
        return self.hour * 3600.0


@pytest.fixture
async def client(redis_url: str, publisher: Publisher) -> AsyncIterator[Any]:
    client = make_client(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def nobody() -> AsyncIterator[Any]:
    client = make_client("unix:///nowhere/valkey.sock")
    yield client
    await client.aclose()


def told(publisher: Publisher) -> dict[str, int]:
    """Clicks by hour, over all processes."""
    total: dict[str, int] = {}
    for field, clicks in publisher.redis.hgetall(keys.ANSWERED).items():
        hour = keys.hour_answered(field)
        total[hour] = total.get(hour, 0) + int(clicks)
    return total


def named(hour: int) -> str:
    return click_event.hour_name(hour * 3_600_000)


async def test_it_tells_each_hour_of_each_process_however_often(
    tmp_path: Path, client: Any, publisher: Publisher
) -> None:
    one, other = (Books(tmp_path, client, clock=Clock(HOUR)) for _ in range(2))
    for books in (one, other):
        await books.open()
        books.answered.count(ids(HOUR, 3))
        assert await books.publish()
        assert await books.publish()
    one.answered.count([*ids(HOUR), *ids(HOUR + 1)])
    publisher.redis.delete(keys.ANSWERED)  # emptied: all is told again
    assert await one.publish()
    assert await other.publish()
    assert told(publisher) == {named(HOUR): 7, named(HOUR + 1): 1}
    for books in (one, other):
        await books.close()
    assert told(publisher) == {named(HOUR): 7, named(HOUR + 1): 1}
    assert list(tmp_path.iterdir()) == []


async def test_it_tells_and_removes_what_a_process_that_is_gone_has_left(
    tmp_path: Path, client: Any, nobody: Any, publisher: Publisher
) -> None:
    gone = Answered()
    gone.keep_in(tmp_path / f"7-gone{SUFFIX}")
    gone.count(ids(HOUR, 5))
    books = Books(tmp_path, client, clock=Clock(HOUR))
    await books.open()
    assert await books.publish()
    assert told(publisher) == {}  # its process lives
    gone.close()
    away = Books(tmp_path, nobody, clock=Clock(HOUR))
    assert not await away.publish()
    assert inherited(tmp_path / f"7-gone{SUFFIX}") == {HOUR: 5}
    assert await books.publish()
    assert publisher.redis.hgetall(keys.ANSWERED) == {f"{named(HOUR)}:7-gone".encode(): b"5"}
    assert [path.name for path in tmp_path.iterdir()] == [
        str(books.answered.path and books.answered.path.name)
    ]
    await books.close()


async def test_it_leaves_a_file_that_it_can_not_read(
    tmp_path: Path, client: Any, publisher: Publisher
) -> None:
    newer = tmp_path / f"7-newer{SUFFIX}"
    newer.write_bytes(b"answered" + bytes(4088))
    books = Books(tmp_path, client, clock=Clock(HOUR))
    for _ in range(2):
        assert await books.publish()
    assert newer.exists()
    await books.close()


async def test_it_leaves_its_file_to_others_when_it_stops_without_redis(
    tmp_path: Path, nobody: Any, client: Any, publisher: Publisher
) -> None:
    first = Books(tmp_path, nobody, clock=Clock(HOUR))
    await first.open()
    first.answered.count(ids(HOUR, 4))
    await first.close()
    second = Books(tmp_path, client, clock=Clock(HOUR))
    assert await second.publish()
    assert told(publisher) == {named(HOUR): 4}
    assert list(tmp_path.iterdir()) == []
    await second.close()


async def test_it_holds_an_hour_for_a_day_after_it_was_told(
    tmp_path: Path, client: Any, publisher: Publisher
) -> None:
    clock = Clock(HOUR)
    books = Books(tmp_path, client, clock=clock)
    books.answered.count(ids(HOUR, 4))
    for later, held in ((HOURS_HELD, {HOUR: 4}), (HOURS_HELD + 1, {})):
        clock.hour = HOUR + later
        assert await books.publish()
        assert books.answered.hours() == held
    assert told(publisher) == {named(HOUR): 4}
    await books.close()


async def test_it_counts_in_memory_where_the_folder_can_not_be_used(
    tmp_path: Path, client: Any, publisher: Publisher
) -> None:
    (tmp_path / "file").write_text("in the way")
    books = Books(tmp_path / "file" / "spool", client, clock=Clock(HOUR))
    await books.open()
    books.answered.count(ids(HOUR, 4))
    assert await books.publish()
    await books.close()
    assert told(publisher) == {named(HOUR): 4}


async def test_it_is_told_by_a_tracker_while_it_runs_and_when_it_stops(
    publisher: Publisher, tracker_settings: Settings
) -> None:
    publisher.ready()
    service = Service(tracker_settings)
    await service.start()
    made = ClickIds().new()
    service.books.answered.count([made, made])
    assert list(tracker_settings.spool_dir.glob(f"*{SUFFIX}")) == [service.books.answered.path]
    await service.stop()
    assert told(publisher) == {click_event.hour_name(click_event.unix_ms(made)): 2}
    assert [path for path in tracker_settings.spool_dir.iterdir() if path.is_file()] == []
