"""What one click is, from the tracker's answer to the worker's store.

The id is a UUIDv7 made by the tracker: idempotency key, the click's own time, and the click id that travels on.
"""

from datetime import UTC, datetime

import msgspec

from core.contracts.decoding import decode_with

REDIRECT, PAUSED, GONE = "redirect", "paused", "gone"
SCHEDULED, EXPIRED, CAPPED = "scheduled", "expired", "capped"
LOCKED = "locked"
OUTCOMES = (REDIRECT, PAUSED, GONE, SCHEDULED, EXPIRED, CAPPED, LOCKED)
"""What was answered. Their places in this order are stored: only add at the end."""


class ClickEvent(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    rename={
        "version": "v",
        "id": "i",
        "link_id": "l",
        "revision": "r",
        "outcome": "o",
        "door_bot": "b",
        "method": "m",
        "host": "h",
        "path": "p",
        "query": "q",
        "ip": "a",
        "user_agent": "u",
        "referrer": "f",
        "language": "g",
        "purpose": "s",
        "rule": "R",
        "variant": "V",
        "source": "S",
        "landing_utm": "U",
        "cap": "C",
        "app": "A",
    },
):
    """One answered click. `door_bot` is the tracker's reason to take the visitor for a robot ("" for a person);
    `purpose` is what `Sec-Purpose`, `Purpose` or `X-Moz` said; `language` is the raw Accept-Language header; `rule` and
    `variant` are ids of what chose the destination, 0 for none;
    `source` is the private source tag of the short link's query; `landing_utm` are the `utm_` parameters of the address
    that the visitor was led to, None where there was none (or by an older tracker, which did not say); `cap` is the
    link's click cap where the click counts for it (a person's redirect), else 0; `app` is the system, "ios" or
    "android", whose app address was tried, "" where none was.
    Unknown fields are ignored and missing ones have defaults, so old and new programs mix."""

    id: bytes
    link_id: int
    revision: int = 0
    outcome: str = REDIRECT
    door_bot: str = ""
    method: str = "GET"
    host: str = ""
    path: str = ""
    query: str = ""
    ip: str = ""
    user_agent: str = ""
    referrer: str = ""
    language: str = ""
    purpose: str = ""
    rule: int = 0
    variant: int = 0
    source: str = ""
    landing_utm: str | None = None
    cap: int = 0
    app: str = ""
    version: int = 1

    @property
    def unix_ms(self) -> int:
        """Milliseconds since 1970 at which the tracker made the id."""
        return unix_ms(self.id)

    @property
    def at(self) -> datetime:
        """The click's time, aware, in UTC."""
        return datetime.fromtimestamp(unix_ms(self.id) / 1000, UTC)


def encode(event: ClickEvent) -> bytes:
    """The bytes of a stream entry's field."""
    return _encoder.encode(event)


def decode(data: bytes) -> ClickEvent:
    """Read an entry. Raises msgspec.DecodeError (ValidationError included) for bytes that are no click."""
    event = decode_with(_decoder, data)
    if len(event.id) != 16:
        raise msgspec.ValidationError(f"a click id has 16 bytes, not {len(event.id)}")
    return event


def unix_ms(click_id: bytes) -> int:
    """The time in a UUIDv7 (RFC 9562, section 5.7), in ms since 1970."""
    return _number(click_id[:6], "big")


def hour_name(ms: int) -> str:
    """The UTC hour that the books count a click in: "2026112314"."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y%m%d%H")


_number = int.from_bytes  # to look it up anew each time costs three times as much as to call it
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(ClickEvent)
