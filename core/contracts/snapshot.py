"""The frame around every snapshot in Redis: its revision, then its MessagePack.

The revision stands first, as eight big-endian bytes, so that `put_snapshot.lua` compares revisions as plain strings
without decoding anything. Writers draw revisions from one sequence; the higher one wins, whatever order they arrive in.
"""

from importlib.resources import files
from typing import Generic, Protocol, TypeVar

import msgspec

from core.contracts.decoding import decode_with

SCHEMA = 1
"""Raised only when an old reader would misread a snapshot; new fields with defaults do not raise it."""

_REVISION = 8


class NewerSchema(Exception):
    """A snapshot was written by a newer release, in a shape that this one must not guess at."""


def frame(revision: int, body: bytes) -> bytes:
    """Put the revision in front of an encoded snapshot."""
    return revision.to_bytes(_REVISION, "big") + body


def revision_of(framed: bytes) -> int:
    """The revision of a framed snapshot."""
    return int.from_bytes(framed[:_REVISION], "big")


def body_of(framed: bytes) -> memoryview:
    """The encoded snapshot without its frame, not copied."""
    return memoryview(framed)[_REVISION:]


class Versioned(Protocol):
    """What every snapshot has: the schema that its writer knew. What is left out of its bytes means 1, for ever."""

    @property
    def schema(self) -> int: ...


S = TypeVar("S", bound=Versioned)


class Codec(Generic[S]):
    """Encodes and decodes one kind of snapshot."""

    def __init__(self, kind: type[S]) -> None:
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[S] = msgspec.msgpack.Decoder(kind)

    def encode(self, snapshot: S, *, revision: int) -> bytes:
        """The bytes that stand in Redis; they say the schema of this release."""
        stamped = msgspec.structs.replace(snapshot, schema=SCHEMA)  # type: ignore[type-var]
        return frame(revision, self._encoder.encode(stamped))

    def decode(self, framed: bytes) -> S:
        """Read what stands in Redis. Raises NewerSchema, or msgspec.DecodeError for bytes that are no snapshot."""
        snapshot = decode_with(self._decoder, body_of(framed))
        if snapshot.schema > SCHEMA:
            raise NewerSchema(f"snapshot of schema {snapshot.schema}, this program reads up to {SCHEMA}")
        return snapshot


def put_script() -> str:
    """The Lua source that writes a framed snapshot unless Redis holds a newer one, and announces it."""
    return files("core.contracts").joinpath("put_snapshot.lua").read_text(encoding="utf-8")
