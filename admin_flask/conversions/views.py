"""The list of conversions: search, filters, order and pages, all of it in the address; and the same as a file."""

from flask import Response, request, stream_with_context, url_for
from flask_babel import gettext

from admin_flask import words
from admin_flask.access import needs, zone
from admin_flask.addresses import url_with
from admin_flask.chips import Chip, Menu, Option
from admin_flask.conversions import attribution, one, upload  # noqa: F401 (their views add themselves)
from admin_flask.conversions.asked import IN_TIME, LATE, RATED, UNRATED, Asked
from admin_flask.conversions.blueprint import blueprint
from admin_flask.conversions.export import file_name, lines_of
from admin_flask.filters import day
from admin_flask.held import db, held, moment, read_report
from admin_flask.htmx import is_htmx, page_or_block
from admin_flask.link_names import title_of
from core.domain.conversions import STATUSES
from core.domain.sources import ATTRIBUTIONS
from core.services.conversion_list import (
    ConversionChoices,
    conversion_choices,
    every_conversion,
    find_conversions,
    has_conversions,
    total_conversions,
)
from core.services.link_choices import Choice
from core.services.links import LinkNotFound, get_link

__all__ = ["blueprint"]


@blueprint.get("")
@needs("conversions.view")
def index() -> Response:
    """The list; for HTMX its block `rows`. Before the first conversion: how to get one."""
    if not has_conversions(db.session()):
        return page_or_block("conversions/index.html", "main", is_first=True)
    asked = Asked.from_query(request.args)
    filter = asked.as_service(now=moment(), zone=zone())
    choices = conversion_choices(db.session())
    chips = _chips(asked, choices)
    return page_or_block(
        "conversions/index.html",
        "rows",
        filter=asked,
        filter_chips=chips,
        filter_menus=_menus(asked, choices),
        none_chips=_search_chip(asked) + chips,
        clear=url_for("conversions.index", q=asked.q or None),
        page=read_report(find_conversions, filter=filter),
        totals=read_report(total_conversions, filter=filter),
        currency=held().settings.report_currency,
        zone=zone(),
        words=words,
        title_of=title_of,
        new_search=is_htmx() and request.headers.get("HX-Trigger") != "find",
    )


@blueprint.get("/export.csv")
@needs("conversions.view")
def export() -> Response:
    """What the list shows, all of it, as a table that spreadsheets open safely."""
    filter = Asked.from_query(request.args).as_service(now=moment(), zone=zone())
    currency, place = held().settings.report_currency, zone()
    lots = every_conversion(db.session(), filter=filter)
    lines = lines_of(lots, zone=place, currency=currency)
    response = Response(stream_with_context(lines), mimetype="text/csv")
    name = file_name(moment(), place)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _chips(asked: Asked, choices: ConversionChoices) -> list[Chip]:
    on = (
        ("time", gettext("Time"), _times().get(asked.time, "")),
        ("from", gettext("From"), day(asked.first) if asked.first and not asked.time else ""),
        ("to", gettext("Until"), day(asked.last) if asked.last and not asked.time else ""),
        ("status", gettext("Status"), words.conversion_status(asked.status)),
        ("source", gettext("Source"), _name(choices.sources, asked.source)),
        ("campaign", gettext("Campaign"), _name(choices.campaigns, asked.campaign)),
        ("link", gettext("Link"), _link_name(asked.link)),
        ("event", gettext("Event"), asked.event),
        ("by", gettext("Credited by"), words.attributed_by(asked.by) if asked.by else ""),
        ("timing", gettext("Window"), _timings().get(asked.timing, "")),
        ("rate", gettext("Exchange rate"), _rates().get(asked.rate, "")),
    )
    return [Chip(label, value, _here(**{name: None})) for name, label, value in on if value]


def _search_chip(asked: Asked) -> list[Chip]:
    return [Chip(gettext("Search"), asked.q, _here(q=None))] if asked.q else []


def _menus(asked: Asked, choices: ConversionChoices) -> list[Menu]:
    could = (
        (
            "status",
            gettext("Status"),
            asked.status,
            [(name, words.conversion_status(name)) for name in STATUSES],
        ),
        ("source", gettext("Source"), asked.source, _pairs(choices.sources)),
        ("campaign", gettext("Campaign"), asked.campaign, _pairs(choices.campaigns)),
        ("event", gettext("Event"), asked.event, [(name, name) for name in choices.events]),
        (
            "by",
            gettext("Credited by"),
            asked.by,
            [(name, words.attributed_by(name)) for name in ATTRIBUTIONS],
        ),
        ("timing", gettext("Window"), asked.timing, list(_timings().items())),
        ("rate", gettext("Exchange rate"), asked.rate, list(_rates().items())),
    )
    return [
        Menu(label, [Option(text, _here(**{name: value})) for value, text in options])
        for name, label, on, options in could
        if not on and options
    ]


def _here(**changes: object) -> str:
    """This list with another filter: from its first page."""
    return url_with(after=None, **changes)


def _times() -> dict[str, str]:
    return {"today": gettext("Today"), "7d": gettext("7 days"), "28d": gettext("28 days")}


def _timings() -> dict[str, str]:
    return {IN_TIME: gettext("In time"), LATE: gettext("Too late")}


def _rates() -> dict[str, str]:
    return {RATED: gettext("Known"), UNRATED: gettext("Not known")}


def _pairs(choices: list[Choice]) -> list[tuple[int, str]]:
    return [(choice.id, choice.name) for choice in choices]


def _name(choices: list[Choice], number: int | None) -> str:
    if number is None:
        return ""
    return next((choice.name for choice in choices if choice.id == number), str(number))


def _link_name(link_id: int | None) -> str:
    if link_id is None:
        return ""
    try:
        return title_of(get_link(db.session(), link_id=link_id, deleted_too=True))
    except LinkNotFound:
        return str(link_id)
