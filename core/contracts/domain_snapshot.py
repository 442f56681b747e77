"""What the tracker knows of a domain: whose slugs it answers, by which case rule, under which name."""

import msgspec

from core.contracts.snapshot import Codec


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
    schema: int = 1  # what is left out means 1, for ever; the codec writes the schema of this release

    @property
    def is_tombstone(self) -> bool:
        return self.domain_id == 0


_codec = Codec(DomainSnapshot)
encode, decode = _codec.encode, _codec.decode
