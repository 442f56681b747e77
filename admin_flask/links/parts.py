"""The parts of a report, ready for the template: choices, figures, what was left out, breakdowns, last clicks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from babel.dates import format_datetime
from flask import url_for
from flask_babel import get_locale, gettext

from admin_flask.filters import change, country, day, money, number, percent
from admin_flask.words import counted_robots, device, value_name, why_kept
from core.db.reports import Breakdown, ClickRow, ConversionSums, Summary

ROWS = 8


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few; `href` shows the report with it."""

    label: str
    href: str
    is_here: bool


@dataclass(frozen=True, slots=True)
class Figure:
    """A headline number with what it was before; `tone` is up, down or nothing."""

    label: str
    note: str
    value: int
    before: int
    change: str
    tone: str
    href: str
    is_here: bool


@dataclass(frozen=True, slots=True)
class Sold:
    """Conversions of the period: how many, how many of a hundred unique visitors, and their revenue."""

    href: str
    value: int
    rate: str
    revenue: str
    note: str


@dataclass(frozen=True, slots=True)
class CardRow:
    """A value of a breakdown; `share` is of the whole, `bar` of the largest row."""

    label: str
    code: str
    value: int
    share: float
    bar: float
    is_rest: bool


@dataclass(frozen=True, slots=True)
class Card:
    """A breakdown with the choice of what it is by."""

    name: str
    title: str
    tabs: list[Choice]
    rows: list[CardRow]


@dataclass(frozen=True, slots=True)
class ClickShown:
    """A click of the list: when, what was said of it, and from where it came."""

    href: str
    at: datetime
    at_words: str
    counted: bool
    verdict: str
    why: str
    country: str
    device: str
    source: str


def figures_of(now: Summary, before: Summary, *, show: str, href: Callable[[str], str]) -> list[Figure]:
    """Clicks, unique visitors and robots; choosing one draws its line."""
    every = (
        (
            "clicks",
            gettext("Clicks"),
            gettext("People's clicks that were redirected"),
            now.clicks,
            before.clicks,
        ),
        (
            "uniques",
            gettext("Unique visitors"),
            gettext("First visits to this link that day; each day counts anew"),
            now.uniques,
            before.uniques,
        ),
        ("bots", gettext("Robots"), gettext("Redirected and kept, but not counted"), now.bots, before.bots),
    )
    return [
        Figure(
            label=label,
            note=note,
            value=value,
            before=was,
            change=change(value, was),
            tone="" if name == "bots" or not was or value == was else "up" if value > was else "down",
            href=href(name),
            is_here=show == name,
        )
        for name, label, note, value, was in every
    ]


def sold_of(sums: ConversionSums, counts: Summary, *, href: str, currency: str) -> Sold | None:
    """The conversions of a period; None where there are none."""
    if not sums.conversions:
        return None
    note = gettext("Approved and pending ones, in time; the rate is of unique visitors")
    if sums.unrated:
        note += "; " + gettext(
            "%(n)s without an exchange rate are not in the revenue", n=number(sums.unrated)
        )
    rate = percent(sums.conversions / counts.uniques) if counts.uniques else ""
    return Sold(href, sums.conversions, rate, money(sums.revenue, currency, headline=True), note)


def left_out(counts: Summary, robots: Breakdown) -> tuple[str, str, str]:
    """What the figures leave out: "44,905 requests received:", "38,412 counted", "4,118 link checks, ..."."""
    named = [row for row in robots.rows if row.value and row.bots]
    known = sum(row.bots for row in named)
    kinds = [counted_robots(row.value, row.bots) for row in sorted(named, key=lambda row: -row.bots)]
    if known != counts.bots:  # the viewer's days are not the organisation's: only the sum is known
        kinds = [gettext("%(n)s robots", n=number(counts.bots))] if counts.bots else []
    if counts.others:
        kinds.append(gettext("%(n)s that the link held back", n=number(counts.others)))
    total = counts.clicks + counts.bots + counts.others
    received = (
        gettext("%(n)s requests received:", n=number(total)) if total != 1 else gettext("1 request received:")
    )
    return received, gettext("%(n)s counted", n=number(counts.clicks)), "".join(f", {kind}" for kind in kinds)


def card_of(name: str, title: str, *, kind: str, found: Breakdown, tabs: list[Choice]) -> Card:
    """People's clicks by value, the most first, and all others in one row at the end."""
    rows = [row for row in found.rows if row.clicks]
    total = sum(row.clicks for row in rows) + found.rest.clicks
    top = max([row.clicks for row in rows] + [found.rest.clicks], default=0)
    shown = [
        CardRow(
            label=value_name(kind, row.value),
            code=row.value if kind == "country" else "",
            value=row.clicks,
            share=row.clicks / total,
            bar=row.clicks / top,
            is_rest=not row.value,
        )
        for row in rows
    ]
    if found.rest.clicks:
        rest = found.rest.clicks
        shown.append(CardRow(gettext("All others"), "", rest, rest / total, rest / top, is_rest=True))
    return Card(name, title, tabs, shown)


def clicks_of(rows: Sequence[ClickRow], *, now: datetime, zone: ZoneInfo) -> list[ClickShown]:
    """The last clicks with their verdict in words."""
    return [_click(row, now=now, zone=zone) for row in rows]


def _click(row: ClickRow, *, now: datetime, zone: ZoneInfo) -> ClickShown:
    here = row.at.astimezone(zone)
    clock = format_datetime(here, "HH:mm:ss", tzinfo=zone, locale=get_locale())
    if row.counted:
        verdict = gettext("Counted")
        why = gettext("first visit that day") if row.unique else gettext("came earlier that day")
    else:
        verdict, why = gettext("Kept"), why_kept(row.reason)
    parts = (device(row.device), row.os, row.browser)
    return ClickShown(
        href=url_for("clicks.show", click_id=row.id),
        at=row.at,
        at_words=clock if here.date() == now.astimezone(zone).date() else f"{day(row.at)}, {clock}",
        counted=row.counted,
        verdict=verdict,
        why=why,
        country=country(row.country) if row.country else "–",
        device=", ".join(part for part in parts if part) or "–",
        source=row.referrer_host or "–",
    )
