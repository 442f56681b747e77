"""What the tracker knows of a domain: whose slugs it answers, by which case rule, under which name."""

import msgspec

from core.contracts.decoding import decode_with
from core.contracts.snapshot import SCHEMA, body_of, check_schema, frame


class DomainSnapshot(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    rename={"schema": "v", "domain_id": "i", "host": "h", "case_sensitive": "c", "brand": "b"},
):
    """A domain; `brand` is the name that visitors read on its pages. A tombstone has `domain_id` 0."""

    domain_id: int = 0
    host: str = ""
    case_sensitive: bool = False
    brand: str = ""
    schema: int = 1  # what is left out means 1, for ever; `encode` writes the schema of this release

    @property
    def is_tombstone(self) -> bool:
        return self.domain_id == 0


def encode(snapshot: DomainSnapshot, *, revision: int) -> bytes:
    """The bytes that stand in Redis."""
    return frame(revision, _encoder.encode(msgspec.structs.replace(snapshot, schema=SCHEMA)))


def decode(framed: bytes) -> DomainSnapshot:
    """Read what stands in Redis. Raises NewerSchema, or msgspec.DecodeError for bytes that are no snapshot."""
    snapshot = decode_with(_decoder, body_of(framed))
    check_schema(snapshot.schema)
    return snapshot


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(DomainSnapshot)
