"""Jinja filters: numbers, times and names as a person reads them, in the viewer's language and zone."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_datetime, format_time, get_timezone_location
from babel.numbers import format_currency, format_decimal, format_percent
from flask import Flask
from flask_babel import get_locale, gettext

from admin_flask.access import zone
from admin_flask.held import moment

NONE = "–"
MINUS = "−"
_CITIES = {"America/Sao_Paulo": "São Paulo"}
"""Cities that the English names of zones spell without their signs."""
_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def register(app: Flask) -> None:
    """Give every template the filters of this file."""
    for make in _FILTERS:
        app.add_template_filter(make)


def number(value: int | float | Decimal | None) -> str:
    """48216 -> "48,216"; nothing -> a dash; zero is 0."""
    if value is None:
        return NONE
    return format_decimal(value, locale=_locale()).replace("-", MINUS)


def percent(share: float | None, decimals: int = 1) -> str:
    """0.123 -> "12.3%"; nothing -> a dash."""
    if share is None:
        return NONE
    pattern = "#,##0." + "0" * decimals + "%" if decimals else "#,##0%"
    return format_percent(share, pattern, locale=_locale()).replace("-", MINUS)


def money(amount: Decimal | None, currency: str, *, headline: bool = False) -> str:
    """An amount with its currency: "R$2,199.00"; the number alone where no currency is known, a dash without either. A
    `headline` from 10,000 up has no cents."""
    if amount is None:
        return NONE
    if not currency:
        return format_decimal(amount, "#,##0.00###", locale=_locale()).replace("-", MINUS)
    if headline and abs(amount) >= 10_000:
        pattern = _locale().currency_formats["standard"].pattern.replace(".00", "")
        text = format_currency(amount, currency, pattern, locale=_locale(), currency_digits=False)
    else:
        text = format_currency(amount, currency, locale=_locale())
    return text.replace("-", MINUS)


def rate(value: Decimal | None) -> str:
    """An exchange rate with all its decimals: 0.1834."""
    if value is None:
        return NONE
    return format_decimal(value.normalize(), "#,##0.############", locale=_locale())


def change(now: float | None, before: float | None) -> str:
    """How much `now` differs from `before`: "+169%", "−3%", "0%"; "new" without a base, a dash without both."""
    if not before:
        return gettext("new") if now else NONE
    share = ((now or 0) - before) / before
    text = percent(abs(share), 0)
    if text == percent(0, 0):
        return text
    return ("+" if share > 0 else MINUS) + text


def axis(value: float) -> str:
    """A number on an axis, abbreviated: 2000 -> "2K"."""
    for size, sign in ((1_000_000, "M"), (1_000, "K")):
        if abs(value) >= size:
            return number(round(value / size, 1)) + sign
    return number(value)


def ago(value: datetime | None) -> str:
    """Age of a moment: "2 s ago", "38 min ago", "3 h ago", "yesterday", then the date. A moment to come is "now"."""
    if value is None:
        return NONE
    now, then = moment(), value
    seconds = int((now - then).total_seconds())
    if seconds < 1:
        return gettext("now")
    if seconds < _MINUTE:
        return gettext("%(n)s s ago", n=seconds)
    if seconds < _HOUR:
        return gettext("%(n)s min ago", n=seconds // _MINUTE)
    today, its_day = _here(now).date(), _here(then).date()
    if its_day == today or seconds < 6 * _HOUR:
        return gettext("%(n)s h ago", n=seconds // _HOUR)
    if its_day == today - timedelta(days=1):
        return gettext("yesterday")
    return day(value)


def when(value: datetime | None) -> str:
    """A moment to the minute in the viewer's zone: "27 Nov, 14:20"; the year where it is not this one."""
    if value is None:
        return NONE
    here = _here(value)
    return f"{day(value)}, {format_time(here, 'HH:mm', locale=_locale())}"


def duration(seconds: float | None) -> str:
    """How long something takes, in its one or two largest units: "0.4 s", "90 s", "3 min", "2 h 5 min", "6 d 4 h"."""
    if seconds is None:
        return NONE
    if seconds < 10:
        return gettext("%(n)s s", n=number(round(seconds, 1)))
    if seconds < 2 * _MINUTE and seconds % _MINUTE:
        return gettext("%(n)s s", n=number(round(seconds)))
    minutes, hours, days = int(seconds // _MINUTE), int(seconds // _HOUR), int(seconds // _DAY)
    if hours < 1:
        return gettext("%(n)s min", n=minutes)
    if days < 1:
        rest = gettext("%(n)s min", n=minutes % 60) if minutes % 60 else ""
        return f"{gettext('%(n)s h', n=hours)} {rest}".rstrip()
    rest = gettext("%(n)s h", n=hours % 24) if hours % 24 else ""
    return f"{gettext('%(n)s d', n=number(days))} {rest}".rstrip()


def memory(size: int) -> str:
    """Bytes as people read them: "181 MB", "1.1 GB"."""
    if size >= 1_000_000_000:
        return gettext("%(n)s GB", n=number(round(size / 1_000_000_000, 1)))
    return gettext("%(n)s MB", n=number(round(size / 1_000_000)))


def clock(value: datetime | None) -> str:
    """A moment of today in the viewer's zone, "14:20"; with its day where that is another one."""
    if value is None:
        return NONE
    here = _here(value)
    time = format_time(here, "HH:mm", locale=_locale())
    return time if here.date() == _here(moment()).date() else f"{day(value)}, {time}"


def exact(value: datetime | None) -> str:
    """A moment to the second with its zone, for titles and raw facts: "2026-11-27 14:20:03 GMT-3"."""
    if value is None:
        return NONE
    return format_datetime(_here(value), "yyyy-MM-dd HH:mm:ss z", tzinfo=zone(), locale=_locale())


def day(value: date | datetime | None) -> str:
    """A day: "27 Nov", with the year where it is not this one."""
    if value is None:
        return NONE
    its_day = _here(value).date() if isinstance(value, datetime) else value
    pattern = "d MMM" if its_day.year == _here(moment()).year else "d MMM yyyy"
    return format_date(its_day, pattern, locale=_locale())


def country(code: str | None) -> str:
    """Name of a country by its ISO code in the viewer's language; unknown codes as they are."""
    if not code:
        return gettext("Unknown")
    return _locale().territories.get(code.upper(), code)


def zone_name(value: ZoneInfo | str) -> str:
    """A zone by its city: "America/Sao_Paulo" -> "São Paulo time"."""
    name = str(value)
    if name in ("UTC", "Etc/UTC"):
        return "UTC"
    city = _CITIES.get(name) or get_timezone_location(name, locale=_locale(), return_city=True)
    return gettext("%(city)s time", city=city)


def spark(values: Sequence[float], width: int = 96, height: int = 24) -> str:
    """Points of a line through `values` for an SVG polyline, from zero, with room for its stroke."""
    if not values:
        return ""
    top = max(values) or 1
    step = width / max(len(values) - 1, 1)
    low, span = height - 2, height - 4
    return " ".join(
        f"{index * step:.1f},{low - span * value / top:.1f}" for index, value in enumerate(values)
    )


def _here(value: datetime) -> datetime:
    return value.astimezone(zone())


def _locale() -> Locale:
    return get_locale() or Locale("en")


_FILTERS = (
    number,
    percent,
    money,
    rate,
    change,
    axis,
    ago,
    when,
    exact,
    day,
    duration,
    memory,
    clock,
    country,
    zone_name,
    spark,
)
