"""The host that a visitor came from, out of the Referer header."""

from functools import lru_cache
from urllib.parse import urlsplit

LONGEST_REFERRER = 1024
"""What is looked at and stored of a referrer."""

_LONGEST_HOST = 253
_LONGEST_REMEMBERED = 256  # browsers send little more than the origin; what is longer seldom comes twice


def referrer_host(referrer: str, *, own_host: str) -> str:
    """The referring host in lower case, without `www.` and port; an Android app gives its package name.

    "" where there is none, where the header is no address, and where it is the short domain itself (`own_host`, with
    or without its port): a visitor who comes from there came from nowhere.
    """
    if not referrer:
        return ""
    read = _remembered if len(referrer) <= _LONGEST_REMEMBERED else _host
    return read(referrer[:LONGEST_REFERRER], own_host)


def _host(referrer: str, own_host: str) -> str:
    try:
        parts = urlsplit(referrer.strip())
        host = parts.hostname or ""
    except ValueError:
        return ""
    if parts.scheme not in ("http", "https", "android-app"):
        return ""
    host = _plain(host)
    if len(host) > _LONGEST_HOST or host == _plain(_without_port(own_host)):
        return ""
    return host


_remembered = lru_cache(maxsize=10_000)(_host)


def _plain(host: str) -> str:
    return host.lower().rstrip(".").removeprefix("www.")


def _without_port(host: str) -> str:
    name, separator, port = host.rpartition(":")
    plain = name if separator and port.isdigit() else host
    return plain.strip("[]")
