"""Rules for slugs and destinations. Pure: the same text always gets the same answer."""

import random
import re
import unicodedata
from collections.abc import Collection
from urllib.parse import quote

from core.domain.hosts import HostRefused, ascii_host, is_loopback, split_port

LONGEST_SLUG = 64
LONGEST_DESTINATION = 8192

RESERVED = frozenset(
    {
        "robots.txt",
        "favicon.ico",
        "sitemap.xml",
        "ads.txt",
        "app-ads.txt",
        "security.txt",
        "humans.txt",
        "manifest.json",
        "manifest.webmanifest",
        "apple-app-site-association",
        "apple-touch-icon.png",
        "apple-touch-icon-precomposed.png",
        "browserconfig.xml",
        "index.html",
        "livez",
        "readyz",
        "healthz",
        "health",
        "metrics",
        "postback",
        "pixel",
        "rastro.js",
        "track",
        "api",
        "admin",
        "static",
        "assets",
        "login",
        "logout",
    }
)
"""Paths that a domain of ours answers itself, or may one day; compared without case."""

_RESERVED_PREFIXES = (".well-known", "apple-touch-icon")

_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"  # no i l o 0 1: they are read as one another
_MADE_LENGTH = 7
_LETTERS_OF_DIGITS = str.maketrans("23456789", "zeasgtbg")
_RUDE = re.compile(
    r"f.?u.?c?.?k|fag|c[uv]nt|cum|sh.?t|sex|xxx|rape|naz|dyke|wank|twat|b[uv]tt|an[uv]s|ana[ls]|ass|crap|nude|kkk"
    r"|pen[uv]s|damn|p[uv]ta|merda|b[uv]nda|b[uv]ceta|teta|tesa|xana|f[uv]der|ch[uv]pa|trepa|cagad|macac|preta"
)  # English and Portuguese; words with i, l or o can not occur

_SLUG_CATEGORIES = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Nd"})
_SLUG_CATEGORIES = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Nd"})
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u3164\uffa0")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_HOST_AND_PORT = re.compile(r"(?:localhost|[^/?#:]*\.[^/?#:]+):[0-9]+(?:[/?#]|\Z)", re.IGNORECASE)
_DIRECTION_MARKS = frozenset(
    "\u061c\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
)
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Refused(Exception):
    """A text that a person typed can not be taken. `reason` is for programs, `message` for people; `suggestion` is
    what they may have meant, where that is clear."""

    def __init__(self, reason: str, message: str, *, suggestion: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.suggestion = suggestion


class SlugRefused(Refused):
    """A slug can not be taken. Reasons: empty, too_long, characters, reserved."""


class DestinationRefused(Refused):
    """A destination can not be taken. Reasons: empty, too_long, characters, scheme, no_scheme, no_host, host, port,
    user_info, loop, intent."""


def slug_key(slug: str, *, case_sensitive: bool) -> str:
    """What a slug is looked up by. THE one function: manager, database and tracker agree because all call it.

    NFC, and folded unless the domain tells case apart. Applying it twice gives the same as once.
    """
    if slug.isascii():
        return slug if case_sensitive else slug.lower()
    if case_sensitive:
        return unicodedata.normalize("NFC", slug)
    return unicodedata.normalize("NFC", _fold(_fold(slug)))


def check_slug(text: str) -> str:
    """A slug as it is stored and shown: NFC, without surrounding white space.

    1 to 64 letters and digits of any script, `_` and `-`; nothing that only looks like another letter, nothing
    reserved. Raises SlugRefused.
    """
    slug = unicodedata.normalize("NFC", text.strip())
    if not slug:
        raise SlugRefused("empty", "Type a slug, or leave it out to get one.")
    if len(slug) > LONGEST_SLUG:
        raise SlugRefused(
            "too_long", f"A slug has at most {LONGEST_SLUG} characters; this one has {len(slug)}."
        )
    folded = slug_key(slug, case_sensitive=False)
    if folded in RESERVED or folded.startswith(_RESERVED_PREFIXES):
        raise SlugRefused("reserved", f"{slug} is used by Rastro itself. Choose another slug.")
    odd = next((char for char in slug if not _fits_slug(char)), None)
    if odd is not None:
        raise SlugRefused(
            "characters", f"A slug has letters, digits, - and _ only; it can not have {_named(odd)}."
        )
    if unicodedata.category(slug[0]).startswith("M") or unicodedata.normalize("NFKC", slug) != slug:
        raise SlugRefused("characters", "The slug has a character that only looks like a usual one.")
    return slug


def new_slug(rng: random.Random) -> str:
    """A random slug of 7 characters that can be read aloud, in lower case (so that it is free under both case rules);
    no word that would embarrass. 31 characters, 27 billion slugs: callers retry when one is taken."""
    while True:
        slug = "".join(rng.choice(_ALPHABET) for _ in range(_MADE_LENGTH))
        if (
            slug not in RESERVED
            and not _RUDE.search(slug.translate(_LETTERS_OF_DIGITS))
            and not _RUDE.search(slug)
        ):
            return slug


def check_destination(url: str, *, own_hosts: Collection[str]) -> str:
    """A destination as it is stored: as typed, without surrounding white space.

    Only http and https; a host; no user info, control characters, white space or backslash; at most 8,192 bytes as it
    will be sent; not on one of `own_hosts` (as `hosts.check_host` gives them), which would be a loop. An own host
    without a port covers all its ports; one of this machine covers this machine's other names on the same port.
    Raises DestinationRefused.
    """
    typed = url.strip()
    if not typed:
        raise DestinationRefused("empty", "Type the address that the link leads to.")
    if len(typed) > LONGEST_DESTINATION:
        raise _too_long()
    check_characters(typed)
    scheme, authority, _ = _parts(typed)
    host, port = _host_of(authority)
    if len(ascii_url(typed)) > LONGEST_DESTINATION:
        raise _too_long()
    if _is_own(host, port or _DEFAULT_PORTS[scheme], own_hosts):
        raise DestinationRefused(
            "loop", "This address is one of your own short domains: the link would run in a loop."
        )
    return typed


def ascii_url(url: str) -> str:
    """A checked destination as it travels: the host in punycode, other text beyond ASCII percent-encoded as UTF-8.
    What was ASCII stays byte for byte as typed."""
    if url.isascii():
        return url
    scheme, authority, rest = _parts(url)
    if not authority.isascii():
        host, port = _host_of(authority)
        authority = host if port is None else f"{host}:{port}"
    return f"{url[: len(scheme)]}://{authority}{_encoded(rest)}"


def host_of(url: str) -> str:
    """The host of a checked destination, in punycode: what people are shown, so that no letter deceives."""
    return _host_of(_parts(url)[1])[0]


def check_characters(typed: str) -> None:
    """Nothing that ends a line or a word, or can not be seen. Raises DestinationRefused."""
    for char in typed:
        if char.isspace():
            raise DestinationRefused(
                "characters", "The address has a space or a line break inside. Write a space as %20."
            )
        if char == "\\":
            raise DestinationRefused("characters", "The address has a backslash. Write it as / or as %5C.")
        if unicodedata.category(char) in ("Cc", "Cs", "Cn", "Co") or char in _DIRECTION_MARKS:
            raise DestinationRefused(
                "characters", "The address has a character that can not be seen. Type it anew."
            )


def _fold(text: str) -> str:
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", text).casefold())


def _fits_slug(char: str) -> bool:
    if char.isascii():
        return char.isalnum() or char in "-_"
    return unicodedata.category(char) in _SLUG_CATEGORIES and not _is_invisible(char)


def _is_invisible(char: str) -> bool:
    """Letters and marks to Unicode that nobody sees: fillers, joiners, variation selectors."""
    return char in _INVISIBLE or "\ufe00" <= char <= "\ufe0f" or char >= "\U000e0000"


def _named(char: str) -> str:
    if char.isspace():
        return "a space"
    if unicodedata.category(char)[0] == "C" or _is_invisible(char):
        return "a character that can not be seen"
    return f"“{char}”"


def _parts(url: str) -> tuple[str, str, str]:
    """Scheme in lower case, authority, and the rest from its first / ? or #."""
    found = _SCHEME.match(url)
    if found is None or _HOST_AND_PORT.match(url):
        raise _no_scheme(url)
    scheme = found[1].lower()
    if scheme not in _DEFAULT_PORTS:
        raise DestinationRefused(
            "scheme", f"A link can lead to http and https addresses only, not to {scheme}: ones."
        )
    if not url.startswith("//", found.end()):
        raise DestinationRefused("no_host", f"After {scheme}: come two slashes and a host name.")
    authority = re.split(r"[/?#]", url[found.end() + 2 :], maxsplit=1)[0]
    return scheme, authority, url[found.end() + 2 + len(authority) :]


def _no_scheme(url: str) -> DestinationRefused:
    guess = "https://" + url.lstrip("/")
    try:
        check_destination(guess, own_hosts=())
    except DestinationRefused:
        return DestinationRefused("no_scheme", "The address must start with https:// or http://.")
    shown = guess if len(guess) <= 80 else guess[:79] + "…"
    return DestinationRefused(
        "no_scheme",
        f"The address must start with https:// or http://. Did you mean {shown}",
        suggestion=guess,
    )


def _host_of(authority: str) -> tuple[str, int | None]:
    if not authority:
        raise DestinationRefused("no_host", "The address has no host name.")
    if "@" in authority:
        raise DestinationRefused(
            "user_info", "The address has a user name or password before its host. Take it out."
        )
    try:
        name, port = split_port(authority)
        return ascii_host(name), port
    except HostRefused as refused:
        reason = {"port": "port", "empty": "no_host"}.get(refused.reason, "host")
        raise DestinationRefused(reason, refused.message) from refused


def _is_own(host: str, port: int, own_hosts: Collection[str]) -> bool:
    for own in own_hosts:
        own_host, own_port = split_port(own)
        same = host == own_host or (own_port is not None and is_loopback(host) and is_loopback(own_host))
        if same and own_port in (None, port):
            return True
    return False


def _encoded(text: str) -> str:
    return "".join(char if char.isascii() else quote(char, safe="") for char in text)


def _too_long() -> DestinationRefused:
    return DestinationRefused("too_long", f"The address is longer than {LONGEST_DESTINATION:,} bytes.")
