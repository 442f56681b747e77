"""What the tracker knows of a link. Published by the manager's services, read by the tracker alone."""

import msgspec

from core.contracts.snapshot import Codec

LIVE, PAUSED, GONE = "live", "paused", "gone"
LOCKED = "locked"
"""Live, with a password: a tracker that knows no passwords holds such a link back instead of leading past it."""


class Condition(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    rename={"kind": "k", "is_not": "n", "values": "v", "name": "p", "zone": "z", "weekdays": "w"},
):
    """Something that a rule asks about a visit; `core.domain.conditions` says what each kind means. `name` is a query
    parameter's; `zone` and `weekdays` belong to kinds that ask about the time."""

    kind: str
    is_not: bool = False
    values: tuple[str, ...] = ()
    name: str = ""
    zone: str = ""
    weekdays: tuple[str, ...] = ()


class Variant(msgspec.Struct, frozen=True, omit_defaults=True, rename={"id": "i", "url": "u", "weight": "w"}):
    """One destination of a split; its share is its weight by the sum of all."""

    id: int
    url: str = ""
    weight: int = 1


class Rule(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    rename={"id": "i", "conditions": "c", "url": "u", "split": "V"},
):
    """When all conditions hold, the visitor is led to `url`, or to one of `split` where there is one."""

    id: int
    conditions: tuple[Condition, ...] = ()
    url: str = ""
    split: tuple[Variant, ...] = ()


class AppLinks(msgspec.Struct, frozen=True, omit_defaults=True, rename={"ios": "i", "android": "a"}):
    """Addresses that open an app on a phone, "" for none; `core.domain.app_links` says how each is used."""

    ios: str = ""
    android: str = ""


class LinkSnapshot(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    rename={
        "schema": "v",
        "link_id": "i",
        "state": "s",
        "url": "u",
        "rules": "R",
        "split": "V",
        "split_key": "K",
        "starts_ms": "a",
        "expires_ms": "e",
        "fallback_url": "f",
        "status": "c",
        "no_referrer": "n",
        "pass_query": "p",
        "click_id_param": "k",
        "campaign_id": "g",
        "campaign": "m",
        "click_cap": "C",
        "password_hash": "h",
        "apps": "A",
    },
):
    """One slug's owner. `state` is live, locked, paused or gone (archived or deleted); a tombstone (`link_id` 0) says
    that nobody owns the slug any more. From `starts_ms` on and before `expires_ms` (ms since 1970) the first of `rules`
    that matches wins, then `apps` on the phones that they are for, then `split`, then `url`; else `fallback_url` where
    there is one. `split_key` is what visitors are told apart with; `campaign` is its name, for macros. After
    `click_cap` people (0: no cap) it leads nobody any more. Where there is a `password_hash` (argon2id), visitors have
    to give the password first. Unknown fields are ignored and missing ones have defaults, so releases mix."""

    link_id: int = 0
    state: str = LIVE
    url: str = ""
    rules: tuple[Rule, ...] = ()
    split: tuple[Variant, ...] = ()
    split_key: bytes = b""
    starts_ms: int | None = None
    expires_ms: int | None = None
    fallback_url: str = ""
    status: int = 302
    no_referrer: bool = False
    pass_query: bool = True
    click_id_param: str = ""
    campaign_id: int = 0
    campaign: str = ""
    click_cap: int = 0
    password_hash: str = ""
    apps: AppLinks | None = None
    schema: int = 1  # what is left out means 1, for ever; the codec writes the schema of this release

    @property
    def is_tombstone(self) -> bool:
        return self.link_id == 0

    @property
    def targets(self) -> tuple[str, ...]:
        """Every address that a visitor may be sent to."""
        variants = [
            variant for split in (self.split, *(rule.split for rule in self.rules)) for variant in split
        ]
        return (
            self.url,
            self.fallback_url,
            *(rule.url for rule in self.rules),
            *(variant.url for variant in variants),
            *(() if self.apps is None else (self.apps.ios, self.apps.android)),
        )


_codec = Codec(LinkSnapshot)
encode, decode = _codec.encode, _codec.decode
