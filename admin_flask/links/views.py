"""The list of links: search, filters, order and pages, all of it in the address."""

from dataclasses import dataclass
from random import SystemRandom

from flask import Response, request, url_for
from flask_babel import gettext

from admin_flask.access import me, needs
from admin_flask.addresses import url_with
from admin_flask.chips import Chip, Menu, Option
from admin_flask.held import db, moment
from admin_flask.htmx import is_htmx, page_or_block
from admin_flask.links import acting, editing, report  # noqa: F401 (their views add themselves)
from admin_flask.links.blueprint import blueprint
from admin_flask.links.forms import ALL, ARCHIVE, MINE, PAGE_SIZE, ListFilter
from admin_flask.links.rows import first_midnight, rows_of
from core.domain.urls import new_slug
from core.services.domains import default_domain
from core.services.link_choices import Choice, LinkChoices, ViewCounts, count_views, link_choices
from core.services.links import find_links

__all__ = ["blueprint"]


@dataclass(frozen=True, slots=True)
class Shown:
    """Which part of how many is on this page, for the pager."""

    page: int
    pages: int
    total: int
    first: int
    last: int

    @property
    def has_prev(self) -> bool:
        return self.page > 1

    @property
    def has_next(self) -> bool:
        return self.page < self.pages

    @property
    def prev_num(self) -> int:
        return self.page - 1

    @property
    def next_num(self) -> int:
        return self.page + 1


@dataclass(frozen=True, slots=True)
class View:
    """A tab: a set of filters that everybody has."""

    label: str
    href: str
    count: int
    is_here: bool


@blueprint.get("")
@needs("links.view")
def index() -> Response:
    """The list; for HTMX its block `rows`. Before the first link: the field to paste an address into."""
    counts = count_views(db.session(), person_id=me().id)
    if not (counts.active or counts.archived):
        return _first_link()
    filter = ListFilter.from_query(request.args)
    choices = link_choices(db.session())
    wanted = filter.as_service(person_id=me().id, since=first_midnight())
    found = find_links(db.session(), filter=wanted, now=moment())
    first = (found.page - 1) * PAGE_SIZE
    chips = _chips(filter, choices)
    return page_or_block(
        "links/index.html",
        "rows",
        filter=filter,
        views=_views(filter, counts),
        filter_chips=chips,
        filter_menus=_menus(filter, choices),
        none_chips=_search_chip(filter) + chips,
        none_text=_none_text(filter),
        clear=url_with(q=None, state=None, domain=None, campaign=None, tag=None, owner=None),
        rows=rows_of([row.link for row in found.rows]),
        page=Shown(found.page, found.pages, found.total, first + 1, first + len(found.rows)),
        new_search=is_htmx() and request.headers.get("HX-Trigger") != "find",
    )


def _first_link() -> Response:
    domain = default_domain(db.session())
    return page_or_block(
        "links/index.html",
        "main",
        is_first=True,
        can_make=me().may("links.edit") and domain is not None,
        sample=new_slug(SystemRandom()),
        host=domain.host if domain else "",
    )


def _views(filter: ListFilter, counts: ViewCounts) -> list[View]:
    every = (
        (ALL, gettext("All"), counts.active),
        (MINE, gettext("Mine"), counts.mine),
        (ARCHIVE, gettext("Archive"), counts.archived),
    )
    return [
        View(
            label=label,
            href=url_for("links.index", view=None if name == ALL else name),
            count=count,
            is_here=filter.view == name,
        )
        for name, label, count in every
    ]


def _chips(filter: ListFilter, choices: LinkChoices) -> list[Chip]:
    on = (
        ("state", gettext("State"), _state_words().get(filter.state, "")),
        ("domain", gettext("Domain"), _name(choices.domains, filter.domain)),
        ("campaign", gettext("Campaign"), _name(choices.campaigns, filter.campaign)),
        ("tag", gettext("Tag"), filter.tag),
        ("owner", gettext("Owner"), _name(choices.owners, filter.owner)),
    )
    return [Chip(label, value, url_with(**{name: None})) for name, label, value in on if value]


def _search_chip(filter: ListFilter) -> list[Chip]:
    return [Chip(gettext("Search"), filter.q, url_with(q=None))] if filter.q else []


def _menus(filter: ListFilter, choices: LinkChoices) -> list[Menu]:
    states = [] if filter.view == ARCHIVE else list(_state_words().items())
    tags = [(tag.name, tag.name) for tag in choices.tags]
    could = (
        ("state", gettext("State"), filter.state, states),
        ("campaign", gettext("Campaign"), filter.campaign, _pairs(choices.campaigns)),
        ("tag", gettext("Tag"), filter.tag, tags),
        ("domain", gettext("Domain"), filter.domain, _pairs(choices.domains)),
        ("owner", gettext("Owner"), filter.owner, [] if filter.view == MINE else _pairs(choices.owners)),
    )
    return [
        Menu(label, [Option(text, url_with(**{name: value})) for value, text in options])
        for name, label, on, options in could
        if not on and len(options) > (1 if name in ("domain", "owner") else 0)
    ]


def _pairs(choices: list[Choice]) -> list[tuple[int, str]]:
    return [(choice.id, choice.name) for choice in choices]


def _name(choices: list[Choice], number: int | None) -> str:
    if number is None:
        return ""
    return next((choice.name for choice in choices if choice.id == number), str(number))


def _state_words() -> dict[str, str]:
    return {"live": gettext("Live"), "paused": gettext("Paused")}


def _none_text(filter: ListFilter) -> str:
    if filter.view == ARCHIVE:
        return gettext("Nothing is archived. Archived links answer “gone”, and their clicks stay.")
    return gettext("None of the links is yours yet.") if filter.view == MINE else gettext("No links here.")
