"""A link's own page: what it is, and its report for a period. The page asks again while somebody looks."""

import zlib
from typing import Any
from urllib.parse import urlencode

from babel import Locale
from flask import Response, abort, make_response, request, url_for
from flask_babel import get_locale, gettext

from admin_flask.access import me, needs, polled, zone
from admin_flask.held import db, held, moment, read_report
from admin_flask.htmx import page_or_block
from admin_flask.links.blueprint import blueprint
from admin_flask.links.line import line_of
from admin_flask.links.parts import (
    ROWS,
    Card,
    Choice,
    Sold,
    card_of,
    clicks_of,
    figures_of,
    left_out,
    sold_of,
)
from admin_flask.links.period import DATES, Asked, range_words, read_period
from admin_flask.links.shown import show_link
from admin_flask.nav import page_url
from core.db import reports
from core.db.models import Link
from core.services import links as service

LAST_CLICKS = 20
SHOWS = ("clicks", "uniques", "bots")
_KEPT = ("period", "from", "to", "by", "show", "source", "device")


@blueprint.get("/<row:link_id>")
@needs("reports.view")
def detail(link_id: int) -> Response:
    """The link and its report; for HTMX its block `report`."""
    return _page(_found(link_id))


@blueprint.get("/<row:link_id>/live")
@needs("reports.view")
@polled
def live(link_id: int) -> Response:
    """The block `report` anew when something was stored since the page was made; else nothing (204)."""
    link = _found(link_id)
    asked = read_period(request.args, now=moment(), zone=zone())
    if request.args.get("seen") == _mark(link, asked):
        return make_response("", 204)
    return _page(link, asked)


def _page(link: Link, asked: Asked | None = None) -> Response:
    asked = asked or read_period(request.args, now=moment(), zone=zone())
    newest = read_report(reports.recent_clicks, link_id=link.id, limit=LAST_CLICKS)
    report: dict[str, Any] = {
        "poll": _here(link, "live", seen=_mark(link, asked)) if asked.is_running else "",
        "is_new": not newest,
    }
    if newest:
        report |= _report(link, asked)
        if me().may("clicks.view"):
            report["clicks"] = clicks_of(newest, now=moment(), zone=zone())
    return page_or_block("links/detail.html", "report", link=show_link(link), zone=zone(), report=report)


def _report(link: Link, asked: Asked) -> dict[str, Any]:
    locale = get_locale() or Locale("en")
    show = request.args.get("show", SHOWS[0])
    show = show if show in SHOWS else SHOWS[0]
    now = read_report(reports.summary, link_id=link.id, start=asked.whole.start, end=asked.whole.end)
    before = read_report(reports.summary, link_id=link.id, start=asked.before.start, end=asked.before_until)
    points, earlier = (
        read_report(
            reports.timeseries,
            link_id=link.id,
            start=period.start,
            end=period.end,
            interval=asked.interval,
            zone=zone(),
        )
        for period in (asked.whole, asked.before)
    )
    line = line_of(points, earlier, asked=asked, show=show, now=moment(), zone=zone(), locale=locale)
    return {
        "periods": _periods(link, asked),
        "period_words": range_words(asked.first, asked.last, locale),
        "dates": _dates(asked) if asked.name == DATES else None,
        "figures": figures_of(now, before, show=show, href=lambda name: _here(link, show=name)),
        "chart_title": _chart_title(show, asked.interval),
        "by": [
            Choice(_interval_word(name), _here(link, by=name), name == asked.interval)
            for name in asked.intervals
        ],
        "chart": line.chart,
        "key": line.key,
        "table": line.table,
        "sold": _sold(link, asked, now),
        "left_out": left_out(now, _breakdown(link, asked, "bot_reason")),
        "cards": [_card(link, asked, *card) for card in _cards()],
    }


def _sold(link: Link, asked: Asked, counts: reports.Summary) -> Sold | None:
    """Conversions of the period, once there are any, for who may see them."""
    href = page_url(
        "conversions.index",
        "conversions.view",
        link=link.id,
        **{"from": asked.first.isoformat(), "to": asked.last.isoformat()},
    )
    if href is None:
        return None
    sums = read_report(reports.conversions, link_id=link.id, start=asked.whole.start, end=asked.whole.end)
    return sold_of(sums, counts, href=href, currency=held().settings.report_currency)


def _card(link: Link, asked: Asked, name: str, title: str, kinds: dict[str, tuple[str, str]]) -> Card:
    chosen = request.args.get(name, "")
    chosen = chosen if chosen in kinds else next(iter(kinds))
    tabs = [Choice(label, _here(link, **{name: key}), key == chosen) for key, (label, _) in kinds.items()]
    kind = kinds[chosen][1]
    return card_of(
        name, title, kind=kind, found=_breakdown(link, asked, kind), tabs=tabs if len(tabs) > 1 else []
    )


def _cards() -> tuple[tuple[str, str, dict[str, tuple[str, str]]], ...]:
    """Breakdowns: name in the address, title, and key in the address -> (label, dimension)."""
    return (
        (
            "source",
            gettext("Sources"),
            {"site": (gettext("Site"), "referrer_host"), "utm": (gettext("UTM"), "utm_source")},
        ),
        ("place", gettext("Countries"), {"country": (gettext("Country"), "country")}),
        (
            "device",
            gettext("Devices"),
            {
                "type": (gettext("Type"), "device"),
                "system": (gettext("System"), "os"),
                "browser": (gettext("Browser"), "browser"),
            },
        ),
    )


def _breakdown(link: Link, asked: Asked, kind: str) -> reports.Breakdown:
    return read_report(
        reports.breakdown, link_id=link.id, kind=kind, first_day=asked.first, last_day=asked.last, limit=ROWS
    )


def _periods(link: Link, asked: Asked) -> list[Choice]:
    every = (
        ("today", gettext("Today")),
        ("7d", gettext("7 days")),
        ("28d", gettext("28 days")),
        (DATES, gettext("Dates…")),
    )
    return [
        Choice(
            label,
            _here(link, period=name),
            asked.name == name,
        )
        for name, label in every
    ]


def _dates(asked: Asked) -> dict[str, Any]:
    typed = request.args
    return {
        "first": typed.get("from") or asked.first.isoformat(),
        "last": typed.get("to") or asked.last.isoformat(),
        "error": asked.error,
        "carried": [(name, typed[name]) for name in ("show", "source", "device") if name in typed],
    }


def _chart_title(show: str, interval: str) -> str:
    words = {
        "clicks": {"hour": gettext("Clicks by hour"), "day": gettext("Clicks by day")},
        "uniques": {"hour": gettext("Unique visitors by hour"), "day": gettext("Unique visitors by day")},
        "bots": {"hour": gettext("Robots by hour"), "day": gettext("Robots by day")},
    }[show]
    longer = {"week": gettext("By week"), "month": gettext("By month")}
    return words.get(interval) or longer[interval]


def _interval_word(interval: str) -> str:
    return {
        "hour": gettext("Hour"),
        "day": gettext("Day"),
        "week": gettext("Week"),
        "month": gettext("Month"),
    }[interval]


def _here(link: Link, view: str = "detail", **changes: str) -> str:
    """This report's address with some choices changed. Another period starts with its own days and points."""
    dropped = ("from", "to", "by") if "period" in changes else ()
    kept = {name: request.args[name] for name in _KEPT if name in request.args and name not in dropped}
    return f"{url_for(f'links.{view}', link_id=link.id)}?{urlencode(kept | changes)}"


def _mark(link: Link, asked: Asked) -> str:
    """Differs when something was stored that the report shows, and each minute, since time itself is drawn."""
    counts, sums = (
        read_report(report, link_id=link.id, start=asked.whole.start, end=asked.whole.end)
        for report in (reports.summary, reports.conversions)
    )
    newest = read_report(reports.recent_clicks, link_id=link.id, limit=1)
    minute = int(moment().timestamp() // 60) if newest else 0
    text = f"{counts} {sums} {newest[0].id if newest else ''} {minute}"
    return f"{zlib.crc32(text.encode()):08x}"


def _found(link_id: int) -> Link:
    try:
        return service.get_link(db.session(), link_id=link_id, deleted_too=True)
    except service.LinkNotFound:
        abort(404)
