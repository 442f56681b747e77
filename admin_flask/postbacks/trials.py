"""What trials found, in words."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import msgspec
from flask import url_for
from flask_babel import gettext, ngettext
from sqlalchemy.orm import Session

from admin_flask.filters import money, number
from admin_flask.postbacks.words import MARKS, clock_words, status_word, verdict_word, why_words
from admin_flask.words import field_word
from core.db.conversion_store import Judgement
from core.db.conversions import ConversionSource
from core.db.postback_store import PostbackRow
from core.domain.conversions import VERDICTS
from core.domain.reading import from_stored
from core.services.postback_trial import Trial
from core.services.postbacks import readings_of

_MOST_SAMPLES = 40


@dataclass(frozen=True, slots=True)
class Would:
    """What a replay of one postback would do: a few words in bold, the reason, and whether it would do anything."""

    words: str
    reason: str
    acts: bool


@dataclass(frozen=True, slots=True)
class Change:
    """So many go from one verdict to another."""

    before_mark: str
    before: str
    after_mark: str
    after: str
    count: int


@dataclass(frozen=True, slots=True)
class DifferenceShown:
    """A postback of which something else would be made."""

    href: str
    at: datetime
    clock: str
    order: str
    before_mark: str
    before: str
    after_mark: str
    after: str
    why: str
    amount_before: str
    amount_after: str


@dataclass(frozen=True, slots=True)
class Result:
    """What a trial of other fields found."""

    title: str
    text: str
    tone: str
    changes: list[Change]
    money: list[str]
    rows: list[DifferenceShown]
    more: str
    tried: int


@dataclass(frozen=True, slots=True)
class Sample:
    """A parameter that the source sends, a value of it, and what it is read as now ("" for nothing)."""

    name: str
    value: str
    read_as: str


def would_words(row: PostbackRow, would: Judgement) -> Would:
    """What a replay would change of one postback."""
    reason = why_words(would.why)
    after = would.after
    worth = money(_decimal(after), str(after.get("currency") or "")) if after else ""
    if would.changed and after and not would.before:
        return Would(gettext("it would make a conversion of %(amount)s", amount=worth), reason, acts=True)
    if would.changed and after:
        was = money(_decimal(would.before), str(would.before.get("currency") or ""))
        before = f"{status_word(str(would.before.get('status')))}, {was}"
        return Would(
            gettext(
                "the conversion would be %(after)s, in place of %(before)s",
                after=f"{status_word(str(after.get('status')))}, {worth}",
                before=before,
            ),
            reason,
            acts=True,
        )
    if would.changed:
        return Would(gettext("its conversion would be taken back"), reason, acts=True)
    if would.verdict != row.verdict:
        words = gettext(
            "only its result would change, from “%(before)s” to “%(after)s”",
            before=verdict_word(row.verdict),
            after=verdict_word(would.verdict),
        )
        return Would(words, reason, acts=True)
    return Would(gettext("nothing would change"), "", acts=False)


def result_of(trial: Trial, *, days: int) -> Result:
    """A trial of other fields, as its page says it."""
    if not trial.tried:
        title, text, tone = gettext("This source sent nothing in that time."), "", "plain"
    elif not trial.differing:
        title = ngettext(
            "Nothing would differ: %(n)s postback was tried.",
            "Nothing would differ: %(n)s postbacks were tried.",
            trial.tried,
            n=number(trial.tried),
        )
        text, tone = "", "plain"
    else:
        title = gettext(
            "%(n)s of %(all)s postbacks would be judged otherwise.",
            n=number(trial.differing),
            all=number(trial.tried),
        )
        text, tone = gettext("Nothing was changed yet."), "warn" if _loses(trial) else ""
    if trial.since is not None:
        cut = gettext(
            "%(n)s were tried, from %(time)s on: all of them would take too long.",
            n=number(trial.tried),
            time=clock_words(trial.since),
        )
        text = f"{text} {cut}".strip()
    shown = len(trial.rows)
    return Result(
        title=title,
        text=text,
        tone=tone,
        changes=[
            Change(MARKS[before], verdict_word(before), MARKS[after], verdict_word(after), count)
            for (before, after), count in trial.changes.most_common()
        ],
        money=[
            gettext("%(amount)s more", amount=money(amount, currency))
            if amount > 0
            else gettext("%(amount)s less", amount=money(-amount, currency))
            for currency, amount in sorted(trial.money.items())
            if amount
        ],
        rows=[
            DifferenceShown(
                href=url_for("postbacks.show", postback_id=row.id, span="all"),
                at=row.at,
                clock=clock_words(row.at),
                order=row.order or gettext("no order"),
                before_mark=MARKS[row.before],
                before=verdict_word(row.before),
                after_mark=MARKS[row.after],
                after=verdict_word(row.after),
                why=why_words(row.why),
                amount_before=money(row.amount_before, row.currency_before),
                amount_after=money(row.amount_after, row.currency_after),
            )
            for row in trial.rows
        ],
        more=gettext("The first %(n)s are shown.", n=number(shown)) if trial.differing > shown else "",
        tried=trial.tried,
    )


def outcome_rows(outcome: Mapping[str, int]) -> list[Change]:
    """What a replay changed, the most first."""
    rows = []
    for words, count in sorted(outcome.items(), key=lambda each: -each[1]):
        before, _, after = words.partition(" ")
        if before in VERDICTS and after in VERDICTS:
            rows.append(Change(MARKS[before], verdict_word(before), MARKS[after], verdict_word(after), count))
    return rows


def samples_of(session: Session, source: ConversionSource, *, first: str) -> list[Sample]:
    """Parameters that the source sent lately, each with a value; those of the postback `first` before all others."""
    samples: dict[str, Sample] = {}
    for stored in readings_of(session, source.id, first=_id(first)):
        try:
            reading = from_stored(stored)
        except msgspec.ValidationError:
            continue
        for line in reading.lines if reading is not None else ():
            known = samples.get(line.name)
            if line.name and (known is None or not known.value) and (known or len(samples) < _MOST_SAMPLES):
                words = ", ".join(field_word(field) for field in line.read_as.split(", ") if field)
                samples[line.name] = Sample(line.name, line.value, words)
    return list(samples.values())


def _loses(trial: Trial) -> bool:
    return any(amount < 0 for amount in trial.money.values())


def _id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def _decimal(state: Mapping[str, object]) -> Decimal:
    return Decimal(str(state.get("revenue") or 0))
