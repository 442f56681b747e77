"""The country of an address, from the operator's MMDB file. Without one no country is known."""

from pathlib import Path
from typing import Any

import maxminddb

from core.observe import logger

log = logger(__name__)

_ALL_BITS = 128


class Countries:
    """Looks countries up in a file that may be replaced at any time; one look-up costs about 1 us."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._reader: maxminddb.Reader | None = None
        self._opened: tuple[int, int] | None = None

    def refresh(self) -> bool:
        """Open the file when it is new or changed, and say whether it was. One that can not be read is logged, and the
        last good one stays."""
        if self._path is None:
            return False
        try:
            stat = self._path.stat()
            seen = (stat.st_mtime_ns, stat.st_size)
            if seen == self._opened:
                return False
            self._opened = seen
            self._reader = maxminddb.open_database(self._path, maxminddb.MODE_MMAP_EXT)
        except (OSError, ValueError, maxminddb.InvalidDatabaseError) as error:
            log.warning("geo.unreadable", file=str(self._path), reason=str(error))
            return False
        log.info("geo.opened", file=str(self._path), built=self._reader.metadata().build_epoch)
        return True

    def of(self, ip: str) -> str:
        """The ISO code of an address's country, "BR"; "" where it is not known."""
        reader = self._reader
        if reader is None:
            return ""
        try:
            return _code(reader.get(ip))
        except (ValueError, maxminddb.InvalidDatabaseError):
            return ""

    def with_length(self, ip: str) -> tuple[str, int]:
        """As `of`, and how many leading bits the address shares with all others of which the same was said; all of them
        where that is not known."""
        reader = self._reader
        if reader is None:
            return "", _ALL_BITS
        try:
            found, bits = reader.get_with_prefix_len(ip)
        except (ValueError, maxminddb.InvalidDatabaseError):
            return "", _ALL_BITS
        return _code(found), bits


def _code(found: Any) -> str:
    """Both shapes in use: GeoLite2's nested `country.iso_code`, and the flat `country_code` of others."""
    if not isinstance(found, dict):
        return ""
    country = found.get("country")
    code = country.get("iso_code") if isinstance(country, dict) else found.get("country_code", country)
    return code.upper() if isinstance(code, str) and len(code) == 2 else ""
