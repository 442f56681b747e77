"""What the tracker knows of a link. Published by the manager's services, read by the tracker alone."""

import msgspec

from core.contracts.snapshot import Codec

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
    schema: int = 1  # what is left out means 1, for ever; the codec writes the schema of this release

    @property
    def is_tombstone(self) -> bool:
        return self.link_id == 0


_codec = Codec(LinkSnapshot)
encode, decode = _codec.encode, _codec.decode
