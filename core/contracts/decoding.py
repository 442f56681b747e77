"""Reading bytes that may be anybody's: one kind of error, whatever is wrong with them."""

from typing import TypeVar

import msgspec

T = TypeVar("T")


def decode_with(decoder: "msgspec.msgpack.Decoder[T]", data: bytes | memoryview) -> T:
    """What `decoder` reads. Raises msgspec.DecodeError, also where msgspec lets Python's own errors through: text that
    is no UTF-8, and nesting without end."""
    try:
        return decoder.decode(data)
    except (UnicodeDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error
