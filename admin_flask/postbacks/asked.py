"""What an address of the inbox asks for: tab, search, source, time, amount. All of it is a link to pass on."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from uuid import UUID
from zoneinfo import ZoneInfo

from flask_babel import gettext

from admin_flask.filters import day
from core.domain.conversions import VERDICTS
from core.domain.periods import Period, PeriodError, parse_period, preset
from core.services.postbacks import InboxFilter

ALL = "all"
TODAY, WEEK, MONTH, EVER, DATES = "today", "7d", "28d", "all", "dates"
SPANS = (TODAY, WEEK, MONTH, EVER)
PAGE_SIZE = 25
_LARGEST = Decimal(10) ** 13
_CARRIED = ("tab", "source", "span", "from", "to", "least", "most")


@dataclass(frozen=True, slots=True)
class Asked:
    """The filters of an address as people gave them. What can not be read filters nothing; `error` says so."""

    tab: str
    q: str
    source: int | None
    span: str
    from_text: str
    to_text: str
    period: Period | None
    least: Decimal | None
    most: Decimal | None
    before: UUID | None
    error: str = ""

    @property
    def is_filtered(self) -> bool:
        """Whether anything but a tab and the time is asked for."""
        return bool(self.q) or any(value is not None for value in (self.source, self.least, self.most))

    @property
    def is_usual_time(self) -> bool:
        """Whether the time is the one that is shown without being asked for."""
        return self.span == (EVER if self.q else TODAY)

    def as_service(self) -> InboxFilter:
        """The same as the inbox is asked."""
        return InboxFilter(
            search=self.q,
            verdicts=() if self.tab == ALL else (self.tab,),
            source_id=self.source,
            since=self.period.start if self.period else None,
            until=self.period.end if self.period else None,
            least=self.least,
            most=self.most,
            before=self.before,
            size=PAGE_SIZE,
        )


def read_asked(args: Mapping[str, str], *, now: datetime, zone: ZoneInfo) -> Asked:
    """The filters of a query. Without a time a search looks through everything, a list through today."""
    words = args.get("q", "").strip()[:500]
    tab = args.get("tab", ALL)
    span, period, error = _time(args, usual=EVER if words else TODAY, now=now, zone=zone)
    source = args.get("source", "")
    return Asked(
        tab=tab if tab in VERDICTS else ALL,
        q=words,
        source=int(source) if source.isdecimal() and len(source) < 19 else None,
        span=span,
        from_text=args.get("from", "") if span == DATES else "",
        to_text=args.get("to", "") if span == DATES else "",
        period=period,
        least=_amount(args.get("least", "")),
        most=_amount(args.get("most", "")),
        before=_id(args.get("before", "")),
        error=error,
    )


def carried(args: Mapping[str, str], *, but: tuple[str, ...] = ()) -> dict[str, str]:
    """The filters of a query that a form must bring along, without those that it asks for itself."""
    return {name: args[name] for name in _CARRIED if args.get(name) and name not in but}


def span_words(asked: Asked, zone: ZoneInfo) -> str:
    """The time that is asked for."""
    words = {
        TODAY: gettext("Today"),
        WEEK: gettext("Last 7 days"),
        MONTH: gettext("Last 28 days"),
        EVER: gettext("All that is kept"),
    }
    if asked.span in words or asked.period is None:
        return words.get(asked.span, "")
    first, last = asked.period.days(zone)
    return day(first) if first == last else gettext("%(first)s to %(last)s", first=day(first), last=day(last))


def _time(
    args: Mapping[str, str], *, usual: str, now: datetime, zone: ZoneInfo
) -> tuple[str, Period | None, str]:
    from_text, to_text = args.get("from", "").strip(), args.get("to", "").strip()
    error = ""
    if from_text or to_text:
        try:
            return DATES, _dates(from_text, to_text, now=now, zone=zone), ""
        except PeriodError as wrong:
            error = str(wrong)
    span = args.get("span", usual)
    span = span if span in SPANS else usual
    return span, None if span == EVER else preset(span, now=now, zone=zone), error


def _dates(from_text: str, to_text: str, *, now: datetime, zone: ZoneInfo) -> Period:
    """Days of the person's zone, the last one whole; one alone is that day."""
    first, last = from_text or to_text, to_text or from_text
    with suppress(ValueError, OverflowError):  # what is no day the period itself refuses
        last = (date.fromisoformat(last) + timedelta(days=1)).isoformat()
    return parse_period(first, last, now=now, zone=zone)


def _amount(words: str) -> Decimal | None:
    try:
        amount = Decimal(words.strip().replace(",", "."))
    except InvalidOperation:
        return None
    return amount if amount.is_finite() and abs(amount) < _LARGEST else None


def _id(words: str) -> UUID | None:
    try:
        return UUID(words)
    except ValueError:
        return None
