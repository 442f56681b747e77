"""How a postback is read: which of its parameters is what, by the settings of its source. Pure.

A postback may say anything, in any encoding: reading never fails. What can not be made sense of is named in `problems`,
and every parameter that came is in `lines` with what was made of it.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from core.contracts.click_event import unix_ms
from core.contracts.postback_event import API, UPLOAD, PostbackEvent
from core.domain import amounts, click_ref
from core.domain.amounts import BadAmount, in_digits, parse_amount
from core.domain.conversions import APPROVED, REFUNDED, STATUSES
from core.domain.currencies import DECIMALS
from core.domain.parameters import (
    BROKEN_BODY,
    BROKEN_ENCODING,
    CONTROL_CHARACTERS,
    CUT,
    MOST_PARAMETERS,
    Parameter,
    parameters_of,
)
from core.domain.sources import FIELDS, SourceSettings, as_sent_by_us

IGNORE, REBILL = "ignore", "rebill"
"""What a source's word for a status may also be read as: do not take it; one more payment, approved."""

BAD_AMOUNT, UNKNOWN_CURRENCY, UNKNOWN_STATUS = "bad_amount", "unknown_currency", "unknown_status"

UNREADABLE = (BAD_AMOUNT, UNKNOWN_CURRENCY, UNKNOWN_STATUS, BROKEN_ENCODING, BROKEN_BODY)
"""Problems with which a postback becomes no conversion; the others (of the click id, too many parameters) alone do not
keep it from being one."""

NOTES = (
    "default",
    "repeated",
    CUT,
    CONTROL_CHARACTERS,
    BROKEN_ENCODING,
    click_ref.MACRO,
    click_ref.PREFIXED,
    amounts.AMBIGUOUS,
    amounts.ROUNDED,
    "refund",
    "bad_time",
)
"""What is said beside a line: the source's default was used; the same parameter came before, and that one counts; too
long, cut; control characters were replaced; its bytes are no UTF-8 and were replaced; an unfilled macro, taken for
nothing; a prefix before the click id was left out; could also be read otherwise; rounded to six decimals; a negative
amount of a refund, taken as its size; no time that can be, so that the time of receipt counts."""

_SHOWN = 300
_MOST_FIELDS = 50
_LONGEST = {"transaction_id": 200, "event": 64, "customer_id": 200, "coupon": 100, "status": 64, "time": 64}
_EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
_FIRST_ID_MS = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1000)
_AHEAD = timedelta(days=1)
_SELECTOR = re.compile(r"(?P<list>.*?)\[(?P<key>[^\[\]=]+)=(?P<value>[^\[\]]*)\](?P<rest>.*)")


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """One parameter as it came (a default has no name), which of FIELDS it was read as ("" for none), what was made of
    it, and a note (one of NOTES, "" for none)."""

    name: str = ""
    value: str = ""
    read_as: str = ""
    result: str = ""
    note: str = ""


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """What could not be read: a code, the field that it is about, and what stood there."""

    code: str
    field: str = ""
    value: str = ""


class Reading(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a postback says. `click_id` is a canonical UUID or ""; `status` is one of STATUSES, "ignore", or "" where it
    is unknown; `amount`, `payout` and `cost` are None where nothing was said; `currency` is "" where neither the
    postback nor its source names one; `coupon` is in lower case; `fields` are the other parameters of query or form."""

    at: datetime
    click_id: str = ""
    transaction_id: str = ""
    event: str = ""
    status: str = ""
    is_rebill: bool = False
    amount: Decimal | None = None
    currency: str = ""
    payout: Decimal | None = None
    cost: Decimal | None = None
    customer_id: str = ""
    coupon: str = ""
    fields: dict[str, str] = {}
    lines: tuple[Line, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def unreadable(self) -> Problem | None:
        """The first problem that keeps it from becoming a conversion."""
        return next((problem for problem in self.problems if problem.code in UNREADABLE), None)

    @property
    def click_problem(self) -> str:
        """Why there is no click id, "" where there is one or none was sent at all."""
        codes = (click_ref.EMPTY, click_ref.MACRO, click_ref.BAD)
        found = (one.code for one in self.problems if one.field == "click_id" and one.code in codes)
        return next(found, "")


def read(event: PostbackEvent, settings: SourceSettings, *, now: datetime) -> Reading:
    """Read a postback by its source's settings. Never raises, whatever came. `now` bounds the times that can be.

    Of what its source signs only the signed part is read, the body of a POST, else the query: who has seen one signed
    request could else send it again with values of his own beside it. Headers are read where that part says nothing."""
    if settings.signature.header and event.kind not in (UPLOAD, API):
        is_post = event.method == "POST"
        event = msgspec.structs.replace(
            event, query="" if is_post else event.query, body=event.body if is_post else b""
        )
        settings = _headers_last(settings)
    parameters, found = parameters_of(event)
    problems = [Problem(code, value=_shown(value)) for code, value in found]
    settings = as_sent_by_us(settings, event.kind)
    return _Reader(parameters, problems, settings, received_at(event, now=now), now).reading()


def _headers_last(settings: SourceSettings) -> SourceSettings:
    """So that no header, which nobody signs, wins over what is signed."""
    fields = {
        field: tuple(sorted(names, key=lambda name: name.strip().lower().startswith("header:")))
        for field, names in settings.fields.items()
    }
    return msgspec.structs.replace(settings, fields=fields)


def to_stored(reading: Reading) -> dict[str, Any]:
    """A value for the column `reading`; long values are cut, what is left out is the default."""
    built: dict[str, Any] = msgspec.to_builtins(reading)
    return built


def from_stored(stored: Mapping[str, Any]) -> Reading | None:
    """What the column `reading` holds, None for a postback that was not read yet. Raises msgspec.ValidationError."""
    return msgspec.convert(stored, Reading) if stored else None


def terms_of(reading: Reading, *, most: int = 64, longest: int = 100) -> list[str]:
    """What a postback is found by: the values of its parameters, its click id and its transaction, in lower case."""
    values = (reading.click_id, reading.transaction_id, *(line.value for line in reading.lines if line.name))
    lower = (value.strip().lower() for value in values)
    return list(dict.fromkeys(value for value in lower if 0 < len(value) <= longest))[:most]


def received_at(event: PostbackEvent, *, now: datetime) -> datetime:
    """The time in its id; `now` where that can not be."""
    ms = unix_ms(event.id)
    return event.at if _FIRST_ID_MS <= ms <= (now + _AHEAD).timestamp() * 1000 else now


class _Reader:
    """One postback: which parameter is what, then what each says."""

    def __init__(
        self,
        parameters: Sequence[Parameter],
        problems: Iterable[Problem],
        settings: SourceSettings,
        received: datetime,
        now: datetime,
    ) -> None:
        self._parameters = parameters
        self._settings = settings
        self._received = received
        self._now = now
        self._problems = list(problems)
        self._by_name: dict[str, int] = {}
        self._repeated: set[int] = set()
        for place, parameter in enumerate(parameters):
            key = parameter.name.strip().lower()
            first = self._by_name.setdefault(key, place)
            if first != place:
                if not parameters[first].value.strip() and parameter.value.strip():
                    self._by_name[key] = place
                else:
                    self._repeated.add(place)
        self._above: set[str] = set()
        self._results: dict[int, tuple[list[str], str, str]] = {}
        self._defaults: list[Line] = []

    def reading(self) -> Reading:
        """What the parameters say together."""
        values = {name: self._find(name) for name in FIELDS}
        click_id = self._click_id(values["click_id"])
        status, is_rebill = self._status(values["status"])
        currency = self._currency(values["currency"])
        amount, currency = self._amount("amount", values["amount"], currency, status)
        payout, _ = self._amount("payout", values["payout"], currency, status)
        cost, _ = self._amount("cost", values["cost"], currency, status)
        return Reading(
            at=self._time(values["time"]),
            click_id=click_id,
            transaction_id=self._text("transaction_id", values["transaction_id"]),
            event=self._event(values["event"]),
            status=status,
            is_rebill=is_rebill,
            amount=amount,
            currency=currency,
            payout=payout,
            cost=cost,
            customer_id=self._text("customer_id", values["customer_id"]),
            coupon=self._text("coupon", values["coupon"]).lower(),
            fields=self._others(),
            lines=self._lines(),
            problems=tuple(self._problems),
        )

    def _find(self, field: str) -> int | None:
        """The place of the parameter that says a field: the first name of its list with a value, else the first that
        came at all."""
        empty: int | None = None
        for name in self._settings.fields.get(field, ()):
            place = self._place(name.strip().lower())
            if place is not None:
                if self._parameters[place].value.strip():
                    return place
                empty = place if empty is None else empty
        return empty

    def _place(self, name: str) -> int | None:
        """The place of a name; `list[key=value].rest` is the element of a list that has this value there."""
        place = self._by_name.get(name)
        if place is not None or "[" not in name:
            return place
        selector = _SELECTOR.fullmatch(name)
        if selector is None:
            return None
        for number in range(MOST_PARAMETERS):
            element = f"{selector['list']}.{number}"
            told = self._by_name.get(f"{element}.{selector['key']}")
            if told is None:
                if element not in self._branches():
                    return None
            elif self._parameters[told].value.strip().lower() == selector["value"]:
                return self._place(element + selector["rest"])
        return None

    def _branches(self) -> set[str]:
        """The paths of JSON below which there is something."""
        if not self._above:
            for name in self._by_name:
                while (cut := name.rfind(".")) > 0:
                    name = name[:cut]
                    if name in self._above:
                        break
                    self._above.add(name)
        return self._above

    def _say(self, field: str, place: int, result: str, note: str = "") -> None:
        fields, said, noted = self._results.setdefault(place, ([], "", ""))
        self._results[place] = ([*fields, field], said or result, noted or note)

    def _default(self, field: str, result: str) -> None:
        self._defaults.append(Line(read_as=field, result=result, note="default"))

    def _wrong(self, code: str, field: str, value: str) -> None:
        self._problems.append(Problem(code, field, _shown(value)))

    def _click_id(self, place: int | None) -> str:
        if place is None:
            return ""
        parameter = self._parameters[place]
        found = click_ref.read_click_ref(parameter.value)
        if found.problem:
            self._wrong(found.problem, "click_id", parameter.value)
        self._say("click_id", place, found.id, found.note)
        return found.id

    def _status(self, place: int | None) -> tuple[str, bool]:
        word = self._parameters[place].value.strip().lower() if place is not None else ""
        settings = self._settings
        meant = settings.statuses.get(word, "") if word else settings.default_status
        if word and not settings.statuses and word in (*STATUSES, REBILL, IGNORE):
            meant = word  # a source without words of its own speaks ours
        if not meant:
            self._wrong(UNKNOWN_STATUS, "status", word)
        if place is not None and word:
            self._say("status", place, meant)
        else:
            if place is not None:
                self._say("status", place, "")
            self._default("status", meant)
        return (APPROVED, True) if meant == REBILL else (meant, False)

    def _event(self, place: int | None) -> str:
        word = self._text("event", place).lower()
        if not word:
            self._default("event", self._settings.default_event)
            return self._settings.default_event
        meant = self._settings.events.get(word, word)
        if place is not None:
            fields, _, note = self._results[place]
            self._results[place] = (fields, meant, note)
        return meant

    def _currency(self, place: int | None) -> str:
        """The currency that the postback names, "" for none."""
        if place is None or not self._parameters[place].value.strip():
            return ""
        code = self._parameters[place].value.strip().upper()
        if code not in DECIMALS:
            self._wrong(UNKNOWN_CURRENCY, "currency", code)
            code = ""
        self._say("currency", place, code)
        return code

    def _amount(
        self, field: str, place: int | None, currency: str, status: str
    ) -> tuple[Decimal | None, str]:
        """An amount and the currency that it is in: the postback's, else that in the text, else the source's."""
        assumed = currency or self._settings.currency
        if place is None or not self._parameters[place].value.strip():
            if field == "amount" and assumed and not currency:
                self._default("currency", assumed)
            return None, assumed
        text = self._parameters[place].value
        try:
            amount = parse_amount(text, style=self._settings.amounts, currency=assumed)
            if amount.currency and currency and amount.currency != currency:
                raise BadAmount("two currencies")
            if amount.value < 0 and status != REFUNDED:
                raise BadAmount("negative")
        except BadAmount:
            self._wrong(BAD_AMOUNT, field, text)
            self._say(field, place, "")
            return None, assumed
        value = abs(amount.value)
        self._say(field, place, in_digits(value), "refund" if amount.value < 0 else amount.note)
        if field == "amount" and not currency and not amount.currency and assumed:
            self._default("currency", assumed)
        return value, amount.currency or assumed

    def _text(self, field: str, place: int | None) -> str:
        """A value as it is; nothing for a macro that was not filled in."""
        if place is None:
            return ""
        parameter = self._parameters[place]
        text, note = parameter.value.strip(), ""
        if click_ref.is_macro(text):
            text, note = "", click_ref.MACRO
        longest = _LONGEST[field]
        if len(text) > longest:  # two that differ only behind the end must not become one
            digest = hashlib.sha256(text.encode()).hexdigest()[:16]
            text, note = f"{text[: longest - 17]}~{digest}", CUT
        if field == "transaction_id" and parameter.note in (BROKEN_ENCODING, CONTROL_CHARACTERS, CUT):
            self._wrong(BROKEN_ENCODING, field, text)  # nobody could tell it from another one
        self._say(field, place, text, note)
        return text

    def _time(self, place: int | None) -> datetime:
        if place is None or not self._parameters[place].value.strip():
            return self._received
        at = _instant(self._parameters[place].value.strip())
        if at is None or not _EARLIEST <= at <= self._now + _AHEAD:
            self._say("time", place, self._received.isoformat(), "bad_time")
            return self._received
        self._say("time", place, at.isoformat())
        return at

    def _others(self) -> dict[str, str]:
        """Parameters of query or form that were read as nothing: custom fields."""
        others: dict[str, str] = {}
        for place, parameter in enumerate(self._parameters):
            unused = place not in self._results and place not in self._repeated
            if unused and parameter.is_flat and parameter.name and len(others) < _MOST_FIELDS:
                others[_shown(parameter.name)] = _shown(parameter.value)
        return others

    def _lines(self) -> tuple[Line, ...]:
        lines = []
        left = MOST_PARAMETERS
        for place, parameter in enumerate(self._parameters):
            fields, result, note = self._results.get(place, ([], "", ""))
            if not fields:
                if not left:
                    continue
                left -= 1
            note = note or parameter.note or ("repeated" if place in self._repeated else "")
            name, value = _shown(parameter.name), _shown(parameter.value)
            lines.append(Line(name, value, ", ".join(fields), _shown(result), note))
        return (*lines, *self._defaults)


def _instant(text: str) -> datetime | None:
    """A time in seconds or milliseconds since 1970, or as ISO 8601 writes it (UTC where it says no zone)."""
    try:
        if re.fullmatch(r"\d{9,14}(\.\d{1,6})?", text, re.ASCII):
            number = float(text)
            return datetime.fromtimestamp(number / 1000 if number >= 1e11 else number, UTC)
        at = datetime.fromisoformat(text[: _LONGEST["time"]].replace("/", "-"))
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
