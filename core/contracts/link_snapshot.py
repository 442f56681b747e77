"""What the tracker knows of a link. Published by the manager's services, read by the tracker alone."""

import msgspec

from core.contracts.decoding import decode_with
from core.contracts.snapshot import SCHEMA, body_of, check_schema, frame

LIVE, PAUSED, GONE = "live", "paused", "gone"


class LinkSnapshot(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    rename={"schema": "v", "link_id": "i", "state": "s", "url": "u"},
):
    """One slug's owner. `state` is live, paused or gone (archived or deleted); a tombstone (`link_id` 0) says that
    nobody owns the slug any more. Unknown fields are ignored and missing ones have defaults, so releases mix."""

    link_id: int = 0
    state: str = LIVE
    url: str = ""
    schema: int = 1  # what is left out means 1, for ever; `encode` writes the schema of this release

    @property
    def is_tombstone(self) -> bool:
        return self.link_id == 0


def encode(snapshot: LinkSnapshot, *, revision: int) -> bytes:
    """The bytes that stand in Redis."""
    return frame(revision, _encoder.encode(msgspec.structs.replace(snapshot, schema=SCHEMA)))


def decode(framed: bytes) -> LinkSnapshot:
    """Read what stands in Redis. Raises NewerSchema, or msgspec.DecodeError for bytes that are no snapshot."""
    snapshot = decode_with(_decoder, body_of(framed))
    check_schema(snapshot.schema)
    return snapshot


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(LinkSnapshot)
