"""Clicks on disk: fsynced, cut where torn, adopted from the dead, bounded."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Event as Signal

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tracker_quart import segment as segment_module
from tracker_quart.click_ids import ClickIds
from tracker_quart.event_stream import Event
from tracker_quart.segment import Segment
from tracker_quart.spool import Spool, SpoolFull, SpoolStuck

IDS = ClickIds()
LIMIT = 64 << 20


def clicks(count: int, *, size: int = 50) -> list[Event]:
    return [Event(IDS.new(), os.urandom(size)) for _ in range(count)]


class Redis:
    """Takes what is replayed; refuses after `accepts` groups."""

    def __init__(self, accepts: int = 1_000_000) -> None:
        self.taken: list[Event] = []
        self._accepts = accepts

    async def send(self, group: Sequence[Event]) -> None:
        if self._accepts == 0:
            raise ConnectionError("away again")
        self._accepts -= 1
        self.taken += group


async def test_it_gives_back_what_it_took_and_deletes_the_files(tmp_path: Path) -> None:
    spool, redis, made = Spool(tmp_path, limit_bytes=LIMIT), Redis(), clicks(1203)
    await spool.append(made[:3])
    await spool.append(made[3:])
    assert spool.waiting == 1203
    await spool.replay(redis.send)
    assert redis.taken == made
    assert (spool.waiting, list(tmp_path.iterdir())) == (0, [])
    await spool.close()


async def test_it_goes_on_behind_what_redis_took_before_it_went_away(tmp_path: Path) -> None:
    spool, made = Spool(tmp_path, limit_bytes=LIMIT), clicks(1203)
    await spool.append(made)
    first = Redis(accepts=1)
    with pytest.raises(ConnectionError):
        await spool.replay(first.send)
    more = clicks(2)
    await spool.append(more)
    assert spool.waiting == 1205
    second = Redis()
    await spool.replay(second.send)
    assert first.taken == made[:500]
    assert second.taken == made[500:] + more
    await spool.close()


async def test_it_forgets_a_file_that_is_deleted_while_replay_is_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM while the last step of a replay runs in its thread: the rest must still be sent."""
    spool, redis, made = Spool(tmp_path, limit_bytes=LIMIT), Redis(), clicks(3)
    await spool.append(made[:1])
    removing, go_on, remove = Signal(), Signal(), Segment.remove

    def slowly(segment: Segment) -> None:
        removing.set()
        go_on.wait(10)
        remove(segment)

    monkeypatch.setattr(Segment, "remove", slowly)
    replaying = asyncio.create_task(spool.replay(redis.send))
    await asyncio.to_thread(removing.wait, 10)
    replaying.cancel()
    await asyncio.wait([replaying])
    asyncio.get_running_loop().call_later(0.1, go_on.set)
    await spool.replay(redis.send)
    await spool.append(made[1:])
    await spool.replay(redis.send)
    assert redis.taken == made
    assert (spool.waiting, list(tmp_path.iterdir())) == (0, [])
    await spool.close()


async def test_it_sends_a_file_once_that_it_can_not_delete_and_the_others_too(tmp_path: Path) -> None:
    spool, redis, made = Spool(tmp_path / "spool", limit_bytes=LIMIT), Redis(), clicks(3)
    await spool.append(made[:2])
    (tmp_path / "spool").rename(tmp_path / "aside")
    (tmp_path / "spool").write_text("in the way")
    for _ in range(3):
        with pytest.raises(SpoolStuck):
            await spool.replay(redis.send)
    (tmp_path / "spool").unlink()
    await spool.append(made[2:])
    await spool.replay(redis.send)
    assert redis.taken == made
    assert (spool.waiting, list((tmp_path / "spool").iterdir())) == (0, [])
    await spool.close()


async def test_it_holds_no_file_that_it_could_not_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(folder: Path) -> None:
        raise OSError("the disk is gone")

    spool = Spool(tmp_path, limit_bytes=LIMIT)
    await spool.append([])
    await spool.replay(Redis().send)
    open_before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as broken:
        broken.setattr(segment_module, "_sync_folder", fail)
        for _ in range(5):
            with pytest.raises(OSError, match="the disk is gone"):
                await spool.append(clicks(1))
    assert len(os.listdir("/proc/self/fd")) == open_before
    assert list(tmp_path.iterdir()) == []
    await spool.close()


async def test_it_adopts_what_a_killed_process_left_and_nothing_else(tmp_path: Path) -> None:
    left = _spool_in_a_process_that_is_killed(tmp_path, 3)
    alive = Spool(tmp_path, limit_bytes=LIMIT)
    await alive.append(clicks(2))
    heir, redis = Spool(tmp_path, limit_bytes=LIMIT), Redis()
    await heir.adopt()
    await heir.adopt()
    assert heir.waiting == 3
    await heir.replay(redis.send)
    assert [click.id.hex() for click in redis.taken] == left
    assert alive.waiting == 2
    await heir.close()
    await alive.close()
    assert len(list(tmp_path.iterdir())) == 1  # what `alive` stranded


async def test_it_leaves_the_rest_to_the_next_start(tmp_path: Path) -> None:
    made, redis = clicks(5), Redis()
    first = Spool(tmp_path, limit_bytes=LIMIT)
    await first.append(made)
    await first.close()
    second = Spool(tmp_path, limit_bytes=LIMIT)
    await second.adopt()
    await second.replay(redis.send)
    assert redis.taken == made
    await second.close()


async def test_it_refuses_when_full(tmp_path: Path) -> None:
    spool = Spool(tmp_path, limit_bytes=10_000)
    other = Spool(tmp_path, limit_bytes=10_000)
    await spool.append(clicks(50, size=100))
    await other.append(clicks(50, size=100))  # the limit is the folder's
    with pytest.raises(SpoolFull):
        await spool.append(clicks(1))
    await spool.replay(Redis().send)
    await spool.append(clicks(1))
    await spool.close()
    await other.close()


async def test_it_says_that_a_folder_can_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    spool = Spool(tmp_path / "file" / "spool", limit_bytes=LIMIT)
    await spool.adopt()
    with pytest.raises(OSError, match="Not a directory"):
        await spool.append(clicks(1))
    await spool.close()


async def test_it_starts_a_new_file_when_one_is_large(tmp_path: Path) -> None:
    spool, redis, made = Spool(tmp_path, limit_bytes=LIMIT), Redis(), clicks(10, size=1 << 19)
    for click in made:
        await spool.append([click])
    assert len(list(tmp_path.iterdir())) == 2
    await spool.replay(redis.send)
    assert redis.taken == made
    await spool.close()


@given(cut=st.integers(min_value=0), flip=st.integers(min_value=0))
@hypothesis_settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None
)
def test_it_reads_up_to_where_a_file_is_torn_or_damaged(tmp_path: Path, cut: int, flip: int) -> None:
    """Whatever is cut off or flipped: what is read is a beginning of what was written, and all of what is whole."""
    made = clicks(8)
    record = len(made[0].data) + 16 + 8
    path = tmp_path / "1.spool"
    segment = Segment.create(path)
    segment.append(made)
    segment.release()
    content = bytearray(path.read_bytes())
    position = flip % len(content)
    content[position] ^= 0x40
    length = cut % (len(content) + 1)
    path.write_bytes(content[:length])
    adopted = Segment.adopt(path)
    assert adopted is not None
    read, torn = adopted.read()
    adopted.remove()
    whole = min(length // record, position // record) if position < length else length // record
    assert read == made[:whole]
    assert torn == length - whole * record


def test_it_takes_back_a_write_that_failed_halfway(tmp_path: Path) -> None:
    """A process that may write 1,000 bytes to a file: the first click fits, the next ones do not."""
    program = """
import resource, signal, sys
from pathlib import Path
from tracker_quart.event_stream import Event
from tracker_quart.segment import Segment
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
segment = Segment.create(Path(sys.argv[1]))
segment.append([Event(b"a" * 16, b"x" * 100)])
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    segment.append([Event(b"b" * 16, b"y" * 3000)])
except OSError:
    segment.append([Event(b"c" * 16, b"z" * 100)])
    print(Path(sys.argv[1]).stat().st_size == segment.size, len(segment.read()[0]), segment.read()[1])
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "1.spool")], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "2", "0"]


def _spool_in_a_process_that_is_killed(folder: Path, count: int) -> list[str]:
    program = """
import asyncio, os, signal, sys
from pathlib import Path
from tracker_quart.click_ids import ClickIds
from tracker_quart.event_stream import Event
from tracker_quart.spool import Spool

async def main():
    ids = ClickIds()
    made = [Event(ids.new(), b"x") for _ in range(int(sys.argv[2]))]
    await Spool(Path(sys.argv[1]), limit_bytes=1 << 20).append(made)
    print(" ".join(click.id.hex() for click in made), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder), str(count)], capture_output=True, text=True, check=False
    )
    return done.stdout.split()
