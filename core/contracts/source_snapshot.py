"""What the tracker knows of the sources of conversions: whose postbacks it takes, from where, and how it answers."""

import msgspec

from core.contracts.snapshot import Codec

BODY, TIME_AND_BODY = "body", "time.body"
"""What a signature covers: the body as it came (of a GET: its query string), or the time stamp, a dot and that."""


class Token(msgspec.Struct, frozen=True, omit_defaults=True, rename={"hash": "h", "until_ms": "u"}):
    """A source's token by its SHA-256; one that was replaced is taken until `until_ms` (ms since 1970), 0 for ever."""

    hash: bytes
    until_ms: int = 0


class Signature(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    rename={
        "keys": "k",
        "header": "h",
        "covers": "c",
        "algorithm": "a",
        "encoding": "e",
        "prefix": "p",
        "time_header": "t",
        "tolerance_s": "s",
    },
):
    """How a source signs: an HMAC by any of `keys`, in the header (or else the query parameter) `header`, written as
    `encoding` ("hex" or "base64") behind `prefix`. With `time_header` the time stamp there (s or ms since 1970, or
    `t=` within a header of the form `t=...,v1=...`) may be `tolerance_s` off, and a signature counts once."""

    keys: tuple[bytes, ...]
    header: str
    covers: str = BODY
    algorithm: str = "sha256"
    encoding: str = "hex"
    prefix: str = ""
    time_header: str = ""
    tolerance_s: int = 300


class SourceSnapshot(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    rename={
        "source_id": "i",
        "tokens": "t",
        "networks": "n",
        "signature": "g",
        "reply": "r",
        "wants_headers": "w",
    },
):
    """A source that may send. `networks` are the addresses that it sends from (CIDR), none for any; `reply` is the
    body that it expects, "" for the usual one; `wants_headers` are names (lower case) of headers that it is read by."""

    source_id: int
    tokens: tuple[Token, ...]
    networks: tuple[str, ...] = ()
    signature: Signature | None = None
    reply: str = ""
    wants_headers: tuple[str, ...] = ()


class SourcesSnapshot(
    msgspec.Struct, frozen=True, omit_defaults=True, rename={"sources": "s", "schema": "v"}
):
    """Every source that is not switched off."""

    sources: tuple[SourceSnapshot, ...] = ()
    schema: int = 1  # what is left out means 1, for ever; the codec writes the schema of this release


_codec = Codec(SourcesSnapshot)
encode, decode = _codec.encode, _codec.decode
