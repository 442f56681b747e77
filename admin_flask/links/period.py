"""Which time a report shows, read from the address, and the time before that it is compared with."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date
from flask_babel import gettext

from core.domain.periods import (
    DEFAULT_PRESET,
    PRESETS,
    Period,
    PeriodError,
    fitting_interval,
    midnight,
    parse_period,
    preset,
)

DATES = "dates"
HOURS_UP_TO_DAYS = 31
DAYS_UP_TO_DAYS = 400
HOURS_FIRST_UP_TO_DAYS = 8
_WEEK = 7


@dataclass(frozen=True, slots=True)
class Asked:
    """The time that is shown (`whole`, days of the viewer's zone), what it is compared with (`before`, as long), and
    how far `before` is counted so that a part is compared with the same part (`before_until`)."""

    name: str
    whole: Period
    before: Period
    before_until: datetime
    first: date
    last: date
    before_first: date
    before_last: date
    interval: str
    intervals: tuple[str, ...]
    error: str
    is_running: bool

    @property
    def days(self) -> int:
        """How many days are shown."""
        return (self.last - self.first).days + 1


def read_period(args: Mapping[str, str], *, now: datetime, zone: ZoneInfo) -> Asked:
    """The period of an address; the last seven days where it names none or one that can not be shown."""
    name, error = args.get("period", DEFAULT_PRESET), ""
    if name == DATES and (args.get("from") or args.get("to")):
        try:
            period = _dates(args.get("from", ""), args.get("to", ""), now=now, zone=zone)
        except PeriodError as wrong:
            error = str(wrong)
            period = preset(DEFAULT_PRESET, now=now, zone=zone)
    else:
        period = preset(name if name in PRESETS else DEFAULT_PRESET, now=now, zone=zone)
    first, last = period.days(zone)
    days = (last - first).days + 1
    shift = timedelta(days=-(-days // _WEEK) * _WEEK if name == "today" else days)
    before = Period(midnight(first - shift, zone), midnight(last + timedelta(days=1) - shift, zone))
    is_running = period.start <= now < period.end
    intervals = _intervals(days, period)
    by = args.get("by", "")
    return Asked(
        name=name if name in PRESETS or name == DATES else DEFAULT_PRESET,
        whole=period,
        before=before,
        before_until=_earlier(now, shift, zone) if is_running else before.end,
        first=first,
        last=last,
        before_first=first - shift,
        before_last=last - shift,
        interval=by if by in intervals else intervals[0],
        intervals=intervals,
        error=error,
        is_running=is_running,
    )


def range_words(first: date, last: date, locale: Locale, *, year: bool = True) -> str:
    """ "Friday 27 November", "21 to 27 Nov 2026", "31 Oct to 27 Nov 2026"; the last year can be left out."""
    if first == last:
        return format_date(first, "EEEE d MMMM", locale=locale)
    same = first.year == last.year
    pattern = "d" if same and first.month == last.month else "d MMM" if same else "d MMM y"
    end = "d MMM y" if year or not same else "d MMM"
    return gettext(
        "%(first)s to %(last)s",
        first=format_date(first, pattern, locale=locale),
        last=format_date(last, end, locale=locale),
    )


def _dates(first: str, last: str, *, now: datetime, zone: ZoneInfo) -> Period:
    """Both days inclusive, as people say it. Raises PeriodError with a sentence for them."""
    try:
        start = date.fromisoformat(first)
        end = date.fromisoformat(last) + timedelta(days=1)
    except (ValueError, OverflowError):
        raise PeriodError(gettext("Choose both days.")) from None
    if end <= start:
        raise PeriodError(gettext("The last day lies before the first. Swap them."))
    if end - start > timedelta(days=366 * 5):
        raise PeriodError(gettext("At most five years are shown at once."))
    return parse_period(start.isoformat(), end.isoformat(), now=now, zone=zone)


def _intervals(days: int, period: Period) -> tuple[str, ...]:
    """What one point may stand for, the best first."""
    if days == 1:
        return ("hour",)
    if days <= HOURS_FIRST_UP_TO_DAYS:
        return ("hour", "day")
    if days <= HOURS_UP_TO_DAYS:
        return ("day", "hour")
    if days <= DAYS_UP_TO_DAYS:
        return tuple(dict.fromkeys((fitting_interval(period), "day")))
    return ("month", "week")


def _earlier(now: datetime, shift: timedelta, zone: ZoneInfo) -> datetime:
    return (now.astimezone(zone) - shift).astimezone(now.tzinfo)
