"""One postback or pixel as plain values, by whichever lane it came."""

import re
from collections.abc import Sequence
from urllib.parse import unquote_plus

import msgspec

from core.contracts.postback_event import LARGEST, PIXEL, POSTBACK, SCRIPT
from core.domain.networks import Networks
from tracker_quart.visit import Visit, read_visit

Headers = Sequence[tuple[bytes, bytes]]

_VIA_SCRIPT = b"via=script"
"""How `rastro.js` says who sends: the first parameter of its query."""

_ODD = re.compile(rb"[^\x21-\x7e]")


class Hit(msgspec.Struct, frozen=True, gc=False):
    """What was sent to a source's address. `kind` is PIXEL, SCRIPT or POSTBACK; `token` is what stands in the path;
    `query` and `body` are bytes as they came, the body's first LARGEST of them; `size` is how many bytes both had.
    Names of `headers` are lower case. `visit` has no query."""

    kind: str
    token: str
    visit: Visit
    query: bytes
    headers: Headers
    body: bytes
    size: int

    def header(self, name: bytes) -> bytes | None:
        """The first header of a name (lower case); None where there is none."""
        return next((value for key, value in self.headers if key == name), None)

    def parameter(self, name: str) -> str | None:
        """The first parameter of the query with this name, decoded; None where there is none."""
        for part in self.query.split(b"&"):
            if _name_of(part) == name:
                return _decoded(part.partition(b"=")[2])
        return None

    def query_without(self, name: str) -> bytes:
        """The query as it came, but for the parameters of a name."""
        return b"&".join(part for part in self.query.split(b"&") if _name_of(part) != name)


def read_hit(
    token: str,
    *,
    is_pixel: bool,
    method: str,
    target: bytes,
    query: bytes,
    headers: Headers,
    peer: str,
    proxies: Networks,
    body: bytes = b"",
    skipped: int = 0,
) -> Hit:
    """Make a Hit of a request, out of which `skipped` bytes of query or body were left. Never raises."""
    visit = read_visit(method=method, target=target, query=b"", headers=headers, peer=peer, proxies=proxies)
    kind = PIXEL if is_pixel else SCRIPT if _is_scripts(query) else POSTBACK
    return Hit(kind, token, visit, query, headers, body, len(query) + len(body) + skipped)


def query_text(query: bytes) -> str:
    """A query as it is kept: as it came, with bytes that no URL may have written as %XX, so that none is lost. Cut at
    LARGEST."""
    query = query[:LARGEST]
    return _ODD.sub(lambda found: b"%%%02X" % found[0][0], query).decode("ascii")


def _is_scripts(query: bytes) -> bool:
    return query.startswith(_VIA_SCRIPT) and query[len(_VIA_SCRIPT) :][:1] in (b"", b"&")


def _name_of(part: bytes) -> str:
    return _decoded(part.partition(b"=")[0])


def _decoded(text: bytes) -> str:
    return unquote_plus(text.decode("utf-8", "replace"), errors="replace")
