"""The list of the inbox: its tabs, filters and rows, as the page draws them."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from flask import request, url_for
from flask_babel import gettext

from admin_flask.access import zone
from admin_flask.chips import Chip, Menu, Option
from admin_flask.filters import money, number
from admin_flask.held import db, moment
from admin_flask.nav import page_url
from admin_flask.postbacks.asked import ALL, EVER, MONTH, TODAY, WEEK, Asked, carried, read_asked, span_words
from admin_flask.postbacks.words import (
    ACT,
    MARKS,
    clock_words,
    status_word,
    tab_label,
    verdict_word,
    why_words,
)
from core.domain.conversions import (
    CONVERSION,
    IGNORED,
    LATE,
    NEW,
    NO_CLICK,
    REFUSED,
    REPEATED,
    TEST,
    UNREADABLE,
    UPDATED,
    VERDICTS,
    WAITING,
)
from core.services import postbacks as service
from core.services.postbacks import COUNTED, NO_SOURCE, Choice, ClickSeen, Counts, InboxRow

_TABS = (CONVERSION, UPDATED, REPEATED, NO_CLICK, WAITING, LATE, UNREADABLE, REFUSED, IGNORED, TEST, NEW)
_ALWAYS = (CONVERSION, UPDATED, REPEATED, NO_CLICK, REFUSED)
"""Tabs that are there with nothing in them, too."""


@dataclass(frozen=True, slots=True)
class Tab:
    """Postbacks of one outcome; `acts` where somebody should look."""

    label: str
    href: str
    count: str
    is_here: bool
    acts: bool


@dataclass(frozen=True, slots=True)
class RowShown:
    """A row of the list."""

    id: UUID
    href: str
    at: Any
    clock: str
    source: str
    order: str
    mark: str
    verdict: str
    why: str
    amount: str
    status: str
    is_open: bool


@dataclass(frozen=True, slots=True)
class Nothing:
    """What is said where nothing is found: what was searched, and what else to try."""

    title: str
    text: str
    ways: list[Option]


@dataclass(frozen=True, slots=True)
class Inbox:
    """The list as it is drawn. `seen` tells whether another look would show anything else."""

    asked: Asked
    tabs: list[Tab]
    chips: list[Chip]
    menus: list[Menu]
    rows: list[RowShown]
    summary: str
    earlier: str
    latest: str
    poll: str
    carried: dict[str, str]
    nothing: Nothing | None
    is_first: bool


def read_inbox(*, opened: UUID | None = None) -> Inbox:
    """Everything of the list that the address asks for."""
    session = db.session()
    asked = read_asked(request.args, now=moment(), zone=zone())
    filter = asked.as_service()
    page = service.find_postbacks(session, filter)
    is_first = not page.rows and not asked.is_filtered and not service.has_postbacks(session)
    counts = service.count_postbacks(session, filter) if not is_first else Counts(dict.fromkeys(VERDICTS, 0))
    sources = service.source_choices(session)
    rows = [_row(row, opened) for row in page.rows]
    return Inbox(
        asked=asked,
        tabs=_tabs(asked, counts),
        chips=_chips(asked, sources),
        menus=_menus(asked, sources),
        rows=rows,
        summary=_summary(asked, counts, page.rows),
        earlier=list_url(before=str(page.rows[-1].id)) if page.more else "",
        latest=list_url(before=None) if asked.before else "",
        poll="" if asked.before else _poll(page.rows, opened),
        carried=carried(request.args),
        nothing=None if rows or is_first else _nothing(asked, counts),
        is_first=is_first,
    )


def seen_of(rows: Sequence[InboxRow]) -> str:
    """A mark of what a list shows: another one once any row or verdict of it is another."""
    text = "|".join(f"{row.id}{row.verdict}{row.judged_at}" for row in rows)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def list_url(**changes: Any) -> str:
    """The list's address with the filters of this one, some of them changed."""
    return _with("postbacks.index", {}, changes)


def postback_url(id: UUID) -> str:
    """A postback's address, with the list around it as it is."""
    return _with("postbacks.show", {"postback_id": id}, {})


def _with(endpoint: str, place: Mapping[str, Any], changes: Mapping[str, Any]) -> str:
    names = ("tab", "q", "source", "span", "from", "to", "least", "most", "before")
    values: dict[str, Any] = {name: request.args[name] for name in names if request.args.get(name)}
    if changes and "before" not in changes:
        values.pop("before", None)
    values.update(changes, **place)
    return url_for(endpoint, **values)


def _poll(rows: Sequence[InboxRow], opened: UUID | None) -> str:
    return _with("postbacks.live", {}, {"seen": seen_of(rows), "open": opened, "before": None})


def _tabs(asked: Asked, counts: Counts) -> list[Tab]:
    by = counts.by_verdict
    tabs = [(ALL, _together(by.values(), counts)), *((tab, _count(by[tab], counts)) for tab in _TABS)]
    return [
        Tab(
            label=tab_label(tab, today=asked.span == TODAY),
            href=list_url(tab=None if tab == ALL else tab),
            count=words,
            is_here=asked.tab == tab,
            acts=MARKS.get(tab) == ACT and by[tab] > 0,
        )
        for tab, words in tabs
        if tab in (ALL, asked.tab, *_ALWAYS) or by[tab]
    ]


def _count(count: int, counts: Counts) -> str:
    if count > COUNTED:
        return f"{number(COUNTED)}+"
    return f"{number(count)}+" if counts.at_least else number(count)


def _together(each: Collection[int], counts: Counts) -> str:
    if any(count > COUNTED for count in each):
        return f"{number(sum(min(count, COUNTED) for count in each))}+"
    return _count(sum(each), counts) if counts.at_least else number(sum(each))


def _chips(asked: Asked, sources: Sequence[Choice]) -> list[Chip]:
    chips = []
    if asked.source is not None:
        chips.append(Chip(gettext("Source"), _source_name(asked.source, sources), list_url(source=None)))
    if not asked.is_usual_time:
        words = span_words(asked, zone())
        chips.append(Chip(gettext("Time"), words, list_url(**{"span": None, "from": None, "to": None})))
    if asked.least is not None or asked.most is not None:
        chips.append(Chip(gettext("Amount"), _amount_words(asked), list_url(least=None, most=None)))
    return chips


def _menus(asked: Asked, sources: Sequence[Choice]) -> list[Menu]:
    menus = []
    if asked.source is None:
        options = [Option(source.name, list_url(source=source.id)) for source in sources]
        options.append(Option(gettext("Of no source"), list_url(source=NO_SOURCE)))
        menus.append(Menu(gettext("Source"), options))
    if asked.is_usual_time:
        words = (
            (TODAY, gettext("Today")),
            (WEEK, gettext("Last 7 days")),
            (MONTH, gettext("Last 28 days")),
            (EVER, gettext("All that is kept")),
        )
        spans = [
            Option(label, list_url(**{"span": span, "from": None, "to": None}))
            for span, label in words
            if span != asked.span
        ]
        menus.append(Menu(gettext("Time"), spans, asks="dates"))
    if asked.least is None and asked.most is None:
        menus.append(Menu(gettext("Amount"), [], asks="amounts"))
    return menus


def _amount_words(asked: Asked) -> str:
    least, most = number(asked.least), number(asked.most)
    if asked.least is None:
        return gettext("up to %(most)s", most=most)
    if asked.most is None:
        return gettext("from %(least)s", least=least)
    return gettext("%(least)s to %(most)s", least=least, most=most)


def _source_name(source: int, sources: Sequence[Choice]) -> str:
    if source == NO_SOURCE:
        return gettext("none")
    return next((choice.name for choice in sources if choice.id == source), str(source))


def _row(row: InboxRow, opened: UUID | None) -> RowShown:
    return RowShown(
        id=row.id,
        href=postback_url(row.id),
        at=row.at,
        clock=clock_words(row.at),
        source=row.source or gettext("unknown"),
        order=row.transaction_id or _instead_of_order(row),
        mark=MARKS[row.verdict],
        verdict=verdict_word(row.verdict),
        why=why_words(row.why),
        amount=money(row.amount, row.currency),
        status=status_word(row.status),
        is_open=row.id == opened,
    )


def _instead_of_order(row: InboxRow) -> str:
    """What tells a postback without an order apart: how it was refused, else its click."""
    if row.refused:
        return {
            "token": gettext("wrong token"),
            "address": gettext("foreign address"),
            "signature": gettext("wrong signature"),
            "stale": gettext("old time stamp"),
            "replayed": gettext("signature used before"),
            "too_large": gettext("too large"),
        }.get(row.refused, row.refused)
    return str(row.click_id)[:13] if row.click_id else gettext("no order")


def _summary(asked: Asked, counts: Counts, rows: Sequence[InboxRow]) -> str:
    """Under the list: how many are shown, of how many."""
    if asked.before is not None and rows:
        return gettext("before %(time)s", time=clock_words(service.time_of(asked.before)))
    by = counts.by_verdict
    total = _together(by.values() if asked.tab == ALL else (by[asked.tab],), counts)
    return gettext("%(shown)s of %(total)s", shown=number(len(rows)), total=total)


def _nothing(asked: Asked, counts: Counts) -> Nothing:
    """Support asks "where is my sale?": say what was looked for, and what to try."""
    ways = []
    if asked.tab != ALL and any(counts.by_verdict.values()):
        ways.append(Option(gettext("All outcomes"), list_url(tab=None)))
    if asked.span != EVER:
        ways.append(Option(gettext("All that is kept"), list_url(**{"span": EVER, "from": None, "to": None})))
    if asked.source is not None or asked.least is not None or asked.most is not None:
        ways.append(Option(gettext("Without filters"), list_url(source=None, least=None, most=None)))
    if not asked.q:
        return Nothing(gettext("No postback here."), span_words(asked, zone()) + ".", ways)
    found = service.look_around(db.session(), asked.q)
    title = gettext("No postback has “%(words)s” as its order, click id or any other value.", words=asked.q)
    if found.conversion_id is not None:
        href = page_url("conversions.show", "conversions.view", conversion_id=found.conversion_id)
        if href:
            ways.insert(0, Option(gettext("See the conversion"), href))
        return Nothing(
            title, gettext("A conversion with this order exists; its postback is kept no longer."), ways
        )
    if found.click is not None:
        href = page_url("clicks.show", "clicks.view", click_id=found.click.id)
        if href:
            ways.insert(0, Option(gettext("See the click"), href))
        return Nothing(title, _click_words(found.click), ways)
    if found.is_click_id:
        return Nothing(title, _no_click_words(found.made_at), ways)
    return Nothing(title, _not_an_id_words(), ways)


def _click_words(click: ClickSeen) -> str:
    words = gettext(
        "The click exists: %(time)s, on %(title)s. No postback has named it, so the sale was not reported, or without "
        "its click id: search for the order number, too.",
        time=clock_words(click.at),
        title=click.title or gettext("a link that was removed"),
    )
    return words if click.by_person else f"{words} {gettext('It was no person who clicked.')}"


def _no_click_words(made_at: Any) -> str:
    if made_at is None:
        return gettext("It looks like an id, but not like one of ours. Search for the order number.")
    return gettext(
        "No click has this id either; it would be of %(time)s. Look for a letter that is missing, or search for the "
        "order number.",
        time=clock_words(made_at),
    )


def _not_an_id_words() -> str:
    return gettext(
        "A value is found when it is typed whole, in any case; of a click id the first 8 characters are enough. Try "
        "the click id, the customer's number or the coupon, as the shop sends them."
    )
