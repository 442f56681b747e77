"""The country of a visitor, for links whose rules or destinations ask for it."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from core.geo import Countries

_LOOK_EVERY_S = 60.0
"""How often the file is looked at: the operator may replace it at any time."""


class Lookup:
    """Looks countries up in the operator's MMDB file, which is opened when first asked for: most trackers never are."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._countries: Countries | None = None
        self._look_at = float("inf") if path is None else 0.0

    def of(self, ip: str) -> str:
        """The ISO code of an address's country, "BR"; "" where it is not known, or no file is set."""
        if time.monotonic() >= self._look_at:
            self._look()
        return "" if self._countries is None else self._countries.of(ip)

    def _look(self) -> None:
        if self._countries is None:
            from core.geo import Countries

            self._countries = Countries(self._path)
        self._countries.refresh()
        self._look_at = time.monotonic() + _LOOK_EVERY_S
