"""The sources of conversions as the door uses them: found by token, with their networks read and their answers made."""

import hashlib
import hmac
from functools import lru_cache
from ipaddress import ip_network

import msgspec

from core.contracts import source_snapshot
from core.contracts.source_snapshot import Signature, SourceSnapshot
from core.domain.networks import Networks


class Source(msgspec.Struct, frozen=True, gc=False):
    """One that may send. `networks` is None for any address; `wants` are the lower-case names of headers that it is
    read by; `reply` is the body that it expects, "" for the usual one."""

    id: int
    networks: Networks | None
    signature: Signature | None
    wants: tuple[bytes, ...]
    reply: str


class _Held(msgspec.Struct, frozen=True, gc=False):
    hash: bytes
    until_ms: int
    source: Source


_NOBODY = _Held(bytes(32), -1, Source(0, None, None, (), ""))


class Table:
    """All sources of one snapshot."""

    def __init__(self, sources: tuple[SourceSnapshot, ...]) -> None:
        self._by_hash = {
            token.hash: _Held(token.hash, token.until_ms, source)
            for found in sources
            for source in (_source(found),)
            for token in found.tokens
        }

    def source_of(self, token: str, *, now_ms: int) -> Source | None:
        """Whose token it is; None for nobody's, or one whose time is over. Tokens are long and random, and looked up by
        their hash: how long it takes says nothing of those that exist."""
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        held = self._by_hash.get(digest, _NOBODY)
        if not hmac.compare_digest(held.hash, digest):
            return None
        return held.source if not held.until_ms or now_ms < held.until_ms else None


@lru_cache(maxsize=2)
def table_of(framed: bytes | None) -> Table:
    """The table of a snapshot; an empty one where there is none. Raises NewerSchema, or ValueError (which the decoder's
    errors are as well) for one that can not be used whole."""
    return Table(() if framed is None else source_snapshot.decode(framed).sources)


def _source(found: SourceSnapshot) -> Source:
    networks = tuple(ip_network(text, strict=False) for text in found.networks)
    return Source(
        found.source_id,
        Networks(ranges=networks) if networks else None,
        found.signature,
        tuple(name.encode("utf-8") for name in found.wants_headers),
        found.reply,
    )
