"""What the conditions of a rule may say: kinds, and how their values are written.

A condition holds when what it asks about is one of its values, or with `is_not` when it is none of them. What is not
known (a country without a database, an agent without a name) is none of them.

| kind | values |
|---|---|
| country | ISO codes, BR |
| device | mobile, tablet, desktop, tv |
| os, browser | names as reports show them, in any case |
| language | pt (any Portuguese) or pt-BR, of the language that the browser asks for first |
| query | of the parameter `name`: none means that it is there, "" that it is there without a value |
| referrer | hosts, their subdomains included; "" means no referrer |
| date | FROM/TO in `zone`, TO not included; either may be `..`; dates, or dates with a time |
| time | HH:MM-HH:MM in `zone`, over midnight too, on `weekdays`: a window belongs to the day that it starts on |
| ip | addresses and CIDR ranges |
| robot | reasons of `core.domain.bots`; none means any |
| returning | none: a person who followed the link before, in the last days (`keys.SEEN_TTL_S`) |
"""

import re
from collections.abc import Callable
from datetime import date, datetime
from ipaddress import IPv4Network, IPv6Network, ip_network
from zoneinfo import ZoneInfo

import msgspec

from core.contracts.link_snapshot import Condition
from core.domain.bots import REASONS
from core.domain.hosts import HostRefused, ascii_host
from core.domain.languages import first_language

COUNTRY, DEVICE, OS, BROWSER, LANGUAGE = "country", "device", "os", "browser", "language"
QUERY, REFERRER, DATE, TIME, IP, ROBOT = "query", "referrer", "date", "time", "ip", "robot"
RETURNING = "returning"

DEVICES = ("mobile", "tablet", "desktop", "tv")
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MOST_VALUES, LONGEST_VALUE = 100, 200
ALL_DAY = "00:00-24:00"

_MAY_BE_EMPTY = (QUERY, ROBOT, TIME, RETURNING)
_ZONED = (DATE, TIME)
_OPEN = ".."
_WINDOW = re.compile(r"([0-9]{2}):([0-9]{2})-([0-9]{2}):([0-9]{2})")
_PACKAGE = re.compile(r"[a-z0-9_]+(?:\.[a-z0-9_]+)+")


class ConditionRefused(Exception):
    """A condition can not be taken: `field` names the part (kind, values, values.0, name, zone, weekdays)."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


def check_condition(condition: Condition) -> Condition:
    """The condition with its values in one spelling, each once. Raises ConditionRefused."""
    kind = condition.kind
    if kind not in _CHECKS:
        raise ConditionRefused("kind", f"This must be one of {', '.join(_CHECKS)}.")
    _check_extras(condition)
    values = condition.values or ((ALL_DAY,) if kind == TIME else ())
    if not values and kind not in _MAY_BE_EMPTY:
        raise ConditionRefused("values", "Give at least one value.")
    if len(values) > MOST_VALUES:
        raise ConditionRefused("values", f"A condition has at most {MOST_VALUES} values.")
    checked = {}
    for place, value in enumerate(values):
        try:
            checked[_check_value(condition, value)] = True
        except ValueError as error:
            raise ConditionRefused(f"values.{place}", str(error)) from error
    days = tuple(day for day in WEEKDAYS if day in condition.weekdays)
    return msgspec.structs.replace(condition, values=tuple(checked), weekdays=days)


def describe(condition: Condition) -> str:
    """The condition in a few words: "country is BR or PT"."""
    if condition.kind == RETURNING:
        return "visitor is new" if condition.is_not else "visitor is returning"
    name = f"{condition.kind} {condition.name}".rstrip()
    verb = "is not" if condition.is_not else "is"
    words = [value or "empty" for value in condition.values[:3]]
    if len(condition.values) > len(words):
        words.append("…")
    days = f" on {', '.join(condition.weekdays)}" if condition.weekdays else ""
    return f"{name} {verb} {' or '.join(words) or 'there'}{days}"


def window_of(value: str) -> tuple[int, int]:
    """The minutes of the day at which a window starts and ends. Raises ValueError."""
    match = _WINDOW.fullmatch(value)
    if match is None:
        raise ValueError("Write a window such as 09:00-18:00.")
    hour, minute, end_hour, end_minute = map(int, match.groups())
    start, end = hour * 60 + minute, end_hour * 60 + end_minute
    if minute > 59 or end_minute > 59 or start >= 1440 or end > 1440:
        raise ValueError("Hours go from 00:00 to 24:00.")
    if start == end:
        raise ValueError(f"The window is empty. For the whole day write {ALL_DAY}.")
    return start, end


def range_of(value: str, zone: ZoneInfo) -> tuple[float, float]:
    """The ms since 1970 from which, and before which, a range of dates lies. Raises ValueError."""
    first, separator, last = value.partition("/")
    if not separator or (first, last) == (_OPEN, _OPEN):
        raise ValueError("Write a range such as 2026-11-27/2026-12-01, or ../2026-12-01.")
    start = float("-inf") if first == _OPEN else _instant(first, zone)
    end = float("inf") if last == _OPEN else _instant(last, zone)
    if start >= end:
        raise ValueError("The range ends before it begins.")
    return start, end


def network_of(value: str) -> IPv4Network | IPv6Network:
    """The range that an address or CIDR stands for. Raises ValueError."""
    text = "Write an IP address, or a range such as 192.0.2.0/24."
    if "%" in value:  # a scope, which means nothing to anybody but the machine that it was written on
        raise ValueError(text)
    try:
        return ip_network(value, strict=False)
    except ValueError as error:
        raise ValueError(text) from error


def zone_of(name: str) -> ZoneInfo:
    """The time zone. Raises ValueError."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError("There is no such time zone; write one such as America/Sao_Paulo.") from error


def _check_extras(condition: Condition) -> None:
    """Each part is where its kind needs it, and nowhere else."""
    if condition.kind == QUERY and not condition.name:
        raise ConditionRefused("name", "Name the parameter.")
    if condition.kind != QUERY and condition.name:
        raise ConditionRefused("name", "Only a condition on the query has a name.")
    try:
        _check_text(condition.name)
    except ValueError as error:
        raise ConditionRefused("name", str(error)) from error
    if condition.kind in _ZONED:
        if not condition.zone:
            raise ConditionRefused("zone", "Name a time zone, such as America/Sao_Paulo.")
        try:
            zone_of(condition.zone)
        except ValueError as error:
            raise ConditionRefused("zone", str(error)) from error
    elif condition.zone:
        raise ConditionRefused("zone", "Only conditions on date and time have a zone.")
    if condition.weekdays and condition.kind != TIME:
        raise ConditionRefused("weekdays", "Only a condition on the time has weekdays.")
    for place, day in enumerate(condition.weekdays):
        if day not in WEEKDAYS:
            raise ConditionRefused(f"weekdays.{place}", f"This must be one of {', '.join(WEEKDAYS)}.")
    if condition.kind == TIME and not condition.values and not condition.weekdays:
        raise ConditionRefused("values", "Give a window, weekdays, or both.")


def _check_text(text: str) -> None:
    if len(text) > LONGEST_VALUE:
        raise ValueError(f"At most {LONGEST_VALUE} characters.")
    if any(ord(char) < 32 or "\ud800" <= char <= "\udfff" for char in text):
        raise ValueError("There is a character in it that can not be seen. Type it anew.")


def _check_value(condition: Condition, value: str) -> str:
    _check_text(value)
    if condition.kind == QUERY:
        return value
    if condition.kind == DATE:
        return _range(value.strip(), zone_of(condition.zone))
    return _CHECKS[condition.kind](value.strip())


def _country(value: str) -> str:
    if len(value) != 2 or not value.isascii() or not value.isalpha():
        raise ValueError("Write a country as its two letters, such as BR.")
    return value.upper()


def _device(value: str) -> str:
    if value.lower() not in DEVICES:
        raise ValueError(f"This must be one of {', '.join(DEVICES)}.")
    return value.lower()


def _name(value: str) -> str:
    if not value:
        raise ValueError("Write a name, such as Windows or Chrome.")
    return value


def _language(value: str) -> str:
    language = "" if "," in value or ";" in value else first_language(value)
    if not language:
        raise ValueError("Write a language such as pt or pt-BR.")
    return language


def _referrer(value: str) -> str:
    if not value or _PACKAGE.fullmatch(value):
        return value.removeprefix("www.")
    try:
        return ascii_host(value).removeprefix("www.")
    except HostRefused as refused:
        raise ValueError(refused.message) from refused


def _range(value: str, zone: ZoneInfo) -> str:
    range_of(value, zone)
    return value


def _window(value: str) -> str:
    window_of(value)
    return value


def _network(value: str) -> str:
    return str(network_of(value))


def _robot(value: str) -> str:
    if value not in REASONS:
        raise ValueError(f"This must be one of {', '.join(REASONS)}.")
    return value


def _nothing(value: str) -> str:
    raise ValueError("This condition has no values.")


def _instant(text: str, zone: ZoneInfo) -> float:
    """A date (its midnight) or a date with a time, to the second; one without an offset is in `zone`."""
    try:
        if len(text) == len("2026-11-27"):
            at = datetime.combine(date.fromisoformat(text), datetime.min.time(), zone)
        else:
            at = datetime.fromisoformat(text)
            at = at.replace(tzinfo=zone) if at.tzinfo is None else at
        if 2000 <= at.year < 2200:
            return at.replace(microsecond=0).timestamp() * 1000
    except ValueError:
        pass
    raise ValueError("Write a date such as 2026-11-27 or 2026-11-27T09:00.")


_CHECKS: dict[str, Callable[[str], str]] = {
    COUNTRY: _country,
    DEVICE: _device,
    OS: _name,
    BROWSER: _name,
    LANGUAGE: _language,
    QUERY: str,
    REFERRER: _referrer,
    DATE: str,
    TIME: _window,
    IP: _network,
    ROBOT: _robot,
    RETURNING: _nothing,
}
KINDS = tuple(_CHECKS)
