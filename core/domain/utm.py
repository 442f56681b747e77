"""The five UTM values of a query string."""

from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_plus

LONGEST_UTM = 200
LONGEST_QUERY = 8192
"""What is looked at of a query; the tracker takes no longer request line anyway."""


class Utm(NamedTuple):
    """What a campaign's author wrote, its case kept; "" where it is missing."""

    source: str = ""
    medium: str = ""
    campaign: str = ""
    content: str = ""
    term: str = ""


NO_UTM = Utm()


def read_utm(query: str) -> Utm:
    """The UTM values of a query string (without its "?"), decoded and without space around them, at most LONGEST_UTM
    characters each. Where a name comes twice, the first value that says something counts; bytes that are no UTF-8
    become U+FFFD."""
    if "utm_" not in query:
        return NO_UTM
    return _read(query[:LONGEST_QUERY])


@lru_cache(maxsize=4096)
def _read(query: str) -> Utm:
    found: dict[str, str] = {}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        field = name.removeprefix("utm_")
        if field != name and field in Utm._fields and not found.get(field):
            found[field] = unquote_plus(value).strip()[:LONGEST_UTM]
    return Utm(**found) if found else NO_UTM
