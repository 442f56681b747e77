"""Which conversions a page is asked for, as it stands in its address."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from core.domain.conversions import STATUSES
from core.domain.periods import PRESETS, midnight, preset
from core.domain.sources import ATTRIBUTIONS
from core.services.conversion_list import SORTS, ConversionFilter, Sort

PAGE_SIZE = 50
IN_TIME, LATE = "in", "late"
RATED, UNRATED = "known", "unknown"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the list shows. What can not be read filters nothing; days are those of the viewer's zone, inclusive."""

    q: str = ""
    link: int | None = None
    campaign: int | None = None
    source: int | None = None
    status: str = ""
    event: str = ""
    by: str = ""
    timing: str = ""
    rate: str = ""
    time: str = ""
    first: date | None = None
    last: date | None = None
    sort: Sort = "at"
    up: bool = False
    after: str = ""

    @classmethod
    def from_query(cls, args: Mapping[str, str]) -> "Asked":
        """Read the filters of an address."""
        return cls(
            q=args.get("q", "")[:200].strip(),
            link=_number(args.get("link")),
            campaign=_number(args.get("campaign")),
            source=_number(args.get("source")),
            status=_one_of(args.get("status"), STATUSES),
            event=args.get("event", "")[:100],
            by=_one_of(args.get("by"), ATTRIBUTIONS),
            timing=_one_of(args.get("timing"), (IN_TIME, LATE)),
            rate=_one_of(args.get("rate"), (RATED, UNRATED)),
            time=_one_of(args.get("time"), tuple(PRESETS)),
            first=_day(args.get("from")),
            last=_day(args.get("to")),
            sort=next((name for name in SORTS if name == args.get("sort")), "at"),
            up=args.get("order") == "up",
            after=args.get("after", "")[:100],
        )

    def carried(self, *without: str) -> Iterator[tuple[str, str]]:
        """What a form on the page keeps of the address: all but those `without`, and never the place in the pages."""
        pairs: tuple[tuple[str, Any], ...] = (
            ("q", self.q),
            ("link", self.link),
            ("campaign", self.campaign),
            ("source", self.source),
            ("status", self.status),
            ("event", self.event),
            ("by", self.by),
            ("timing", self.timing),
            ("rate", self.rate),
            ("time", self.time),
            ("from", self.first),
            ("to", self.last),
            ("sort", "" if self.sort == "at" else self.sort),
            ("order", "up" if self.up else ""),
        )
        return ((name, str(value)) for name, value in pairs if value and name not in without)

    def next_order(self, sort: str) -> str:
        """The order that a press on a head asks for: the other one where it is sorted already."""
        return "up" if sort == self.sort and not self.up else "down"

    def as_service(self, *, now: datetime, zone: ZoneInfo) -> ConversionFilter:
        """The same for the service."""
        start, end = self._span(now, zone)
        return ConversionFilter(
            search=self.q,
            link_id=self.link,
            campaign_id=self.campaign,
            source_id=self.source,
            status=self.status,
            event=self.event,
            start=start,
            end=end,
            attributed_by=self.by,
            late={IN_TIME: False, LATE: True}.get(self.timing),
            rated={RATED: True, UNRATED: False}.get(self.rate),
            sort=self.sort,
            descending=not self.up,
            after=self.after,
            size=PAGE_SIZE,
        )

    def _span(self, now: datetime, zone: ZoneInfo) -> tuple[datetime | None, datetime | None]:
        if self.time:
            period = preset(self.time, now=now, zone=zone)
            return period.start, period.end
        start = midnight(self.first, zone) if self.first else None
        end = midnight(self.last + timedelta(days=1), zone) if self.last else None
        return start, end


def _one_of(value: str | None, allowed: tuple[str, ...]) -> str:
    return value if value in allowed else ""


def _number(value: str | None) -> int | None:
    return int(value) or None if value and value.isascii() and value.isdigit() and len(value) < 19 else None


def _day(value: str | None) -> date | None:
    """A day that calendars of every zone have."""
    try:
        day = date.fromisoformat(value or "")
    except ValueError:
        return None
    return day if 2000 <= day.year < 2200 else None
