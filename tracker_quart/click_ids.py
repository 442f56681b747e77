"""Click ids: UUIDv7 whose time is the click's own."""

import os
import time
from collections.abc import Callable

from core.observe import CLOCK_BACK, logger

_NOISE_BYTES = 10
_IDS_A_DRAW = 200  # a system call for each id would cost more than all the rest of it
_VERSION_AND_VARIANT = 0x70 << 72 | 0x80 << 56
"""What is set in ten random bytes (RFC 9562, section 5.7), over the bits of _FIXED."""

_FIXED = 0xF0 << 72 | 0xC0 << 56


def _repeated(bits: int) -> int:
    return int.from_bytes(bits.to_bytes(_NOISE_BYTES, "big") * _IDS_A_DRAW, "big")


_RANDOM, _SET = _repeated((1 << 8 * _NOISE_BYTES) - 1 ^ _FIXED), _repeated(_VERSION_AND_VARIANT)
_JUMP_MS = 1000  # clocks are slewed by milliseconds all the time; a second backwards is a jump

log = logger(__name__)


class ClickIds:
    """Makes ids that are unique whatever the clock does: 74 bits of each are random, and not to be guessed, because
    whoever knows a click's id may report a conversion for it."""

    def __init__(
        self,
        *,
        clock_ns: Callable[[], int] = time.time_ns,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._clock_ns = clock_ns
        self._random_bytes = random_bytes
        self._latest_ms = 0
        self._noise = b""
        self._used = 0
        self._behind = False

    def new(self) -> bytes:
        """Sixteen bytes (RFC 9562, section 5.7). A clock that jumps back is believed, counted, and logged once."""
        now_ms = self._clock_ns() // 1_000_000
        if now_ms >= self._latest_ms:
            self._latest_ms = now_ms
            self._behind = False
        elif not self._behind and self._latest_ms - now_ms >= _JUMP_MS:
            self._behind = True
            CLOCK_BACK.inc()
            log.warning("clock.jumped_back", seconds=(self._latest_ms - now_ms) / 1000)
        if self._used == len(self._noise):
            self._draw()
        start = self._used
        self._used = end = start + _NOISE_BYTES
        return now_ms.to_bytes(6, "big") + self._noise[start:end]

    def _draw(self) -> None:
        """The random parts of many ids: their bits are set all at once."""
        size = _NOISE_BYTES * _IDS_A_DRAW
        drawn = int.from_bytes(self._random_bytes(size), "big")
        self._noise, self._used = (drawn & _RANDOM | _SET).to_bytes(size, "big"), 0
