"""The country of a visitor, for links whose rules or destinations ask for it."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from core.domain.networks import Number

if TYPE_CHECKING:
    from core.geo import Countries

_LOOK_EVERY_S = 60.0
"""How often the file is looked at: the operator may replace it at any time."""

_monotonic = time.monotonic


_BITS, _REST = 20, 12
"""Of an IPv4 address: those that say its block, and the others."""

_BLOCKS = 1 << _BITS
_NOT_READ, _PARTED, _NOWHERE = range(3)
"""What may stand for a block in place of a country."""


class Lookup:
    """Looks countries up in the operator's MMDB file, which is opened when first asked for: most trackers never are.

    Most blocks of 4,096 IPv4 addresses lie in one country, and there are so few that it is remembered in which, a byte
    each, 1 MB: to look it up in the file costs five times as much, and more where records have names in many languages.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._countries: Countries | None = None
        self._look_at = float("inf") if path is None else 0.0
        self._blocks = bytearray(_BLOCKS)
        self._codes: list[str] = ["", "", ""]

    def of(self, ip: str, address: Number | None) -> str:
        """The ISO code of an address's country, "BR"; "" where it is not known, or no file is set. `address` is `ip` as
        a number, None where that is none."""
        if _monotonic() >= self._look_at:
            self._look()
        countries = self._countries
        if address is None or countries is None:
            return ""
        family, number = address
        if family != 4 or ":" in ip:
            return countries.of(ip)
        known = self._blocks[number >> _REST]
        if known >= _NOWHERE:
            return self._codes[known]
        return countries.of(ip) if known == _PARTED else self._read(countries, ip, number >> _REST)

    def _read(self, countries: "Countries", ip: str, block: int) -> str:
        code, bits = countries.with_length(ip)
        if bits > _BITS:
            self._blocks[block] = _PARTED
            return code
        blocks = 1 << _BITS - bits
        first = block - block % blocks
        self._blocks[first : first + blocks] = bytes([self._place_of(code)]) * blocks
        return code

    def _place_of(self, code: str) -> int:
        """Where a code stands; files have some 250, and for one too many the block is read each time."""
        if code == "":
            return _NOWHERE
        if code not in self._codes:
            if len(self._codes) > 255:
                return _PARTED
            self._codes.append(code)
        return self._codes.index(code)

    def _look(self) -> None:
        if self._countries is None:
            from core.geo import Countries

            self._countries = Countries(self._path)
        if self._countries.refresh():
            self._blocks = bytearray(_BLOCKS)
        self._look_at = _monotonic() + _LOOK_EVERY_S
