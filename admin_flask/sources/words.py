"""Words of the sources' pages: fields, statuses, policies, verdicts, reasons."""

from decimal import Decimal, InvalidOperation

from babel.numbers import format_decimal
from flask_babel import get_locale, gettext, ngettext

from admin_flask.filters import number
from core.domain.conversions import IGNORE as SAME_IGNORED
from core.domain.conversions import (
    REBILL as ONE_MORE_PAYMENT,
)
from core.domain.conversions import (
    REPEAT,
    UPDATE,
)
from core.domain.reading import IGNORE, Line, Reading

NEEDS_SOMEONE = ("no_click", "refused", "unreadable")
"""Verdicts that a person should look into."""


def status_words(status: str) -> str:
    """A status, or what a source's word may mean beside one."""
    return {
        "pending": gettext("Pending"),
        "approved": gettext("Approved"),
        "rejected": gettext("Rejected"),
        "refunded": gettext("Refunded"),
        "rebill": gettext("One more payment"),
        "ignore": gettext("Nothing, ignore it"),
        "": gettext("Nothing: it can not be read"),
    }.get(status, status)


def duplicates_words(policy: str) -> str:
    """What is done with a postback for a conversion that exists."""
    return {
        SAME_IGNORED: gettext("Only its status may move on; amounts stay"),
        UPDATE: gettext("Take over its amounts, too"),
        ONE_MORE_PAYMENT: gettext("Count it as one more payment of the same customer"),
        REPEAT: gettext("Count it again, marked as a repeat"),
    }.get(policy, policy)


def amounts_words(style: str) -> str:
    """How amounts are written."""
    return {
        "auto": gettext("Found out from each"),
        "point": gettext("1,234.56"),
        "comma": gettext("1.234,56"),
        "minor": gettext("In cents: 123456"),
    }.get(style, style)


def payout_words(kind: str) -> str:
    """How what is paid out for a conversion is known."""
    return {
        "none": gettext("Nothing"),
        "parameter": gettext("As the postback says"),
        "fixed": gettext("A fixed amount"),
        "percent": gettext("A percentage of the amount"),
    }.get(kind, kind)


def attribution_words(way: str) -> str:
    """A way to find whose a conversion is."""
    return {
        "click": gettext("The click id"),
        "customer": gettext("Else an earlier conversion of the same customer"),
        "coupon": gettext("Else the link that the coupon was given out with"),
    }.get(way, way)


def model_words(model: str) -> str:
    """Which of a customer's conversions is looked at."""
    return {"last": gettext("The last one"), "first": gettext("The first one")}.get(model, model)


def verdict_words(verdict: str, count: int) -> str:
    """So many postbacks with a verdict: "3 conversions", "1 refused"."""
    n = number(count)
    return {
        "new": gettext("%(n)s waiting to be judged", n=n),
        "conversion": ngettext("%(n)s conversion", "%(n)s conversions", count, n=n),
        "update": ngettext("%(n)s update", "%(n)s updates", count, n=n),
        "repeated": gettext("%(n)s repeated", n=n),
        "waiting": gettext("%(n)s waiting for a click", n=n),
        "no_click": gettext("%(n)s without a click", n=n),
        "late": gettext("%(n)s too late", n=n),
        "refused": gettext("%(n)s refused", n=n),
        "unreadable": gettext("%(n)s unreadable", n=n),
        "ignored": gettext("%(n)s ignored", n=n),
        "test": ngettext("%(n)s test", "%(n)s tests", count, n=n),
    }.get(verdict, f"{n} {verdict}")


def problem_words(code: str, value: str = "") -> str:
    """What could not be read, and what to do."""
    return {
        "bad_amount": gettext(
            "“%(value)s” is no amount. See how amounts are written, under Money.", value=value
        ),
        "unknown_currency": gettext("There is no currency “%(value)s”.", value=value),
        "unknown_status": gettext(
            "“%(value)s” is no status that this source knows. Add it to its statuses.", value=value
        )
        if value
        else gettext("No status came, and this source says nothing for that case."),
        "bad_click_id": gettext("“%(value)s” is no click id of ours.", value=value),
        "literal_macro": gettext(
            "“%(value)s” came as it was pasted: the network does not fill it in.", value=value
        ),
        "empty_click_id": gettext("The click id came empty: it was not handed over with the click."),
        "broken_encoding": gettext("A value has bytes that are no text: “%(value)s”.", value=value),
        "broken_body": gettext("The body is no JSON that can be read."),
        "unknown_body": gettext("The body has a form that is not read (%(value)s).", value=value),
        "too_many_parameters": gettext("Only the first %(value)s parameters are read.", value=value),
    }.get(code, code)


def result_words(line: Line) -> str:
    """What was made of a value, "" where it is what came."""
    if line.read_as == "status":
        return status_words(line.result) if line.result else ""
    if line.result.lower() == line.value.strip().lower() or _is_same_number(line.result, line.value):
        return ""
    return line.result


def _is_same_number(one: str, other: str) -> bool:
    try:
        return Decimal(one) == Decimal(other.strip())
    except InvalidOperation:
        return False


def refusal_words(reason: str) -> str:
    """Why the tracker turned one away."""
    return {
        "token": gettext("its token is not known, or no longer taken"),
        "address": gettext("it came from an address that is not on this source's list"),
        "signature": gettext("its signature is wrong or missing"),
        "stale": gettext("its time stamp is too old or too far ahead"),
        "replayed": gettext("its signature was used before"),
        "too_large": gettext("it is larger than what is taken"),
    }.get(reason, reason)


def missing_words(reading: Reading) -> list[str]:
    """What a sale of this kind would lack, the gravest first."""
    missing = [problem_words(problem.code, problem.value) for problem in reading.problems]
    if reading.status == IGNORE:
        missing.append(gettext("Its status is one that this source ignores, so it would count nowhere."))
    if reading.amount is None and not any(problem.field == "amount" for problem in reading.problems):
        missing.append(gettext("No amount came: each conversion would count as 0."))
    if reading.amount is not None and not reading.currency:
        missing.append(gettext("No currency came. Name the one that this source means, under Money."))
    if not reading.transaction_id:
        missing.append(
            gettext("No transaction came: a second sale after the same click would be taken for the first.")
        )
    return missing


def rate_words(rate: Decimal) -> str:
    """A rate with all of its decimals, and no zeros behind them."""
    return format_decimal(rate, "#,##0.############", locale=get_locale())
