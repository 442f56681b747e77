"""The frame around every snapshot in Redis: its revision, then its MessagePack.

The revision stands first, as eight big-endian bytes, so that `put_snapshot.lua` compares revisions as plain strings
without decoding anything. Writers draw revisions from one sequence; the higher one wins, whatever order they arrive in.
"""

from importlib.resources import files

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


def check_schema(schema: int) -> None:
    """Raise NewerSchema when a decoded snapshot says that this release can not read it."""
    if schema > SCHEMA:
        raise NewerSchema(f"snapshot of schema {schema}, this program reads up to {SCHEMA}")


def put_script() -> str:
    """The Lua source that writes a framed snapshot unless Redis holds a newer one, and announces it."""
    return files("core.contracts").joinpath("put_snapshot.lua").read_text(encoding="utf-8")
