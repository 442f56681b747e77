"""Amounts of money as networks write them. Pure.

`12.34`, `12,34`, `1.234,56`, `1,234.56`, `1 234,56`, `1'234.56`, `R$ 1.234,56`, `12.34USD`, `-5`: where both point and
comma are there, whichever comes last divides the decimals. Where one of them stands alone, once, it divides the
decimals too; only a comma before exactly three digits is taken for thousands (`1,234`), unless the currency has three
decimals or the number begins with a zero. What is no plain number (`1e3`, `NaN`, `inf`) is refused.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from unicodedata import normalize

from core.domain.currencies import DECIMALS
from core.domain.sources import AUTO, COMMA, MINOR

LARGEST = Decimal(10) ** 13
"""Above this an amount is refused: no table that counts it up should run over for one typing error."""

AMBIGUOUS, ROUNDED = "ambiguous", "rounded"
"""Notes: it could have been read otherwise (`1,234`, `1.234`); it had more than the six decimals that are kept."""

_LONGEST = 64
_KEPT = Decimal("0.000001")
_SYMBOLS = {
    "us$": "USD",
    "r$": "BRL",
    "€": "EUR",
    "£": "GBP",
    "₹": "INR",
    "₽": "RUB",
    "₴": "UAH",
    "₺": "TRY",
    "₫": "VND",
    "₩": "KRW",
    "₪": "ILS",
    "zł": "PLN",
    "$": "",
    "¥": "",
    "kr": "",
}
"""What stands beside a number -> the currency that it means, "" where it may be one of several."""

_SHAPE = re.compile(
    r"(?P<before>[^\d.,'+-]*)(?P<sign>[+-]?)(?P<between>[^\d.,'+-]*)(?P<number>[0-9.,' ]*[0-9])(?P<after>.*)"
)
_GROUPED = re.compile(r"\d{1,3}(?:(?P<mark>[.,' ])\d{2,3}(?:(?P=mark)\d{2,3})*)?")


class BadAmount(ValueError):
    """The text is no amount, or one that no table should hold."""


@dataclass(frozen=True, slots=True)
class Amount:
    """What was read: the value, the currency that the text itself named ("" for none), and a note ("" for none)."""

    value: Decimal
    currency: str = ""
    note: str = ""


def parse_amount(text: str, *, style: str = AUTO, currency: str = "") -> Amount:
    """Read an amount that is written in one of AMOUNT_STYLES.

    `currency` is the one that is meant unless the text names another; it says how many decimals there are. Negative
    amounts are read as such. Raises BadAmount."""
    if len(text) > _LONGEST:
        raise BadAmount("too long")
    plain = (
        normalize("NFKC", text).replace("\N{MINUS SIGN}", "-").replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    )
    plain = " ".join(plain.split())
    shape = _SHAPE.fullmatch(plain)
    if shape is None or not shape["number"].isascii():
        raise BadAmount("no number")
    named = {_named(shape[part]) for part in ("before", "between", "after")} - {None, ""}
    if len(named) > 1:
        raise BadAmount("two currencies")
    code = str(named.pop()) if named else ""
    decimals = DECIMALS.get(code or currency, 2)
    number = shape["number"].strip()
    if style == MINOR:
        value, note = _of_minor(number, decimals), ""
    else:
        value, note = _of_written(number, style, decimals)
    if value > LARGEST:
        raise BadAmount("too large")
    kept = value.quantize(_KEPT)
    if kept != value:
        note = ROUNDED
    kept = kept.quantize(Decimal(1)) if kept == kept.to_integral_value() else kept.normalize()
    return Amount(-kept if shape["sign"] == "-" and kept else kept, code, note)


def in_digits(amount: Decimal) -> str:
    """An amount in plain digits, without the zeros behind its last decimal."""
    return f"{amount.normalize():f}" if amount else "0"


def _named(beside: str) -> str | None:
    """The currency that stands beside a number, None for nothing. Raises BadAmount for anything else."""
    word = beside.strip().lower()
    if not word:
        return None
    if word in _SYMBOLS:
        return _SYMBOLS[word]
    if word.upper() in DECIMALS:
        return word.upper()
    raise BadAmount("no number")


def _of_minor(number: str, decimals: int) -> Decimal:
    if not number.isdigit():
        raise BadAmount("no whole number of cents")
    return Decimal(number).scaleb(-decimals)


def _of_written(number: str, style: str, decimals: int) -> tuple[Decimal, str]:
    mark, note = _decimal_mark(number, decimals) if style == AUTO else ("," if style == COMMA else ".", "")
    whole, found, fraction = number.rpartition(mark) if mark else (number, "", "")
    if not found:
        whole, fraction = number, ""
    if (mark and mark in whole) or (found and not fraction.isdigit()):
        raise BadAmount("no number")
    digits = whole or "0"
    if not digits.isdigit():
        if _GROUPED.fullmatch(digits) is None or not digits[-3:].isdigit():
            raise BadAmount("no number")
        digits = re.sub(r"\D", "", digits)
    return Decimal(f"{digits}.{fraction}" if fraction else digits), note


def _decimal_mark(number: str, decimals: int) -> tuple[str, str]:
    """The mark before the decimals of a number, "" where it has none, and a note."""
    point, comma = number.count("."), number.count(",")
    if point and comma:
        return ("." if number.rindex(".") > number.rindex(",") else ","), ""
    if point + comma != 1:
        return "", ""
    mark = "." if point else ","
    whole, _, fraction = number.partition(mark)
    if len(fraction) != 3 or not 1 <= len(whole) <= 3 or whole.startswith("0"):
        return mark, ""
    if decimals == 0:  # nobody writes thousandths of what has no cents
        return "", AMBIGUOUS
    return ("" if mark == "," and decimals != 3 else mark), AMBIGUOUS
