"""What macros in a destination stand for, for one click. Each value is made when the destination asks for it."""

from uuid import UUID

from core.contracts.click_event import unix_ms
from core.contracts.domain_snapshot import DomainSnapshot
from core.contracts.link_snapshot import LinkSnapshot
from core.domain.destination import CLICK_ID_MACROS
from core.domain.facts import CountryOf
from core.domain.languages import first_language
from tracker_quart.visit import Visit, slug_of


class MacroValues:
    """Calling it with a name of `destination.MACROS` gives the value, "" where there is none."""

    def __init__(
        self,
        visit: Visit,
        *,
        domain: DomainSnapshot,
        link: LinkSnapshot,
        click_id: bytes,
        source: str,
        country_of: CountryOf,
    ) -> None:
        self._visit = visit
        self._domain = domain
        self._link = link
        self._click_id = click_id
        self._source = source
        self._country_of = country_of

    def __call__(self, name: str) -> str:
        if name in CLICK_ID_MACROS:
            return str(UUID(bytes=self._click_id))
        match name:
            case "campaign":
                return self._link.campaign
            case "campaign_id":
                return str(self._link.campaign_id or "")
            case "link_id":
                return str(self._link.link_id)
            case "domain":
                return self._domain.host
            case "slug":
                return slug_of(self._visit.path) or ""
            case "source":
                return self._source
            case "country":
                return self._country_of(self._visit.ip, self._visit.address)
            case "language":
                return first_language(self._visit.language)
            case "referrer":
                return self._visit.referrer
            case "timestamp":
                return str(unix_ms(self._click_id) // 1000)
            case _:
                return self._of_agent(name)

    def _of_agent(self, name: str) -> str:
        """Device, system or browser. The parser is loaded by the first destination that asks (0.3 s, once)."""
        from core.domain.agents import read_agent

        agent = read_agent(self._visit.user_agent)
        return {"device": agent.device, "os": agent.os, "browser": agent.browser}.get(name, "")
