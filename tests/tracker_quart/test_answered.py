"""Counts of answered clicks: by the hour of their ids, in a file that outlives a killed process."""

import os
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.tracker_quart.rig import answered_in
from tracker_quart.answered import SLOTS, SUFFIX, Answered, Inherited

HOUR_MS = 3_600_000
HOUR = 497_000


def ids(hour: int, count: int = 1) -> list[bytes]:
    """Ids of the first and the last moment of an hour, in turn."""
    moments = [hour * HOUR_MS, (hour + 1) * HOUR_MS - 1]
    return [moments[number % 2].to_bytes(6, "big") + b"\xff" * 10 for number in range(count)]


def inherited(path: Path) -> dict[int, int] | None:
    left = Inherited.adopt(path)
    assert left is not None
    left.release()
    return left.hours


def total(folder: Path) -> dict[int, int]:
    hours: Counter[int] = Counter()
    for counts in answered_in(folder).values():
        hours.update(counts)
    return hours


def test_it_counts_by_the_hour_of_the_ids_in_any_order() -> None:
    answered = Answered()
    answered.count(ids(HOUR, 3))
    answered.count(ids(HOUR, 2))
    answered.count([*ids(HOUR + 1, 2), *ids(HOUR)])
    answered.count(ids(HOUR - 1))
    answered.count(ids(HOUR + 1))
    assert answered.hours() == {HOUR: 6, HOUR + 1: 3, HOUR - 1: 1}


def test_it_writes_a_page_that_others_can_read(tmp_path: Path) -> None:
    path = tmp_path / f"1{SUFFIX}"
    answered = Answered()
    answered.count(ids(HOUR, 3))  # before there is a file
    answered.keep_in(path)
    answered.count(ids(HOUR + 1, 2))
    page = struct.pack("<8sQ4Q", b"answered", 1, HOUR, 3, HOUR + 1, 2)
    assert path.read_bytes() == page + bytes(4096 - len(page))
    assert path.stat().st_mode & 0o777 == 0o600
    assert total(tmp_path) == {HOUR: 3, HOUR + 1: 2}


def test_it_is_nobody_elses_while_its_process_lives(tmp_path: Path) -> None:
    path = tmp_path / f"1{SUFFIX}"
    answered = Answered()
    answered.keep_in(path)
    answered.count(ids(HOUR))
    assert Inherited.adopt(path) is None
    answered.close()
    answered.count(ids(HOUR))  # nobody sees it, and nothing breaks
    left = Inherited.adopt(path)
    assert left is not None
    assert Inherited.adopt(path) is None
    assert left.hours == {HOUR: 1}
    left.remove()
    left.release()
    assert Inherited.adopt(path) is None


def test_it_keeps_every_count_of_a_killed_process(tmp_path: Path) -> None:
    program = """
import os, signal, sys
from pathlib import Path
from tracker_quart.answered import Answered
answered = Answered()
answered.keep_in(Path(sys.argv[1]))
one = (497_000 * 3_600_000).to_bytes(6, "big") + bytes(10)
for _ in range(1234):
    answered.count([one])
os.kill(os.getpid(), signal.SIGKILL)
"""
    path = tmp_path / f"1{SUFFIX}"
    subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    living = Answered()
    living.keep_in(tmp_path / f"2{SUFFIX}")
    living.count(ids(HOUR, 6))
    assert total(tmp_path) == {HOUR: 1240}
    assert inherited(path) == {HOUR: 1234}


def test_it_forgets_what_others_know_and_nothing_else() -> None:
    answered = Answered()
    for hour in (HOUR, HOUR + 1):
        answered.count(ids(hour, 2))
    known = answered.hours()
    answered.count(ids(HOUR + 1))
    answered.forget(known)
    assert answered.hours() == {HOUR + 1: 3}
    answered.forget({HOUR + 1: 3})
    assert answered.hours() == {}
    answered.count(ids(HOUR + 1))
    assert answered.hours() == {HOUR + 1: 1}


def test_it_gives_up_the_oldest_hour_when_all_slots_are_taken() -> None:
    answered = Answered()
    for hour in range(HOUR, HOUR + SLOTS + 1):
        answered.count(ids(hour))
    assert answered.hours() == dict.fromkeys(range(HOUR + 1, HOUR + SLOTS + 1), 1)


@pytest.mark.parametrize(
    ("content", "hours"),
    [
        (b"", {}),  # killed while it began
        (b"answered", None),
        (bytes(4096), None),
        (struct.pack("<8sQ", b"answered", 2) + bytes(4080), None),
        (struct.pack("<8sQQQ", b"answered", 1, 1 << 40, 7) + bytes(4064), None),
        (struct.pack("<8sQQQ", b"answered", 1, HOUR, 7) + bytes(4064), {HOUR: 7}),
    ],
)
def test_it_reads_no_file_that_it_does_not_understand(
    tmp_path: Path, content: bytes, hours: dict[int, int] | None
) -> None:
    path = tmp_path / f"1{SUFFIX}"
    path.write_bytes(content)
    assert inherited(path) == hours
    assert total(tmp_path) == (hours or {})


def test_it_goes_on_in_memory_where_there_can_be_no_file(tmp_path: Path) -> None:
    answered = Answered()
    answered.count(ids(HOUR))
    open_before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="No such file"):
        answered.keep_in(tmp_path / "nowhere" / f"1{SUFFIX}")
    assert len(os.listdir("/proc/self/fd")) == open_before
    answered.count(ids(HOUR))
    assert (answered.hours(), answered.path) == ({HOUR: 2}, None)
