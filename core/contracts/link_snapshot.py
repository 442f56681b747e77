"""What the tracker knows of a link. Published by the manager's services, read by the tracker alone."""

import msgspec

from core.contracts.snapshot import Codec

LIVE, PAUSED, GONE = "live", "paused", "gone"


class LinkSnapshot(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    rename={
        "schema": "v",
        "link_id": "i",
        "state": "s",
        "url": "u",
        "starts_ms": "a",
        "expires_ms": "e",
        "fallback_url": "f",
        "status": "c",
        "no_referrer": "n",
        "pass_query": "p",
        "click_id_param": "k",
        "campaign_id": "g",
        "campaign": "m",
    },
):
    """One slug's owner. `state` is live, paused or gone (archived or deleted); a tombstone (`link_id` 0) says that
    nobody owns the slug any more. It leads to `url` from `starts_ms` on and before `expires_ms` (ms since 1970), else
    to `fallback_url` where there is one. `campaign` is its name, for macros.
    Unknown fields are ignored and missing ones have defaults, so releases mix."""

    link_id: int = 0
    state: str = LIVE
    url: str = ""
    starts_ms: int | None = None
    expires_ms: int | None = None
    fallback_url: str = ""
    status: int = 302
    no_referrer: bool = False
    pass_query: bool = True
    click_id_param: str = ""
    campaign_id: int = 0
    campaign: str = ""
    schema: int = 1  # what is left out means 1, for ever; the codec writes the schema of this release

    @property
    def targets(self) -> tuple[str, ...]:
        """Every address that a visitor may be sent to."""
        return (self.url, self.fallback_url)

    @property
    def is_tombstone(self) -> bool:
        return self.link_id == 0


_codec = Codec(LinkSnapshot)
encode, decode = _codec.encode, _codec.decode
