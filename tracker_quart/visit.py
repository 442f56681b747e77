"""One request as plain values. With `hits`, which adds to it, the only file of the tracker that reads HTTP requests.

Everything a stranger can send is bounded here, and text whatever its bytes were.
"""

from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import unquote_plus, unquote_to_bytes

from core.domain.facts import Asked
from core.domain.networks import Networks, number_of, visitor_address

LONGEST_HOST = 255
LONGEST_PATH = 1024
LONGEST_QUERY = 4096
LONGEST_AGENT = 1024
LONGEST_REFERRER = 2048
LONGEST_LANGUAGE = 256
LONGEST_PURPOSE = 128
_LONGEST_FORWARDED = 2048

_PURPOSES = (b"sec-purpose", b"purpose", b"x-purpose", b"x-moz")
_READ = {
    b"user-agent": LONGEST_AGENT,
    b"referer": LONGEST_REFERRER,
    b"accept-language": LONGEST_LANGUAGE,
}


class Visit(Asked, frozen=True, gc=False):
    """Who asks for what. `host` is lower case, without the port that its scheme implies; `path` and `query` are as
    they were sent, percent-encoding included; a header that is missing is ""."""

    method: str
    path: str
    purpose: str


def read_visit(
    *,
    method: str,
    target: bytes,
    query: bytes,
    headers: Iterable[tuple[bytes, bytes]],
    peer: str,
    proxies: Networks,
) -> Visit:
    """Make a Visit of a request. `target` is the part before `?`, header names are lower case. Never raises."""
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        if name not in found:
            found[name] = value
        elif name == b"x-forwarded-for":
            found[name] += b"," + value
    if not target.startswith(b"/"):
        target, found[b"host"] = _absolute(target, found.get(b"host", b""))
    purpose = b";".join([found.pop(name) for name in _PURPOSES if name in found])
    if purpose:
        found[b"purpose"] = purpose
    fields = dict(field_of(name, value) for name, value in found.items())
    get = fields.get
    ip = visitor_address(peer, get("x-forwarded-for", ""), proxies)
    return Visit(
        method=method,
        host=get("host", ""),
        path=path_of(target),
        query=query_of(query),
        ip=ip,
        address=number_of(ip),
        user_agent=get("user-agent", ""),
        referrer=get("referer", ""),
        language=get("accept-language", ""),
        purpose=get("purpose", ""),
    )


def field_of(name: bytes, value: bytes) -> tuple[str, str]:
    """A header as `Visit` keeps it: under its name, or `purpose` for all that say why a page is asked for; the text is
    "" where nothing reads it. `name` is lower case."""
    limit = _READ.get(name)
    if limit is not None:
        return name.decode("ascii"), _text(value, limit)
    if name == b"host":
        return "host", _host(value)
    if name == b"x-forwarded-for":
        return "x-forwarded-for", _text(value[-_LONGEST_FORWARDED:], _LONGEST_FORWARDED)
    if name in _PURPOSES:
        return "purpose", _text(value, LONGEST_PURPOSE)
    return name.decode("latin-1"), ""


def path_of(target: bytes) -> str:
    """The path as `Visit` keeps it."""
    return _text(target, LONGEST_PATH)


def query_of(query: bytes) -> str:
    """The query as `Visit` keeps it."""
    return _text(query, LONGEST_QUERY)


def password_in(form: bytes) -> str:
    """What stands in the field `password` of a form that was sent (application/x-www-form-urlencoded); "" for none."""
    for part in form.split(b"&"):
        name, _, value = part.partition(b"=")
        if name == b"password":
            return unquote_plus(value.decode("utf-8", "replace"), errors="replace")
    return ""


def slug_of(path: str) -> str | None:
    """The slug that a path asks for, decoded; None when it can not be one (deeper, empty, not UTF-8, too long)."""
    if len(path) >= LONGEST_PATH or not path.isascii():
        return None
    try:
        slug = unquote_to_bytes(path[1:]).decode("utf-8")
    except UnicodeDecodeError:
        return None
    return None if not slug or "/" in slug or not slug.isprintable() else slug


def _absolute(target: bytes, host: bytes) -> tuple[bytes, bytes]:
    """`http://host/path` as proxies are asked (RFC 9112, section 3.2.2): its host wins over the header."""
    scheme, separator, rest = target.partition(b"://")
    if not separator or scheme.lower() not in (b"http", b"https"):
        return b"/", host
    authority, _, path = rest.partition(b"/")
    return b"/" + path, authority


@lru_cache(maxsize=1024)
def _host(raw: bytes) -> str:
    host = _text(raw, LONGEST_HOST).lower()
    name, colon, port = host.rpartition(":")
    if colon and port in ("80", "443"):
        host = name
    return host.removesuffix(".")


def _text(raw: bytes, limit: int) -> str:
    """Decoded and bounded. NUL can not be stored by PostgreSQL, and no honest client sends it."""
    if not raw:
        return ""
    text = raw[:limit].decode("utf-8", "replace")
    return text.replace("\0", "\ufffd") if "\0" in text else text
