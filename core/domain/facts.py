"""What rules may ask about a visit. Each fact is computed when a rule first asks for it, and never twice."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote_plus

import msgspec

from core.domain.languages import first_language
from core.domain.referrers import referrer_host

if TYPE_CHECKING:
    from core.domain.agents import Agent


class Asked(msgspec.Struct, frozen=True, gc=False):
    """What a visitor's request says. `language` is the raw Accept-Language header; what is missing is ""."""

    ip: str
    user_agent: str
    query: str
    referrer: str
    host: str
    language: str


class Facts(msgspec.Struct, gc=False):
    """One visit as rules see it. `now_ms` is the click's time in ms since 1970; `door_bot` the reason to take the
    visitor for a robot ("" for a person); `returning` says who was here before, where `Plan.asks_returning`;
    `country_of` looks an address up ("" where it is not known).

    Plain properties, not cached ones: those take a lock on Python 3.11, which costs more than most facts."""

    now_ms: int
    asked: Asked
    door_bot: str = ""
    returning: bool = False
    country_of: Callable[[str], str] = lambda ip: ""
    _agent: Any = None
    _parameters: dict[str, list[str]] | None = None

    @property
    def agent(self) -> "Agent":
        """Browser, system and device. The parser is only loaded by a process that needs it (0.3 s, once)."""
        if self._agent is None:
            from core.domain.agents import read_agent

            self._agent = read_agent(self.asked.user_agent)
        return cast("Agent", self._agent)

    @property
    def language(self) -> str:
        """The first language that the browser asks for, "pt-BR"."""
        return first_language(self.asked.language)  # which remembers

    @property
    def referrer_host(self) -> str:
        """The referring host, without `www.`; "" for a visitor who typed the address."""
        return referrer_host(self.asked.referrer, own_host=self.asked.host)  # which remembers

    @property
    def parameters(self) -> dict[str, list[str]]:
        """The query's parameters, decoded, each with all its values."""
        if self._parameters is None:
            self._parameters = _parameters(self.asked.query)
        return self._parameters


def _parameters(query: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if "%" in part or "+" in part:
            name, value = unquote_plus(name), unquote_plus(value)
        if part:
            found.setdefault(name, []).append(value)
    return found
