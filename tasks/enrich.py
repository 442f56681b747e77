"""From what the tracker saw of a click to what is stored of it."""

from datetime import date
from functools import lru_cache
from zoneinfo import ZoneInfo

from core.contracts.click_event import ClickEvent, unix_ms
from core.db.clicks import PreparedClick
from core.db.visitor_keys import VisitorKeys
from core.domain.agents import read_agent
from core.domain.bots import door_verdict
from core.domain.languages import first_language
from core.domain.periods import QUARTER_MS, day_of_quarter
from core.domain.ranges import Ranges
from core.domain.referrers import referrer_host
from core.domain.utm import read_utm
from core.domain.visitors import truncated, visitor_hash
from core.geo import Countries

_LONGEST_REMEMBERED = 512
_MOST_QUARTERS = 1000


class Enricher:
    """What enriching needs beside the click itself. `zone` is the organisation's, `robot_networks` are the operator's
    ranges of robots."""

    def __init__(
        self,
        *,
        zone: ZoneInfo,
        keys: VisitorKeys,
        countries: Countries,
        robot_networks: Ranges | None = None,
    ) -> None:
        self._zone = zone
        self._keys = keys
        self._countries = countries
        self._robot_networks = robot_networks
        self._today = date.min
        self._quarters: dict[int, bytes | None] = {}  # the key for each quarter hour, as of today

    def prepare(self, event: ClickEvent, *, today: date) -> PreparedClick:
        """The click as it is to be stored; its full address ends here. `today` is a day of the organisation's zone,
        and the click's time must be a believable one."""
        agent = read_agent(event.user_agent)
        utm = read_utm(event.query if event.landing_utm is None else event.landing_utm)
        return PreparedClick(
            id=event.id,
            link_id=event.link_id,
            revision=event.revision,
            outcome=event.outcome,
            bot_reason=_verdict(event, self._robot_networks),
            door_bot=event.door_bot,
            is_head=event.method == "HEAD",
            visitor=self._visitor(event, today),
            ip=truncated(event.ip),
            query=event.query,
            user_agent=event.user_agent,
            browser=agent.browser,
            os=agent.os,
            device=agent.device,
            language=first_language(event.language),
            country=self._countries.of(event.ip),
            referrer_host=referrer_host(event.referrer, own_host=event.host),
            referrer=event.referrer,
            utm_source=utm.source,
            utm_medium=utm.medium,
            utm_campaign=utm.campaign,
            utm_content=utm.content,
            utm_term=utm.term,
            rule=str(event.rule or ""),
            variant=str(event.variant or ""),
            source=event.source,
        )

    def _visitor(self, event: ClickEvent, today: date) -> int:
        if not event.ip:
            return 0
        quarter = unix_ms(event.id) // QUARTER_MS
        if today != self._today or len(self._quarters) > _MOST_QUARTERS:
            self._today, self._quarters = today, {}
        if quarter not in self._quarters:
            day = day_of_quarter(quarter, self._zone)
            self._quarters[quarter] = self._keys.key_of(day, today=today)
        key = self._quarters[quarter]
        return visitor_hash(event.ip, event.user_agent, key=key) if key else 0


def _verdict(event: ClickEvent, networks: Ranges | None) -> str:
    """The door's question asked again: this program may know more robots. A tracker that is newer than this program
    may too, so that its verdict stands where this one finds nothing. Only answers that hang on no address are
    remembered."""
    ask = _remembered if len(event.user_agent) + len(event.purpose) <= _LONGEST_REMEMBERED else _fresh
    said = ask(event.method, event.user_agent, event.purpose)
    if not said and networks is not None:
        said = door_verdict(
            method=event.method,
            user_agent=event.user_agent,
            purpose=event.purpose,
            ip=event.ip,
            networks=networks,
        )
    return said or event.door_bot


def _fresh(method: str, user_agent: str, purpose: str) -> str:
    return door_verdict(method=method, user_agent=user_agent, purpose=purpose)


_remembered = lru_cache(maxsize=20_000)(_fresh)
