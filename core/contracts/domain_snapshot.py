"""What the tracker knows of a domain: whose slugs it answers, by which case rule, under which name."""

import msgspec

from core.contracts.snapshot import Codec


class DomainSnapshot(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    rename={
        "schema": "v",
        "domain_id": "i",
        "host": "h",
        "case_sensitive": "c",
        "brand": "b",
        "root_url": "r",
        "not_found_url": "n",
        "expired_url": "e",
        "source_param": "s",
        "apple_file": "A",
        "android_file": "G",
    },
):
    """A domain; `brand` is the name that visitors read on its pages. Who asks for the bare host is sent to `root_url`,
    for a slug that nobody owns to `not_found_url`, for a link that has ended to `expired_url`: where they are "" a page
    says it. `source_param` is the query parameter that is kept with a click and not passed on; "" for none. The
    files tell phones which apps open the domain's links; they are JSON, not copied when a snapshot is read. A tombstone
    has `domain_id` 0."""

    domain_id: int = 0
    host: str = ""
    case_sensitive: bool = False
    brand: str = ""
    root_url: str = ""
    not_found_url: str = ""
    expired_url: str = ""
    source_param: str = "s"
    apple_file: memoryview | None = None
    android_file: memoryview | None = None
    schema: int = 1  # what is left out means 1, for ever; the codec writes the schema of this release

    @property
    def targets(self) -> tuple[str, ...]:
        """Every address that a visitor may be sent to."""
        return (self.root_url, self.not_found_url, self.expired_url)

    @property
    def is_tombstone(self) -> bool:
        return self.domain_id == 0


_codec = Codec(DomainSnapshot)
encode, decode = _codec.encode, _codec.decode
