"""One postback as its page draws it: the verdict, the request, how it was read, matched, and what it brought about."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import unquote_plus
from uuid import UUID

import msgspec
from flask_babel import gettext, ngettext

from admin_flask.access import me
from admin_flask.filters import duration, money
from admin_flask.nav import page_url
from admin_flask.postbacks.words import (
    MARKS,
    STOP,
    TONES,
    advice,
    after_words,
    clock_words,
    exact_clock,
    problem_words,
    status_word,
    verdict_title,
    why_words,
)
from admin_flask.words import field_word, note_word
from core.contracts.postback_event import API, KINDS, PIXEL, POSTBACK, SCRIPT, UPLOAD
from core.db.conversions import Conversion, Postback
from core.domain.conversions import CONVERSION, IGNORED, LATE, NEW, NO_CLICK, REPEATED, TEST, UPDATED, WAITING
from core.domain.reading import Line, Reading, from_stored
from core.observe import masked
from core.services.postbacks import Opened, Sent, time_of

_PAIRS = re.compile(r"([^&=]*)(=?)([^&]*)(&?)")
_MOST_PIECES = 2000
_MONEY = ("amount", "payout", "cost")


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of the request; `used` where it names something that was read."""

    text: str
    used: bool = False


@dataclass(frozen=True, slots=True)
class LineShown:
    """A parameter: as it came, and as it was read."""

    name: str
    value: str
    read_as: str
    result: str
    note: str
    used: bool


@dataclass(frozen=True, slots=True)
class Fact:
    """A name and what stands there; `hint` is a grey word behind it."""

    name: str
    text: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class SentShown:
    """A delivery for the conversion."""

    name: str
    words: str
    href: str | None
    failed: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """A postback, ready to be drawn. Marks of steps: "" passed, "key" decided, "skip" not reached, "stop" ended."""

    id: UUID
    at: datetime
    title: str
    tone: str
    icon: str
    verdict: str
    text: str
    request: list[Piece]
    body: list[Piece]
    facts: list[Fact]
    received: str
    door_mark: str
    lines: list[LineShown]
    source: str
    source_href: str | None
    reading_mark: str
    problems: list[str]
    matching: str
    matching_mark: str
    after: str
    click_short: str
    click_href: str | None
    conversion: str
    conversion_mark: str
    conversion_href: str | None
    judged: str
    sent: list[SentShown]
    refused: bool
    can_replay: bool
    try_source: int | None


def shown_of(opened: Opened) -> Shown:
    """Everything of a postback's page."""
    postback, source, click, conversion = opened.postback, opened.source, opened.click, opened.conversion
    at = time_of(postback.id)
    reading = _reading(postback)
    lines = _lines(reading) if source is not None or not postback.refused else []
    used = {line.name.strip().lower() for line in lines if line.used}
    mark = MARKS[postback.verdict]
    amount = _worth(postback, conversion)
    source_name = source.name if source is not None else gettext("unknown source")
    return Shown(
        id=postback.id,
        at=at,
        title=f"{source_name}, {clock_words(at)}",
        tone=TONES[mark],
        icon={"": "circle-check", "plain": "info-circle"}.get(TONES[mark], "alert-triangle"),
        verdict=verdict_title(
            postback.verdict, postback.why, amount=amount, title=click.title if click is not None else ""
        ),
        text=" ".join(
            filter(None, (_reason(postback, reading), advice(postback.why), _answered(postback, at)))
        ),
        request=[Piece(_head(postback)), *_query(postback.query, used)],
        body=_body(postback, used),
        facts=_facts(postback),
        received=exact_clock(at),
        door_mark="stop" if postback.refused else "",
        lines=lines,
        source=source_name,
        source_href=page_url("sources.show", "sources.view", source_id=source.id) if source else None,
        reading_mark=_reading_mark(postback, reading),
        problems=_problems(reading, str(postback.why.get("code") or "")),
        matching=_matching(postback, reading),
        matching_mark=_matching_mark(postback),
        after=after_words(at - click.at) if click is not None else "",
        click_short=str(click.id)[:13] if click is not None else "",
        click_href=page_url("clicks.show", "clicks.view", click_id=click.id) if click is not None else None,
        conversion=_conversion(conversion, click.title if click is not None else ""),
        conversion_mark="" if conversion is not None else "skip",
        conversion_href=(
            page_url("conversions.show", "conversions.view", conversion_id=conversion.id)
            if conversion is not None
            else None
        ),
        judged=_judged(postback, at),
        sent=[_sent(one) for one in opened.sent],
        refused=bool(postback.refused),
        can_replay=me().may("postbacks.replay") and not postback.refused and source is not None,
        try_source=source.id if source is not None else None,
    )


def _reading(postback: Postback) -> Reading | None:
    try:
        return from_stored(postback.reading)
    except msgspec.ValidationError:  # a newer release wrote it
        return None


def _worth(postback: Postback, conversion: Conversion | None) -> str:
    if postback.amount is not None:
        return money(postback.amount, postback.currency)
    return money(conversion.revenue, conversion.currency) if conversion is not None else ""


def _why(postback: Postback, reading: Reading | None) -> dict[str, Any]:
    """The reason for the verdict, with what stood there where that was not put down beside it."""
    problems = reading.problems if reading is not None else ()
    value = next((problem.value for problem in problems if problem.code == postback.why.get("code")), "")
    return {"value": value, **postback.why}


def _reason(postback: Postback, reading: Reading | None) -> str:
    """The reason beneath the sentence; of what went as it should the sentence is enough."""
    return "" if postback.verdict == CONVERSION else why_words(_why(postback, reading))


def _answered(postback: Postback, at: datetime) -> str:
    """What the sender was told, and how soon it was judged."""
    kind = KINDS[postback.kind] if postback.kind < len(KINDS) else ""
    words = [] if kind in (UPLOAD, API) else [gettext("Answered %(status)s.", status=postback.answered)]
    if postback.judged_at is not None:
        took = (postback.judged_at - at).total_seconds()
        if 0 <= took < 86_400:
            words.append(gettext("Judged %(time)s after it came.", time=duration(took)))
        else:
            words.append(gettext("Judged last on %(time)s.", time=clock_words(postback.judged_at)))
    return " ".join(words)


def _judged(postback: Postback, at: datetime) -> str:
    """When it was judged (last); with its day where that was not soon."""
    if postback.judged_at is None:
        return ""
    soon = abs(postback.judged_at - at) < timedelta(hours=12)
    return exact_clock(postback.judged_at) if soon else clock_words(postback.judged_at)


def _head(postback: Postback) -> str:
    """The request's line as far as the question mark, the token in it shown by its ends alone."""
    kind = KINDS[postback.kind] if postback.kind < len(KINDS) else POSTBACK
    path = {
        POSTBACK: f"/postback/{postback.token_hint}",
        PIXEL: f"/pixel/{postback.token_hint}.gif",
        SCRIPT: f"/pixel/{postback.token_hint}.gif",
        UPLOAD: gettext("uploaded row"),
        API: gettext("sent by the API"),
    }[kind]
    return f"{path}?" if kind in (UPLOAD, API) else f"{postback.method} {path}{'?' if postback.query else ''}"


def _query(text: str, used: set[str]) -> list[Piece]:
    """A query or form as it came, cut where the names of what was read begin and end."""
    pieces: list[Piece] = []
    for name, equals, value, ampersand in _PAIRS.findall(text):
        if not (name or equals or value or ampersand):
            continue
        if len(pieces) > _MOST_PIECES:
            pieces.append(Piece("…"))
            break
        is_used = unquote_plus(name).strip().lower() in used
        pieces += (
            [Piece(name, used=True), Piece(f"{equals}{value}{ampersand}")]
            if is_used
            else [Piece(f"{name}{equals}{value}{ampersand}")]
        )
    return pieces


def _body(postback: Postback, used: set[str]) -> list[Piece]:
    if not postback.body:
        return []
    text = postback.body.decode("utf-8", "replace")
    if not text.lstrip().startswith(("{", "[")):
        return _query(text, used) if "=" in text else [Piece(text)]
    try:
        text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return [Piece(text)]
    return list(_keys(text, {name.rpartition(".")[2] for name in used}))


def _keys(text: str, used: set[str]) -> Iterator[Piece]:
    """JSON cut at its keys, those that were read marked."""
    for part in re.split(r'("(?:[^"\\]|\\.)*"(?=:))', text)[: 2 * _MOST_PIECES]:
        yield Piece(part, used=part.startswith('"') and part.strip('"').lower() in used)


def _facts(postback: Postback) -> list[Fact]:
    """What is known of the sender; addresses are shortened for who may not see them."""
    full = me().may("addresses.view")
    facts = []
    if postback.ip:
        address = str(postback.ip)
        facts.append(
            Fact(
                gettext("Address"), address if full else masked(address), "" if full else gettext("shortened")
            )
        )
    if postback.user_agent:
        facts.append(Fact(gettext("Agent"), postback.user_agent[:300]))
    if postback.referrer:
        referrer = postback.referrer if full else postback.referrer.split("?")[0]
        facts.append(Fact(gettext("Came from"), referrer[:500]))
    if postback.content_type:
        facts.append(Fact(gettext("Body"), postback.content_type[:200]))
    facts += [Fact(str(name)[:100], str(value)[:500]) for name, value in postback.headers]
    if postback.size:
        facts.append(
            Fact(gettext("Size"), ngettext("%(num)s byte, cut", "%(num)s bytes, cut", postback.size))
        )
    return facts


def _lines(reading: Reading | None) -> list[LineShown]:
    return [] if reading is None else [_line(line) for line in reading.lines]


def _line(line: Line) -> LineShown:
    words = ", ".join(field_word(field) for field in line.read_as.split(", ") if field)
    return LineShown(
        name=line.name,
        value=line.value,
        read_as=words,
        result=_result(line),
        note=note_word(line.note) if line.note else "",
        used=bool(line.read_as),
    )


def _result(line: Line) -> str:
    """What was made of a value, where that is not the value itself."""
    if line.read_as == "status":
        return status_word(line.result)
    if line.read_as in _MONEY:
        with suppress(InvalidOperation):
            return money(Decimal(line.result), "")
    return "" if line.result.lower() == line.value.strip().lower() else line.result


def _reading_mark(postback: Postback, reading: Reading | None) -> str:
    if postback.refused:
        return "skip"
    if MARKS[postback.verdict] == STOP or postback.verdict == IGNORED:
        return "stop" if postback.verdict != IGNORED else "key"
    return "" if reading is not None else "skip"


def _problems(reading: Reading | None, said: str) -> list[str]:
    """What could not be read, each once, but for what the verdict itself says."""
    if reading is None:
        return []
    words = []
    for problem in reading.problems:
        if problem.code == said or (said == "no_click_id" and problem.field == "click_id"):
            continue
        text = problem_words(problem.code, problem.value)
        words.append(f"{field_word(problem.field)}: {text}" if problem.field else text)
    return list(dict.fromkeys(words))


def _matching(postback: Postback, reading: Reading | None) -> str:
    """Which click it belongs to, and why (not)."""
    if postback.refused or reading is None:
        return gettext("Not looked for.")
    if postback.verdict in (CONVERSION, UPDATED, REPEATED, LATE, NO_CLICK, WAITING, TEST):
        return why_words(_why(postback, reading))
    return gettext("Not looked for: it could not be read.")


def _matching_mark(postback: Postback) -> str:
    if postback.refused or postback.verdict == NEW:
        return "skip"
    if postback.verdict in (CONVERSION, UPDATED, REPEATED, LATE, WAITING):
        return "key"
    return "stop" if postback.verdict == NO_CLICK else "skip"


def _conversion(conversion: Conversion | None, title: str) -> str:
    if conversion is None:
        return gettext("None.")
    event = conversion.event[:1].upper() + conversion.event[1:]
    words = [f"{event} {money(conversion.revenue, conversion.currency)}", status_word(conversion.status)]
    if conversion.is_rebill:
        words.append(gettext("a rebill"))
    if conversion.is_late:
        words.append(gettext("does not count"))
    if title:
        words.append(gettext("credited to %(title)s", title=title))
    return ", ".join(words)


def _sent(sent: Sent) -> SentShown:
    if sent.state == "waiting":
        words = gettext("waits to be sent")
    elif sent.state == "skipped":
        words = gettext("was left out")
    elif sent.response_status:
        words = gettext("answered %(status)s", status=sent.response_status)
    else:
        words = sent.error[:200] or sent.state
    return SentShown(
        name=sent.name,
        words=words,
        href=page_url("sending.show", "sending.view", webhook_id=sent.webhook_id),
        failed=sent.state == "failed",
    )
