"""How many clicks this process answered, hour by hour: the side of the books that depends on no queue and no server.

The counts stand in a file that is mapped into memory. The kernel keeps what was written there however the process
ends, `kill -9` included; only a host that loses its power loses the last seconds.

The file is one page of little-endian 64-bit numbers: MAGIC, VERSION, then SLOTS pairs of an hour (of the clicks' ids,
counted from 1970; 0 is a free pair) and the clicks answered in it. Each number is written at once, never half.
"""

import mmap
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from core.contracts import click_event
from core.observe import logger
from tracker_quart.owned_file import begin, take_over

SUFFIX = ".answered"
MAGIC = int.from_bytes(b"answered", "little")
VERSION = 1
SLOTS = 255
_BYTES = 4096
_FIRST = 2
_HOUR_MS = 3_600_000
_LATEST = 2_000_000  # in the year 2198; a later hour is none

log = logger(__name__)


class Answered:
    """The counts of this process. Its methods belong to one thread; they never fail, and never wait for a disk but
    when the kernel itself does. Until `keep_in` the counts are in memory alone."""

    def __init__(self) -> None:
        self.path: Path | None = None
        self._use(mmap.mmap(-1, _BYTES))
        self._numbers[0], self._numbers[1] = MAGIC, VERSION

    def count(self, ids: Sequence[bytes]) -> None:
        """Add the clicks of a group: after they are kept (or lost), before their answers leave. So no visitor has an
        answer that is not counted, and nothing is counted that was still on its way."""
        if self._begin <= min(ids) and max(ids) < self._end:
            self._numbers[self._at] += len(ids)
            return
        for hour, clicks in Counter(click_event.unix_ms(one) // _HOUR_MS for one in ids).items():
            self._turn_to(hour)
            self._numbers[self._at] += clicks

    def hours(self) -> dict[int, int]:
        """Clicks answered, by hour since 1970."""
        return _hours(self._numbers)

    def forget(self, known: Mapping[int, int]) -> None:
        """Free the slots of hours whose counts others know by now. A count that has changed since stays."""
        for at in range(_FIRST, _FIRST + 2 * SLOTS, 2):
            if known.get(self._numbers[at]) == self._numbers[at + 1]:
                self._numbers[at + 1] = 0
                self._numbers[at] = 0
                self._begin = self._end = b""

    def keep_in(self, path: Path) -> None:
        """Go on in a new file, which belongs to this process until `close`. Raises OSError; then all is as it was."""
        descriptor = begin(path, os.O_RDWR)
        try:
            os.truncate(descriptor, _BYTES)
            # Written and not only made longer, so that a full disk is an error now and not a signal later.
            os.pwrite(descriptor, bytes(self._map), 0)
            mapped = mmap.mmap(descriptor, _BYTES)
        except OSError:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        os.close(descriptor)  # the map holds the lock by a descriptor of its own
        self._let_go()
        self._use(mapped)
        self.path = path

    def close(self) -> None:
        """Leave the file to whoever adopts it. Counts go on in memory, where nobody sees them."""
        held = bytes(self._map)
        self._let_go()
        self._use(mmap.mmap(-1, _BYTES))
        self._map[:] = held
        self.path = None

    def _use(self, mapped: mmap.mmap) -> None:
        self._map = mapped
        self._numbers = memoryview(mapped).cast("Q")
        self._begin = self._end = b""  # the ids of the hour at hand lie between these two
        self._at = _FIRST + 1

    def _let_go(self) -> None:
        self._numbers.release()
        self._map.close()

    def _turn_to(self, hour: int) -> None:
        held = {self._numbers[at]: at for at in reversed(range(_FIRST, _FIRST + 2 * SLOTS, 2))}
        at = held.get(hour)
        if at is None:
            oldest = min(held)  # 0, a free one, if there is any
            at = held[oldest]
            if oldest:
                log.error("answered.forgotten", hour=oldest, clicks=self._numbers[at + 1])
            self._numbers[at + 1] = 0
            self._numbers[at] = hour
        self._at = at + 1
        self._begin = (hour * _HOUR_MS).to_bytes(6, "big")
        self._end = ((hour + 1) * _HOUR_MS).to_bytes(6, "big")


class Inherited:
    """The counts of a process that is gone, by hour since 1970; `hours` is None when this release can not read them.
    Whoever has adopted them removes the file, or leaves it to others."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self._descriptor = descriptor
        self.hours = hours_in(os.pread(descriptor, _BYTES + 1, 0))

    @classmethod
    def adopt(cls, path: Path) -> "Inherited | None":
        """Take over a file whose process is gone; None when somebody owns it. Raises OSError."""
        descriptor = take_over(path, os.O_RDONLY)
        return None if descriptor is None else cls(path, descriptor)

    def remove(self) -> None:
        """Delete the file: its counts are known elsewhere. Raises OSError."""
        self.path.unlink(missing_ok=True)

    def release(self) -> None:
        """Let go of it, removed or not."""
        os.close(self._descriptor)


def hours_in(content: bytes) -> dict[int, int] | None:
    """The counts in a file, by hour since 1970; None when this release can not read them."""
    if not content:
        return {}  # its process died while it began
    if len(content) != _BYTES:
        return None
    numbers = memoryview(content).cast("Q")
    hours = _hours(numbers)
    whole = (numbers[0], numbers[1]) == (MAGIC, VERSION) and max(hours, default=0) <= _LATEST
    return hours if whole else None


def _hours(numbers: "memoryview[int]") -> dict[int, int]:
    return {numbers[at]: numbers[at + 1] for at in range(_FIRST, _FIRST + 2 * SLOTS, 2) if numbers[at]}
