"""A task on a queue: what is to be run, with which arguments, how often it was tried. Never pickle."""

import msgspec

from core.contracts.decoding import decode_with

VERSION = 1
"""Raised only when an old worker would misread a message; new fields with defaults do not raise it."""


class TaskMessage(msgspec.Struct, frozen=True, omit_defaults=True):
    """`task` is a registered name such as "publish.link"; `args` are ids and scalars, so that a task can run twice;
    `request` is the id of what a person or program asked for, of which this is a part, "" for none;
    `trace` is the span that it was asked in, as W3C's `traceparent`, "" where traces are off."""

    id: str
    task: str
    args: tuple[int | float | str | bool | None, ...] = ()
    attempts: int = 0
    enqueued_ms: int = 0
    request: str = ""
    trace: str = ""
    version: int = 1  # what is left out means 1, for ever; `encode` writes the version of this release


def encode(message: TaskMessage) -> bytes:
    """The bytes of a stream entry's field."""
    return _encoder.encode(msgspec.structs.replace(message, version=VERSION))


def decode(data: bytes) -> TaskMessage:
    """Read an entry. Raises msgspec.DecodeError for bytes that are no message."""
    return decode_with(_decoder, data)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(TaskMessage)
