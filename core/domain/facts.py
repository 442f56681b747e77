"""What rules may ask about a visit. Each fact is computed when a rule first asks for it, and never twice."""

from collections.abc import Callable
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from core.domain.languages import first_language
from core.domain.referrers import referrer_host

if TYPE_CHECKING:
    from core.domain.agents import Agent


class Facts:
    """One visit as rules see it. `now_ms` is the click's time in ms since 1970; `door_bot` the reason to take the
    visitor for a robot ("" for a person); `country_of` looks an address up ("" where it is not known)."""

    def __init__(
        self,
        *,
        link_id: int,
        now_ms: int,
        ip: str = "",
        user_agent: str = "",
        query: str = "",
        referrer: str = "",
        host: str = "",
        language: str = "",
        door_bot: str = "",
        country_of: Callable[[str], str] = lambda ip: "",
    ) -> None:
        self.link_id = link_id
        self.now_ms = now_ms
        self.ip = ip
        self.user_agent = user_agent
        self.door_bot = door_bot
        self._query = query
        self._referrer = referrer
        self._host = host
        self._language = language
        self._country_of = country_of

    @cached_property
    def agent(self) -> "Agent":
        """Browser, system and device. The parser is only loaded by a process that needs it (0.3 s, once)."""
        from core.domain.agents import read_agent

        return read_agent(self.user_agent)

    @cached_property
    def country(self) -> str:
        """The ISO code, "BR"; "" where it is not known."""
        return self._country_of(self.ip) if self.ip else ""

    @cached_property
    def language(self) -> str:
        """The first language that the browser asks for, "pt-BR"."""
        return first_language(self._language)

    @cached_property
    def referrer_host(self) -> str:
        """The referring host, without `www.`; "" for a visitor who typed the address."""
        return referrer_host(self._referrer, own_host=self._host)

    @cached_property
    def parameters(self) -> dict[str, list[str]]:
        """The query's parameters, decoded, each with all its values."""
        found: dict[str, list[str]] = {}
        for name, value in parse_qsl(self._query, keep_blank_values=True, errors="replace"):
            found.setdefault(name, []).append(value)
        return found

    @cached_property
    def address(self) -> IPv4Address | IPv6Address | None:
        """The visitor's address; an IPv4 one that travels as IPv6 is an IPv4 one."""
        try:
            address = ip_address(self.ip)
        except ValueError:
            return None
        return getattr(address, "ipv4_mapped", None) or address
