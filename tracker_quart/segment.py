"""One file of spooled events: appended with fsync, read back whole, locked by the process that owns it.

A record is its length and its CRC-32 (four big-endian bytes each), then an event's id and its bytes. A crash in
the middle of a write leaves a torn tail: reading stops before it. Those were never answered.
"""

import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

from tracker_quart.event_stream import Event
from tracker_quart.owned_file import begin, take_over

SUFFIX = ".spool"
_HEAD = struct.Struct(">II")
_ID = 16
_LARGEST_RECORD = 1 << 20
_FLAGS = os.O_RDWR | os.O_APPEND


class Segment:
    """An open, locked file. All methods block: call them from a thread, one at a time."""

    def __init__(self, path: Path, descriptor: int, *, size: int) -> None:
        self.path = path
        self.size = size
        self.count = 0
        self.sent = 0  # known in this process alone: after a crash all of it is sent again
        self.is_broken = False
        self.is_stuck = False
        self._descriptor = descriptor

    @classmethod
    def create(cls, path: Path) -> "Segment":
        """A new, empty file; it appears under its name only when it is locked. Raises OSError."""
        descriptor = begin(path, _FLAGS)
        try:
            _sync_folder(path.parent)
        except OSError:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            raise
        return cls(path, descriptor, size=0)

    @classmethod
    def adopt(cls, path: Path) -> "Segment | None":
        """Take over a file whose process is gone; None when somebody owns it or it has just been finished."""
        descriptor = take_over(path, _FLAGS)
        return None if descriptor is None else cls(path, descriptor, size=os.fstat(descriptor).st_size)

    def append(self, events: Sequence[Event]) -> None:
        """Write and fsync, all of them or none. Raises OSError; the file is as it was, or `is_broken` and must not be
        appended to again (`read` still stops where it was whole)."""
        block = b"".join(_record(event) for event in events)
        try:
            written = 0
            while written < len(block):
                written += os.write(self._descriptor, block[written:])
            os.fsync(self._descriptor)
        except OSError:
            try:
                os.ftruncate(self._descriptor, self.size)
            except OSError:
                self.is_broken = True
            raise
        self.size += len(block)
        self.count += len(events)

    def read(self) -> tuple[list[Event], int]:
        """Every whole record, and the number of bytes behind them that are none."""
        content = os.pread(self._descriptor, self.size, 0)
        events = []
        at = 0
        while at + _HEAD.size <= len(content):
            length, check = _HEAD.unpack_from(content, at)
            body = content[at + _HEAD.size : at + _HEAD.size + length]
            if not _ID < length <= _LARGEST_RECORD or len(body) < length or zlib.crc32(body) != check:
                break
            events.append(Event(body[:_ID], body[_ID:]))
            at += _HEAD.size + length
        self.count = len(events)
        return events, len(content) - at

    def remove(self) -> None:
        """Delete the file: its events are in Redis."""
        self.path.unlink(missing_ok=True)
        os.close(self._descriptor)

    def release(self) -> None:
        """Leave the file to whoever adopts it."""
        os.close(self._descriptor)


def _record(event: Event) -> bytes:
    body = event.id + event.data
    return _HEAD.pack(len(body), zlib.crc32(body)) + body


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
