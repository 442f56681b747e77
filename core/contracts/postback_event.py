"""What one postback is, as it came: from the tracker's answer (or an upload) to the worker's inbox.

The id is a UUIDv7 made by whoever took it: idempotency key and time of receipt. Nothing is read here: which parameter
means what is the worker's matter, and may be changed and asked again later.
"""

from datetime import UTC, datetime

import msgspec

from core.contracts.click_event import unix_ms
from core.contracts.decoding import decode_with

POSTBACK, PIXEL, SCRIPT, UPLOAD, API = "postback", "pixel", "script", "upload", "api"
KINDS = (POSTBACK, PIXEL, SCRIPT, UPLOAD, API)
"""How it came. Their places in this order are stored: only add at the end."""

TOKEN, ADDRESS, SIGNATURE, STALE, REPLAYED, TOO_LARGE = (
    "token",
    "address",
    "signature",
    "stale",
    "replayed",
    "too_large",
)
REFUSALS = (TOKEN, ADDRESS, SIGNATURE, STALE, REPLAYED, TOO_LARGE)
"""Why the door refused one: unknown token, foreign address, wrong signature, its time stamp too old or too far ahead, a
signature that was used before, more bytes than are taken."""

LARGEST = 64 * 1024
"""Bytes of query and body together that are taken; of more, this much is kept to show, and none of it is used."""


class PostbackEvent(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    rename={
        "version": "v",
        "id": "i",
        "source_id": "s",
        "kind": "k",
        "method": "m",
        "host": "h",
        "query": "q",
        "content_type": "c",
        "body": "b",
        "headers": "d",
        "ip": "a",
        "user_agent": "u",
        "referrer": "f",
        "token_hint": "t",
        "refused": "r",
        "status": "o",
        "size": "z",
    },
):
    """One request. `source_id` is 0 where the token belongs to nobody; `query` is the raw query string, percent-encoded
    as it came; `headers` are those that its source is read by; `token_hint` shows ends of the token, never all of it;
    `refused` is "" or one of REFUSALS, `status` what was answered; `size` is how many bytes query and body had where
    they were cut, else 0. A postback that was refused is kept to be seen, and never becomes a conversion.
    Unknown fields are ignored and missing ones have defaults, so old and new programs mix."""

    id: bytes
    source_id: int = 0
    kind: str = POSTBACK
    method: str = "GET"
    host: str = ""
    query: str = ""
    content_type: str = ""
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    ip: str = ""
    user_agent: str = ""
    referrer: str = ""
    token_hint: str = ""
    refused: str = ""
    status: int = 200
    size: int = 0
    version: int = 1

    @property
    def at(self) -> datetime:
        """When it was received, aware, in UTC."""
        return datetime.fromtimestamp(unix_ms(self.id) / 1000, UTC)


def encode(event: PostbackEvent) -> bytes:
    """The bytes of a stream entry's field."""
    return _encoder.encode(event)


def decode(data: bytes) -> PostbackEvent:
    """Read an entry. Raises msgspec.DecodeError (ValidationError included) for bytes that are no postback."""
    event = decode_with(_decoder, data)
    if len(event.id) != 16:
        raise msgspec.ValidationError(f"a postback's id has 16 bytes, not {len(event.id)}")
    return event


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(PostbackEvent)
