"""Amounts as networks write them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.amounts import LARGEST, BadAmount, in_digits, parse_amount
from core.domain.sources import AMOUNT_STYLES, AUTO, COMMA, MINOR, POINT


@pytest.mark.parametrize(
    ("text", "value", "note"),
    [
        ("12.34", "12.34", ""),
        ("12,34", "12.34", ""),
        ("1.234,56", "1234.56", ""),
        ("1,234.56", "1234.56", ""),
        ("1 234,56", "1234.56", ""),
        ("1\u00a0234,56", "1234.56", ""),
        ("1\u202f234,56", "1234.56", ""),
        ("1'234.56", "1234.56", ""),
        ("1\u2019234.56", "1234.56", ""),
        ("1,234,567", "1234567", ""),
        ("1.234.567", "1234567", ""),
        ("1,23,456.78", "123456.78", ""),
        ("1,234", "1234", "ambiguous"),
        ("1.234", "1.234", "ambiguous"),
        ("0,123", "0.123", ""),
        ("1234,567", "1234.567", ""),
        ("1,2", "1.2", ""),
        (".5", "0.5", ""),
        ("007", "7", ""),
        ("0", "0", ""),
        ("-0", "0", ""),
        ("-5", "-5", ""),
        ("\u2212 5", "-5", ""),
        ("+5", "5", ""),
        ("0.0012345678", "0.001235", "rounded"),
        ("  12.34\n", "12.34", ""),
        ("\uff11\uff12.\uff13", "12.3", ""),
        ("10000000000000", "10000000000000", ""),
    ],
)
def test_it_reads_what_is_written(text: str, value: str, note: str) -> None:
    read = parse_amount(text)
    assert (read.value, read.currency, read.note) == (Decimal(value), "", note)


@pytest.mark.parametrize(
    ("text", "value", "currency"),
    [
        ("R$ 1.234,56", "1234.56", "BRL"),
        ("12.34USD", "12.34", "USD"),
        ("12.34 eur", "12.34", "EUR"),
        ("US$1,000.00", "1000", "USD"),
        ("\u20ac5", "5", "EUR"),
        ("5 \u20ac", "5", "EUR"),
        ("BRL 5", "5", "BRL"),
        ("R$ 5 BRL", "5", "BRL"),
        ("R$ -5", "-5", "BRL"),
        ("$12", "12", ""),
        ("100 kr", "100", ""),
    ],
)
def test_it_reads_the_currency_that_stands_beside(text: str, value: str, currency: str) -> None:
    read = parse_amount(text)
    assert (read.value, read.currency) == (Decimal(value), currency)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "abc",
            "1e3",
            "1E3",
            "NaN",
            "nan",
            "inf",
            "-inf",
            "Infinity",
            "0x10",
            "12.34.56,7",
            "1,2,3",
        ),
        *(
            "12,34,56",
            "1.2.3",
            "--5",
            "5-",
            "(5)",
            "5%",
            "{payout}",
            "$",
            "1 USD EUR",
            "USD 1 EUR",
            "1/2",
            "\u00bd",
        ),
        *(
            "12.34.",
            ",",
            ".",
            "1,,2",
            "1..2",
            "9" * 20,
            "100000000000000000",
            "1" * 65,
            "\u0661\u0662",
            "12;34",
            "1_000",
        ),
        *("1.234,5,6", "1,234.5.6", "true", "5\x00", "12 34 56"),
    ],
)
def test_it_refuses_what_is_no_amount(text: str) -> None:
    for style in AMOUNT_STYLES:
        with pytest.raises(BadAmount):
            parse_amount(text, style=style)


@pytest.mark.parametrize(
    ("text", "style", "currency", "value"),
    [
        ("1,234", POINT, "", "1234"),
        ("1,234", COMMA, "", "1.234"),
        ("1.234", COMMA, "", "1234"),
        ("1.234", POINT, "", "1.234"),
        ("1,234", AUTO, "KWD", "1.234"),
        ("12.990", AUTO, "CLP", "12990"),
        ("1,234", AUTO, "JPY", "1234"),
        ("1.234.567", AUTO, "VND", "1234567"),
        ("150.00", AUTO, "JPY", "150"),
        ("12.990", POINT, "CLP", "12.990"),
        ("1234", MINOR, "USD", "12.34"),
        ("-1234", MINOR, "USD", "-12.34"),
        ("1234", MINOR, "JPY", "1234"),
        ("1234", MINOR, "KWD", "1.234"),
        ("1234 JPY", MINOR, "USD", "1234"),
    ],
)
def test_it_reads_as_its_source_writes(text: str, style: str, currency: str, value: str) -> None:
    assert parse_amount(text, style=style, currency=currency).value == Decimal(value)


@pytest.mark.parametrize(
    ("text", "style"),
    [("12.34", MINOR), ("1,234", MINOR), ("12,34", POINT), ("12.34", COMMA), ("1.5", COMMA)],
)
def test_it_refuses_what_its_source_never_writes(text: str, style: str) -> None:
    with pytest.raises(BadAmount):
        parse_amount(text, style=style)


@given(st.text(), st.sampled_from(AMOUNT_STYLES))
def test_it_reads_any_text_or_refuses_it(text: str, style: str) -> None:
    try:
        read = parse_amount(text, style=style)
    except BadAmount:
        return
    assert read.value.is_finite()
    assert abs(read.value) <= LARGEST


@given(st.decimals(min_value=0, max_value=LARGEST, places=2))
def test_it_reads_what_people_and_machines_make_of_a_number(value: Decimal) -> None:
    english = f"{value:,.2f}"
    german = english.translate(str.maketrans(",.", ".,"))
    for text in (f"{value:.2f}", english, german, english.replace(",", "'"), german.replace(".", " ")):
        assert parse_amount(text).value == value


@pytest.mark.parametrize(
    ("value", "text"),
    [("12.340000", "12.34"), ("100", "100"), ("0.000000", "0"), ("1E+3", "1000"), ("-5.50", "-5.5")],
)
def test_it_writes_amounts_in_plain_digits(value: str, text: str) -> None:
    assert in_digits(Decimal(value)) == text
