"""What rules may ask about a visit. A fact is found out when a rule asks for it."""

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

import msgspec

from core.domain.languages import first_language
from core.domain.networks import Number
from core.domain.referrers import referrer_host

if TYPE_CHECKING:
    from core.domain.agents import Agent


class Asked(msgspec.Struct, frozen=True, gc=False):
    """What a visitor's request says. `address` is `ip` as a number, None where that is no address; `language` is the
    raw Accept-Language header; what is missing is ""."""

    ip: str
    address: Number | None
    user_agent: str
    query: str
    referrer: str
    host: str
    language: str


CountryOf = Callable[[str, Number | None], str]
"""Looks an address up, given as text and as a number where it is one: its ISO code, "BR"; "" where it is not known."""


class Facts(msgspec.Struct, frozen=True, gc=False):
    """One visit as rules see it. `now_ms` is the click's time in ms since 1970; `door_bot` the reason to take the
    visitor for a robot ("" for a person); `returning` says who was here before, where `Plan.asks_returning`;
    `country_of` is asked where a rule wants to know.

    Nothing is kept here of what a fact costs to find out: the readers remember it for other visitors too."""

    now_ms: int
    asked: Asked
    door_bot: str = ""
    returning: bool = False
    country_of: CountryOf = lambda ip, address: ""

    @property
    def agent(self) -> "Agent":
        """Browser, system and device. The parser is only loaded by a process that needs it (0.3 s, once)."""
        from core.domain.agents import read_agent

        return read_agent(self.asked.user_agent)

    @property
    def language(self) -> str:
        """The first language that the browser asks for, "pt-BR"."""
        return first_language(self.asked.language)

    @property
    def referrer_host(self) -> str:
        """The referring host, without `www.`; "" for a visitor who typed the address."""
        return referrer_host(self.asked.referrer, own_host=self.asked.host)

    @property
    def parameters(self) -> dict[str, list[str]]:
        """The query's parameters, decoded, each with all its values."""
        return _parameters(self.asked.query)


@lru_cache(maxsize=16)  # the rules of one link ask for several of one visit
def _parameters(query: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if "%" in part or "+" in part:
            name, value = unquote_plus(name), unquote_plus(value)
        if part:
            found.setdefault(name, []).append(value)
    return found
