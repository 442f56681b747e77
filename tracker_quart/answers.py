"""What is sent back, as plain values, and the bytes of its head."""

import msgspec

_REDIRECT_HEADERS = (
    ("cache-control", "private, no-store"),
    ("x-robots-tag", "noindex"),
    ("content-length", "0"),
)
_NO_REFERRER = (*_REDIRECT_HEADERS, ("referrer-policy", "no-referrer"))


class Answer(msgspec.Struct, frozen=True, gc=False):
    """A whole answer; header names are lower case, `content-length` is among them. `head` is what `head_of` gives,
    where it was made before."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    head: bytes = b""


def redirect_to(url: str, status: int, no_referrer: bool = False) -> Answer:
    """A redirect. `url` is printable ASCII."""
    headers = _NO_REFERRER if no_referrer else _REDIRECT_HEADERS
    return Answer(status, (("location", url), *headers))


def head_of(answer: Answer) -> bytes:
    """Status line and headers as Hypercorn writes them, without the date and what the connection adds."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in answer.headers])
    return f"HTTP/1.1 {answer.status} \r\n{lines}".encode("latin-1")
