"""One click as its page tells it: the verdict in a sentence, the trail, and what is known of who came."""

from datetime import datetime
from typing import Any
from uuid import UUID

from flask_babel import gettext
from markupsafe import Markup, escape

from admin_flask import words
from admin_flask.filters import country, duration, exact, money, when
from admin_flask.link_names import title_of
from admin_flask.nav import page_url
from core.contracts.click_event import REDIRECT
from core.domain.conversions import COUNTING
from core.services import click_trail
from core.services.click_trail import ClickFacts, ClickTrail, time_of

Step = dict[str, Any]


def verdict_of(told: ClickTrail) -> dict[str, str]:
    """The answer in one sentence and its reason, with their tone."""
    click = told.click
    if click is None:
        return {}
    sold = any(it.status in COUNTING and not it.is_late for it, _ in told.conversions)
    if click.reason:
        return {
            "title": gettext("Kept, not counted."),
            "text": _sentence(words.why_kept(click.reason))
            + (" " + gettext("A conversion was credited to it all the same.") if sold else ""),
            "tone": "plain",
            "icon": "robot" if click.robot else "info-circle",
        }
    if click.is_unique:
        title = gettext("Counted as a unique click.")
        if sold:
            title = gettext("Counted as a unique click, and it led to a conversion.")
    else:
        title = gettext("Counted, not as unique.")
        if sold:
            title = gettext("Counted, not as unique, and it led to a conversion.")
    return {
        "title": title,
        "text": gettext("Nothing in it looks like a robot."),
        "tone": "",
        "icon": "circle-check",
    }


def steps_of(told: ClickTrail) -> list[Step]:
    """From the request to what came of it. What decided is marked."""
    click = told.click
    assert click is not None
    steps = [_came_in(click), *_target(told), _outcome(told), _judged(click), _unique(click), _stored(click)]
    return [*steps, *naming_steps(told)]


def missing_words(told: ClickTrail, click_id: UUID) -> dict[str, str]:
    """Why a click is not here."""
    at = when(time_of(click_id)) if told.missing not in ("", click_trail.NOT_OURS, click_trail.FUTURE) else ""
    every = {
        click_trail.WAITING: (
            gettext("Not here yet."),
            gettext(
                "It is from %(time)s. A click is stored a second or two after it happens; "
                "one that waits in the queue comes later.",
                time=at,
            ),
            "warn",
            "clock",
        ),
        click_trail.EXPIRED: (
            gettext("Not here any more."),
            gettext("It is from %(time)s, and clicks that old are not kept.", time=at),
            "plain",
            "hourglass",
        ),
        click_trail.UNKNOWN: (
            gettext("There is no such click."),
            gettext(
                "It would be from %(time)s. It never reached this Rastro, it was set aside because it could not "
                "be stored, or a part of the id was lost on its way.",
                time=at,
            ),
            "bad",
            "alert-triangle",
        ),
        click_trail.FUTURE: (
            gettext("There is no such click."),
            gettext("Its id names a time that is still to come, so it was made up or changed on its way."),
            "bad",
            "alert-triangle",
        ),
        click_trail.NOT_OURS: (
            gettext("This is no click id of Rastro."),
            gettext("It has the form of one, but another system made it."),
            "bad",
            "alert-triangle",
        ),
        click_trail.TEST: (
            gettext("This id belongs to a live test."),
            gettext("It stands for no click; what comes for it counts nowhere."),
            "plain",
            "flask",
        ),
    }
    if told.missing not in every:
        return {}
    title, text, tone, icon = every[told.missing]
    return {"title": title, "text": text, "tone": tone, "icon": icon}


def facts_of(click: ClickFacts) -> list[tuple[str, str, str]]:
    """What is known of who came: label, value, and a word beside it."""
    device = ", ".join(part for part in (words.device(click.device), click.os, click.browser) if part)
    utm = ", ".join(
        f"{name} {value}"
        for name, value in (
            ("source", click.utm_source),
            ("medium", click.utm_medium),
            ("campaign", click.utm_campaign),
            ("content", click.utm_content),
            ("term", click.utm_term),
        )
        if value
    )
    every = (
        (gettext("Time"), exact(click.at), ""),
        (gettext("Address"), _network(click.ip), gettext("shortened") if click.ip else ""),
        (gettext("Country"), country(click.country) if click.country else "", ""),
        (gettext("Device"), device, ""),
        (gettext("Agent"), click.user_agent, ""),
        (gettext("Language"), click.language, ""),
        (gettext("Came from"), click.referrer or click.referrer_host, ""),
        (gettext("Source tag"), click.source, ""),
        ("UTM", utm, ""),
        (gettext("Query"), click.query, ""),
    )
    return [(label, value or "–", note) for label, value, note in every]


def _came_in(click: ClickFacts) -> Step:
    parts = [country(click.country) if click.country else "", words.device(click.device), click.referrer_host]
    text = ", ".join(part for part in parts if part)
    return {
        "title": gettext("Came in"),
        "text": text or gettext("nothing is known of where from"),
        "time": exact(click.at),
    }


def _target(told: ClickTrail) -> list[Step]:
    link, click = told.link, told.click
    assert click is not None
    page = page_url("links.detail", "links.view", link_id=click.link_id)
    name = title_of(link) if link else gettext("link %(id)s", id=click.link_id)
    steps = [{"title": gettext("Asked for"), "text": _linked(name, page)}]
    if told.rule:
        steps.append({"title": gettext("A rule matched"), "text": told.rule})
    if told.variant:
        steps.append({"title": gettext("Split"), "text": told.variant})
    return steps


def _outcome(told: ClickTrail) -> Step:
    click = told.click
    assert click is not None
    if click.outcome == REDIRECT:
        return {"title": gettext("Sent on"), "text": gettext("to the destination")}
    return {"title": gettext("Held back"), "text": words.why_kept(click.outcome), "mark": "stop"}


def _judged(click: ClickFacts) -> Step:
    if click.robot:
        text = words.why_kept(click.robot)
        if not click.door_robot:
            text = gettext("%(why)s; at the door it was taken for a person", why=text)
        return {"title": gettext("Judged: a robot"), "text": text, "mark": "key"}
    text = gettext("No sign of a robot was found.")
    if click.door_robot:
        text = gettext("At the door it was taken for a robot: %(why)s.", why=words.why_kept(click.door_robot))
    return {
        "title": gettext("Judged: a person"),
        "text": text,
        "mark": "key" if click.outcome == REDIRECT else "",
    }


def _unique(click: ClickFacts) -> Step:
    if click.reason:
        return {"title": gettext("Unique"), "text": gettext("not asked: it does not count"), "mark": "skip"}
    if click.is_unique:
        return {
            "title": gettext("Unique"),
            "text": gettext("the first click of this visitor on this link that day"),
        }
    if not click.known:
        return {
            "title": gettext("Not unique"),
            "text": gettext("its visitor could not be told from others"),
            "mark": "skip",
        }
    text = escape(gettext("this visitor came earlier that day"))
    if click.earlier:
        first = _linked(
            gettext("the first click"), page_url("clicks.show", "clicks.view", click_id=click.earlier)
        )
        text = Markup("{}: {}").format(text, first)
    return {"title": gettext("Not unique"), "text": text, "mark": "skip"}


def _stored(click: ClickFacts) -> Step:
    seconds = max((click.stored_at - click.at).total_seconds(), 0)
    return {
        "title": gettext("In the reports") if not click.reason else gettext("Kept"),
        "time": gettext("+%(time)s", time=duration(seconds)),
    }


def naming_steps(told: ClickTrail) -> list[Step]:
    """Postbacks and conversions that name it, in the order of their time."""
    steps: list[tuple[datetime, int, Step]] = []
    for it, source in told.conversions:
        page = page_url("conversions.show", "conversions.view", conversion_id=it.id)
        order = f", {it.transaction_id}" if it.transaction_id else ""
        counts = it.status in COUNTING and not it.is_late
        steps.append(
            (
                it.at,
                1,
                {
                    "title": gettext("Conversion %(amount)s", amount=money(it.revenue, it.currency)),
                    "text": Markup("{}{}, {}, {}").format(
                        source,
                        order,
                        words.conversion_status(it.status).lower(),
                        _linked(gettext("see it"), page),
                    ),
                    "time": _later(told, it.at),
                    "mark": "" if counts else "skip",
                },
            )
        )
    for row, source in told.postbacks:
        page = page_url("postbacks.show", "postbacks.view", postback_id=row.id)
        at = time_of(row.id)
        steps.append(
            (
                at,
                0,
                {
                    "title": gettext("Postback"),
                    "text": Markup("{}: {}").format(
                        source or gettext("unknown sender"),
                        _linked(words.postback_verdict(row.verdict).lower(), page),
                    ),
                    "time": _later(told, at),
                },
            )
        )
    return [step for _, _, step in sorted(steps, key=lambda step: step[:2])]


def _later(told: ClickTrail, at: datetime) -> str:
    if told.click is None or at < told.click.at:
        return when(at)
    return gettext("+%(time)s", time=duration((at - told.click.at).total_seconds()))


def _linked(text: object, href: str | None) -> Markup:
    return Markup('<a href="{}">{}</a>').format(href, text) if href else escape(text)


def _network(address: str | None) -> str:
    """A truncated address as what it is: all that begin like it."""
    if not address:
        return ""
    return f"{address}/{48 if ':' in address else 24}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
