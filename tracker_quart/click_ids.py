"""Click ids: UUIDv7 whose time is the click's own."""

import os
import time
from collections.abc import Callable

from core.observe import CLOCK_BACK, logger

_NOISE_BYTES = 10
_IDS_A_DRAW = 100  # a system call for each id would cost more than all the rest of it
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
            self._noise, self._used = self._random_bytes(_NOISE_BYTES * _IDS_A_DRAW), 0
        noise = int.from_bytes(self._noise[self._used : self._used + _NOISE_BYTES], "big")
        self._used += _NOISE_BYTES
        number = now_ms << 80 | 7 << 76 | (noise >> 62 & 0xFFF) << 64 | 2 << 62 | noise & (1 << 62) - 1
        return number.to_bytes(16, "big")
