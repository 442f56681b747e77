"""Postbacks as people read them: verdicts, reasons, what a field is, how a request came."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from babel.dates import format_datetime
from flask_babel import get_locale, gettext, ngettext

from admin_flask.access import zone
from admin_flask.filters import day, duration
from admin_flask.held import moment
from core.domain.conversions import (
    APPROVED,
    CONVERSION,
    IGNORED,
    LATE,
    NEW,
    NO_CLICK,
    PENDING,
    REFUNDED,
    REFUSED,
    REJECTED,
    REPEATED,
    TEST,
    UNREADABLE,
    UPDATED,
    WAITING,
)

GOOD, HALF, HOLLOW, ACT, STOP = "good", "half", "hollow", "act", "stop"
"""How a verdict is drawn: made something, changed something, changed nothing, a person should look, turned away."""

MARKS = {
    CONVERSION: GOOD,
    UPDATED: HALF,
    REPEATED: HOLLOW,
    IGNORED: HOLLOW,
    TEST: HOLLOW,
    NEW: HALF,
    WAITING: HALF,
    NO_CLICK: ACT,
    LATE: HOLLOW,
    REFUSED: STOP,
    UNREADABLE: STOP,
}
"""Verdict -> how it is drawn."""

TONES = {GOOD: "", HALF: "", HOLLOW: "plain", ACT: "warn", STOP: "bad"}
"""Mark -> tone of the sentence above a postback."""


def verdict_word(verdict: str) -> str:
    """A verdict in a row."""
    return {
        NEW: gettext("Not judged yet"),
        CONVERSION: gettext("Conversion"),
        UPDATED: gettext("Update"),
        REPEATED: gettext("Repeated"),
        WAITING: gettext("Waiting"),
        NO_CLICK: gettext("No click found"),
        LATE: gettext("Too late"),
        REFUSED: gettext("Refused"),
        UNREADABLE: gettext("Unreadable"),
        IGNORED: gettext("Ignored"),
        TEST: gettext("Test"),
    }[verdict]


def tab_label(tab: str, *, today: bool) -> str:
    """A tab: postbacks by what became of them."""
    return {
        "all": gettext("All today") if today else gettext("All"),
        CONVERSION: gettext("Conversions"),
        UPDATED: gettext("Updates"),
    }.get(tab) or verdict_word(tab)


def verdict_title(verdict: str, why: Mapping[str, Any], *, amount: str, title: str) -> str:
    """What became of a postback, in one sentence: `amount` as people read it, `title` of the link, both "" if none."""
    worth = {"amount": amount, "title": title}
    if verdict == CONVERSION:
        if amount and title:
            return gettext("One new conversion: %(amount)s for %(title)s.", **worth)
        return (
            gettext("One new conversion: %(amount)s.", **worth) if amount else gettext("One new conversion.")
        )
    if verdict == LATE:
        return gettext("It came too late: kept as a conversion that does not count.")
    return {
        NEW: gettext("It was not looked at yet."),
        UPDATED: gettext("It changed a conversion."),
        REPEATED: gettext("It changed nothing: the same came before."),
        WAITING: gettext("It waits for its click."),
        NO_CLICK: gettext("No click found."),
        REFUSED: gettext("It was turned away at the door."),
        UNREADABLE: gettext("It could not be read."),
        IGNORED: gettext("It is ignored."),
        TEST: gettext("It belongs to a live test, and counts nowhere."),
    }[verdict]


def _valued(
    with_value: Callable[[str], str], without: Callable[[], str]
) -> Callable[[Mapping[str, Any]], str]:
    """Words that show what stood there, where the reason says it."""

    def words(why: Mapping[str, Any]) -> str:
        value = str(why.get("value") or "")
        return with_value(value) if value else without()

    return words


def _transition(why: Mapping[str, Any]) -> str:
    before, after = str(why.get("from") or ""), str(why.get("to") or "")
    if before and after:
        return gettext(
            "The status went from %(before)s to %(after)s.",
            before=status_word(before),
            after=status_word(after),
        )
    return gettext("The status of the conversion changed.")


def _not_allowed(why: Mapping[str, Any]) -> str:
    before, after = str(why.get("from") or ""), str(why.get("to") or "")
    if before and after:
        return gettext(
            "The conversion is %(before)s, and no postback may make it %(after)s. A person can.",
            before=status_word(before),
            after=status_word(after),
        )
    return gettext("No postback may change the conversion's status in this way. A person can.")


def _outside(why: Mapping[str, Any]) -> str:
    days = why.get("days")
    if isinstance(days, int) and days:
        return ngettext(
            "The click is older than the source's window of %(num)s day.",
            "The click is older than the source's window of %(num)s days.",
            days,
        )
    return gettext("The click is older than the source's window.")


def _amount_differs(why: Mapping[str, Any]) -> str:
    kept, came = str(why.get("kept") or ""), str(why.get("came") or "")
    if kept and came:
        return gettext(
            "The order was seen before with another amount, and its source says to leave the first one: %(kept)s "
            "stays, %(came)s came.",
            kept=kept,
            came=came,
        )
    return gettext(
        "The order was seen before with another amount, and its source says to leave the first one."
    )


_WORDS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    "matched": lambda why: gettext(
        "The click is known, inside the window, and the order was not seen before."
    ),
    "by_customer": lambda why: gettext(
        "It names no click. It is credited to the click of an earlier conversion of the same customer."
    ),
    "by_coupon": lambda why: gettext(
        "It names no click. It is credited to the link that its coupon was given out with."
    ),
    "outside_window": _outside,
    "transition": _transition,
    "amounts": lambda why: gettext("The conversion exists already; its amounts were taken over."),
    "corrected": lambda why: gettext("It was replayed, and what it had brought about was corrected."),
    "withdrawn": lambda why: gettext("It was replayed, and what it had brought about was taken back."),
    "same": lambda why: gettext("A conversion with this click, order, event and status exists already."),
    "amount_differs": _amount_differs,
    "transition_not_allowed": _not_allowed,
    "older": lambda why: gettext("What came later has said otherwise already, and counts."),
    "no_click_id": lambda why: gettext("The click id came empty, or not at all."),
    "literal_macro": _valued(
        lambda value: gettext(
            "The network sent the name of a macro (%(value)s) in place of its value: the postback URL there is not "
            "filled in.",
            value=value,
        ),
        lambda: gettext(
            "The network sent the name of a macro in place of the click id: the postback URL there is not filled in."
        ),
    ),
    "bad_click_id": _valued(
        lambda value: gettext(
            "“%(value)s” is no click id of ours: they have 32 letters and digits, with or without dashes.",
            value=value,
        ),
        lambda: gettext(
            "What came is no click id of ours: they have 32 letters and digits, with or without dashes."
        ),
    ),
    "unknown_click": lambda why: gettext("No click with this id was ever stored, or it is kept no longer."),
    "click_not_stored_yet": lambda why: gettext(
        "The click is not stored yet. It is looked for again, with longer and longer pauses."
    ),
    "no_transaction": lambda why: gettext(
        "It names no click and no order: nothing would tell two sales of it apart."
    ),
    "other_campaign": lambda why: gettext(
        "The click belongs to a campaign that this source may not report for."
    ),
    "token": lambda why: gettext("The token in the address belongs to no source."),
    "address": lambda why: gettext("It came from an address that the source does not send from."),
    "signature": lambda why: gettext("The signature does not fit, or there was none."),
    "stale": lambda why: gettext("Its time stamp is too old, or lies ahead."),
    "replayed": lambda why: gettext("Its signature was used before."),
    "too_large": lambda why: gettext("It is larger than what is taken. Its beginning was kept."),
    "source_gone": lambda why: gettext("Its source was removed."),
    "bad_amount": _valued(
        lambda value: gettext("“%(value)s” is no amount.", value=value),
        lambda: gettext("Its amount is none."),
    ),
    "unknown_currency": _valued(
        lambda value: gettext("“%(value)s” is no currency.", value=value),
        lambda: gettext("It names a currency that there is not."),
    ),
    "unknown_status": _valued(
        lambda value: gettext("The source does not say what the status “%(value)s” means.", value=value),
        lambda: gettext("It has no status, and the source does not say what that means."),
    ),
    "broken_encoding": lambda why: gettext("Its characters are broken: they are no UTF-8."),
    "broken_body": lambda why: gettext("Its body says that it is JSON, and is none."),
    "ignored_status": lambda why: gettext("The source says that this status is to be ignored."),
    "test": lambda why: gettext("The click id is that of a live test."),
}

_PROBLEMS: dict[str, Callable[[Mapping[str, Any]], str]] = {
    **_WORDS,
    "empty_click_id": lambda why: gettext("It came empty."),
    "unknown_body": _valued(
        lambda value: gettext("The body is of a kind that is not read (%(value)s).", value=value),
        lambda: gettext("The body is of a kind that is not read."),
    ),
    "too_many_parameters": _valued(
        lambda value: gettext("There are more parameters than are read (%(value)s).", value=value),
        lambda: gettext("There are more parameters than are read."),
    ),
}


def why_words(why: Mapping[str, Any]) -> str:
    """The reason for a verdict, in a sentence or two; the bare code where a newer release wrote one that this does not
    know."""
    code = str(why.get("code") or "")
    words = _WORDS.get(code)
    if words is None:
        return gettext("Reason: %(code)s.", code=code) if code else ""
    said = [words(why)]
    if why.get("bot"):
        said.append(gettext("It was no person who clicked."))
    if why.get("corrected"):
        said.append(gettext("What it had brought about before is corrected."))
    if why.get("withdrawn"):
        said.append(gettext("The conversion that it had made before is taken back."))
    if why.get("undone"):
        said.append(gettext("What it had changed before is taken back."))
    if why.get("changed_since"):
        said.append(gettext("What it had changed before stays: the conversion was changed again since."))
    return " ".join(said)


def problem_words(code: str, value: str) -> str:
    """What could not be read in a postback, in a sentence; the bare code where a newer release wrote it."""
    words = _PROBLEMS.get(code)
    return words({"value": value}) if words is not None else code


def advice(why: Mapping[str, Any]) -> str:
    """What a person can do about it; "" where nothing is to be done."""
    return {
        "no_click_id": gettext(
            "Look whether the postback URL at the network carries the click id, and under which name."
        ),
        "literal_macro": gettext("Correct the macro in the postback URL at the network."),
        "bad_click_id": gettext(
            "Look which parameter the click id comes in, then change the fields and try."
        ),
        "unknown_status": gettext("Change the fields and try: say there what the status means."),
        "unknown_currency": gettext(
            "Change the fields and try: set the currency, or the parameter that it comes in."
        ),
        "bad_amount": gettext("Change the fields and try: set how amounts are written, or the parameter."),
        "token": gettext(
            "Somebody has an old or mistyped postback URL. The ends of the token help to find out who."
        ),
        "no_transaction": gettext("Change the fields and try: say there which parameter the order comes in."),
        "address": gettext("If the network has new addresses, add them to the source."),
        "signature": gettext("Compare the source's key with the network's."),
        "stale": gettext("Look at the clocks of both sides."),
        "other_campaign": gettext("If it should count, add the campaign to the source, then replay."),
    }.get(str(why.get("code") or ""), "")


def status_word(status: str) -> str:
    """How a conversion stands."""
    return {
        PENDING: gettext("pending"),
        APPROVED: gettext("approved"),
        REJECTED: gettext("rejected"),
        REFUNDED: gettext("refunded"),
        "rebill": gettext("rebill"),
        "ignore": gettext("ignored"),
    }.get(status, status)


def clock_words(at: datetime) -> str:
    """When one came: "14:32:07", with its day where that is not today."""
    here = at.astimezone(zone())
    clock = format_datetime(here, "HH:mm:ss", tzinfo=zone(), locale=get_locale())
    return clock if here.date() == moment().astimezone(zone()).date() else f"{day(at)}, {clock}"


def exact_clock(at: datetime) -> str:
    """A time to the millisecond, "14:32:07.402"."""
    return str(format_datetime(at.astimezone(zone()), "HH:mm:ss.SSS", tzinfo=zone(), locale=get_locale()))


def after_words(span: timedelta) -> str:
    """How long after the click it came."""
    seconds = span.total_seconds()
    if seconds < 0:
        return gettext("%(time)s before the click", time=_long(-seconds))
    return gettext("%(time)s after the click", time=_long(seconds))


def _long(seconds: float) -> str:
    """As `duration`, but with the seconds of minutes: "2 min 9 s"."""
    if 60 <= seconds < 600:
        minutes, rest = divmod(int(seconds), 60)
        return gettext("%(m)s min %(s)s s", m=minutes, s=rest) if rest else gettext("%(n)s min", n=minutes)
    return duration(seconds)
