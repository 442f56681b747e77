"""A conversion as a trail: the click, the postbacks, whom it is credited to, how it stands; and its versions."""

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from flask_babel import gettext
from markupsafe import Markup, escape

from admin_flask import words
from admin_flask.filters import duration, money, when
from admin_flask.link_names import title_of
from admin_flask.nav import page_url
from core.contracts.postback_event import KINDS, UPLOAD
from core.db.conversions import Conversion, ConversionHistory, Postback
from core.domain.conversions import COUNTING
from core.services.click_trail import time_of
from core.services.conversions import Told

Step = dict[str, Any]
_MONEY = ("revenue", "payout", "cost")
_UNSAID = ("clicked_at", "rate", "report_revenue", "report_payout", "report_cost")
"""What follows from other columns."""


def steps_of(told: Told) -> list[Step]:
    """From the click to how it stands now; what decided whom it is credited to is marked."""
    steps = [_click(told)]
    steps += [_postback(row, told) for row in reversed(told.postbacks)]
    return [*steps, _credit(told), _standing(told.conversion)]


def history_steps(told: Told) -> list[Step]:
    """Every version, the newest first."""
    return [_version(row, told, is_now=place == 0) for place, row in enumerate(told.history)]


def link_to(text: object, href: str | None) -> Markup:
    """`text`, as a link where there is a page to go to."""
    return Markup('<a href="{}">{}</a>').format(href, text) if href else escape(text)


def _click(told: Told) -> Step:
    it = told.conversion
    if it.click_id is None:
        return {"title": gettext("Click"), "text": gettext("none is known"), "mark": "skip"}
    page = page_url("clicks.show", "clicks.view", click_id=it.click_id)
    return {
        "title": gettext("Click"),
        "text": Markup('<span class="mono">{}</span>').format(link_to(it.click_id, page)),
        "time": when(it.clicked_at or time_of(it.click_id)),
    }


def _postback(row: Postback, told: Told) -> Step:
    page = page_url("postbacks.show", "postbacks.view", postback_id=row.id)
    kind = KINDS[row.kind] if row.kind < len(KINDS) else ""
    title = gettext("Row of an upload") if kind == UPLOAD else gettext("Postback")
    return {
        "title": title,
        "text": Markup("{}: {}").format(
            told.source.name, link_to(words.postback_verdict(row.verdict).lower(), page)
        ),
        "time": when(time_of(row.id)),
    }


def _credit(told: Told) -> Step:
    it, link = told.conversion, told.link
    if link is None:
        return {"title": gettext("Credited to no link"), "mark": "skip"}
    page = page_url("links.detail", "links.view", link_id=link.id)
    by = gettext("by %(what)s", what=words.attributed_by(it.attributed_by).lower())
    parts = [part for part in (told.rule, told.variant) if part]
    return {
        "title": gettext("Credited"),
        "text": Markup("{}{}, {}").format(
            link_to(title_of(link), page), "".join(f", {part}" for part in parts), by
        ),
        "time": _after(it),
        "mark": "key",
    }


def _standing(it: Conversion) -> Step:
    counts = it.status in COUNTING and not it.is_late
    text = gettext("It counts in the reports.") if counts else gettext("It does not count.")
    if it.is_late:
        text = gettext("It came after the source's window, so it is kept and does not count.")
    elif counts and it.report_revenue is None:
        text = gettext(
            "It counts, but its money does not: no exchange rate is known for %(currency)s.",
            currency=it.currency,
        )
    return {
        "title": words.conversion_status(it.status),
        "text": text,
        "time": when(it.updated_at),
        "mark": "" if counts else "stop",
    }


def _after(it: Conversion) -> str:
    """How long after its click it was."""
    if it.clicked_at is None or it.at < it.clicked_at:
        return ""
    length: timedelta = it.at - it.clicked_at
    return gettext("%(time)s after the click", time=duration(length.total_seconds()))


def _version(row: ConversionHistory, told: Told, *, is_now: bool) -> Step:
    said = [_change(name, pair, told) for name, pair in row.changed.items() if name not in _UNSAID]
    changes: Markup | str = Markup("<br>").join(said)
    who = _who(row, told.names)
    parts: list[Markup | str] = [changes] if changes else []
    if row.reason:
        parts.append(Markup("“{}”").format(row.reason))
    parts.append(who)
    return {
        "title": _deed(row),
        "text": Markup("<br>").join(parts),
        "time": when(row.at),
        "mark": "key" if is_now else "",
    }


def _who(row: ConversionHistory, names: Mapping[str, str]) -> Markup | str:
    kind, _, identity = row.actor.partition(":")
    if kind == "postback":
        page = page_url("postbacks.show", "postbacks.view", postback_id=identity) if identity else None
        return link_to(gettext("a postback"), page)
    if row.actor == "attribution":
        return gettext("a run of attribution")
    return names.get(row.actor, row.actor)


def _deed(row: ConversionHistory) -> str:
    return {
        "create": gettext("Came"),
        "update": gettext("Changed"),
        "status": gettext("Status set"),
        "attribution": gettext("Credited anew"),
        "rate": gettext("Converted"),
        "correct": gettext("Judged anew"),
        "withdraw": gettext("Taken back"),
    }.get(row.action, row.action)


def _change(name: str, pair: Any, told: Told) -> Markup:
    """ "Status: pending → approved"; "Amount: R$10.00" where there was nothing before."""
    before, after = pair if isinstance(pair, list) and len(pair) == 2 else (None, pair)
    label = {
        "status": gettext("Status"),
        "revenue": gettext("Amount"),
        "payout": gettext("Payout"),
        "cost": gettext("Cost"),
        "currency": gettext("Currency"),
        "link_id": gettext("Link"),
        "click_id": gettext("Click"),
        "attributed_by": gettext("Credited by"),
        "is_late": gettext("Too late"),
        "rule": gettext("Rule"),
        "variant": gettext("Variant"),
        "customer_id": gettext("Customer"),
        "coupon": gettext("Coupon"),
    }.get(name, name)
    values = [_value(name, value, told) for value in (before, after) if value not in (None, "")]
    return Markup("{}: {}").format(label, " → ".join(values) or "–")


def _value(name: str, value: Any, told: Told) -> str:
    if name == "status":
        return words.conversion_status(str(value)).lower()
    if name == "attributed_by":
        return words.attributed_by(str(value)).lower()
    if name == "link_id" and value in told.links:
        return title_of(told.links[value])
    if name in _MONEY:
        try:
            return money(Decimal(str(value)), "")  # its currency may have been another one
        except InvalidOperation:
            return str(value)
    return str(value)
