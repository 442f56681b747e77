"""The queues: how they are now, and what lies in them."""

from dataclasses import dataclass
from typing import Any

from flask import Response, abort, render_template, request, url_for
from flask_babel import gettext
from redis import RedisError

from admin_flask.access import needs, polled
from admin_flask.held import db, held, moment
from admin_flask.htmx import page_or_block
from admin_flask.queues import acting, around  # noqa: F401 (their views add themselves)
from admin_flask.queues.blueprint import blueprint
from admin_flask.queues.live import Live, count_words, read_live, shown_text, trial_words
from admin_flask.queues.words import (
    error_kind,
    error_title,
    queue_about,
    reason_words,
    state_label,
    title_of,
)
from core.contracts.keys import QUEUES
from core.db.models import Link
from core.observe import masked
from core.services.queues.entries import DEAD, STATES, Found, Search, find_entries
from core.services.queues.letters import Letter, read_letters
from core.services.queues.states import read_queues

__all__ = ["blueprint"]

MOST_ROWS = 50


@dataclass(frozen=True, slots=True)
class Choice:
    """A tab or chip: entries of one state or queue."""

    label: str
    href: str
    count: int | None
    is_here: bool


@blueprint.get("")
@needs("queues.view")
def index() -> Response:
    """How the queues are."""
    return _live_page(read_live(db.session(), held().redis, now=moment()))


@blueprint.get("/live")
@polled
@needs("queues.view")
def live() -> Response:
    """The same, asked by the page itself every few seconds."""
    return _live_page(read_live(db.session(), held().redis, now=moment()))


@blueprint.get("/entries")
@needs("queues.view")
def entries() -> Response:
    """Entries of one state, searched and by queue; all of it is in the address."""
    state = request.args.get("state", DEAD)
    queue = request.args.get("queue", "")
    words = request.args.get("q", "").strip()[:200]
    if state not in STATES or (queue and queue not in QUEUES):
        abort(404)
    trouble, found, states = False, Found([], cut=False), []
    try:
        states = read_queues(held().redis, now=moment())
        found = find_entries(
            held().redis,
            state=state,
            queues=[queue] if queue else QUEUES,
            search=_search(words),
            most=MOST_ROWS,
        )
    except RedisError:
        trouble = True
    counts = dict.fromkeys(STATES, 0)
    for one in states:
        for name, count in zip(STATES, (one.waiting, one.running, one.retrying, one.dead), strict=True):
            counts[name] += count if not queue or one.name == queue else 0
    keep: dict[str, Any] = {"queue": queue or None, "q": words or None}
    tabs = [
        Choice(state_label(name), url_for("queues.entries", state=name, **keep), counts[name], name == state)
        for name in STATES
    ]
    chips = [
        Choice(
            name or gettext("All queues"),
            url_for("queues.entries", state=state, queue=name or None, q=words or None),
            None,
            name == queue,
        )
        for name in ("", *QUEUES)
    ]
    return page_or_block(
        "queues/entries.html",
        "found",
        state=state,
        queue=queue,
        words=words,
        tabs=tabs,
        chips=chips,
        found=found,
        trouble=trouble,
        title_of=title_of,
        error_title=error_title,
        shown_text=shown_text,
    )


@blueprint.get("/dead/<queue>/<letter_id>")
@needs("queues.view")
def letter(queue: str, letter_id: str) -> Response | tuple[str, int]:
    """One entry that was set aside: what it held, what became of it, and why."""
    found = find_letter(queue, letter_id)
    if found is None:
        return render_template("queues/gone.html"), 404
    link = db.session.get(Link, found.content.link_id) if found.content.link_id else None
    return page_or_block(
        "queues/letter.html",
        "main",
        letter=found,
        link=link,
        title=title_of(queue, found.content),
        error_title=error_title(shown_text(found.error), found.reason),
        error_kind=error_kind(found.error),
        reason=reason_words(found.reason),
        shown_text=shown_text,
        masked=masked,
    )


def find_letter(queue: str, letter_id: str) -> Letter | None:
    """The letter at an address, None when it is not there (any more)."""
    first, dash, second = letter_id.partition("-")
    if queue not in QUEUES or not (first.isdecimal() and dash and second.isdecimal()) or len(letter_id) > 40:
        return None
    return next(iter(read_letters(held().redis, queue, [letter_id])), None)


def _live_page(live: Live) -> Response:
    return page_or_block(
        "queues/index.html",
        "live",
        live=live,
        now=moment(),
        queue_about=queue_about,
        reason_words=reason_words,
        trial_words=trial_words,
        count_words=count_words,
    )


def _search(words: str) -> Search:
    """What was typed; "link:12" asks for the clicks of a link."""
    rest, link_id = [], 0
    for word in words.split():
        name, _, number = word.partition(":")
        if name.lower() == "link" and number.isdecimal() and len(number) < 19:
            link_id = int(number)
        else:
            rest.append(word)
    return Search(text=" ".join(rest), link_id=link_id)
