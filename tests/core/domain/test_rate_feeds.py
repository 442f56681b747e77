"""Feeds of exchange rates."""

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.rate_feeds import BadFeed, Rate, parse_feed

TODAY = date(2026, 11, 27)
DAY = date(2026, 11, 26)
ECB = b"""<?xml version="1.0" encoding="UTF-8"?>
<gesmes:Envelope xmlns:gesmes="http://www.gesmes.org/xml/2002-08-01" xmlns="http://www.ecb.int/vocabulary/2002-08-01/eurofxref">
  <gesmes:subject>Reference rates</gesmes:subject>
  <Cube><Cube time='2026-11-26'>
    <Cube currency='USD' rate='1.25'/><Cube currency='BRL' rate='6.25'/><Cube currency='XXL' rate='3'/>
  </Cube></Cube>
</gesmes:Envelope>"""


def test_it_reads_the_central_banks_list() -> None:
    rates = parse_feed(ECB, report_currency="USD", today=TODAY)
    assert rates == [Rate("EUR", DAY, Decimal("1.25")), Rate("BRL", DAY, Decimal("0.2"))]
    assert parse_feed(ECB, report_currency="EUR", today=TODAY)[0] == Rate("USD", DAY, Decimal("0.8"))


def test_it_reads_several_days() -> None:
    second = ECB.replace(
        b"</Cube></Cube>", b'</Cube><Cube time="2026-11-25"><Cube currency="USD" rate="2"/></Cube></Cube>'
    )
    days = {
        (rate.currency, rate.day): rate.rate
        for rate in parse_feed(second, report_currency="USD", today=TODAY)
    }
    assert days[("EUR", date(2026, 11, 25))] == 2


@pytest.mark.parametrize("head", [b"", b"currency,day,rate\n", b"\xef\xbb\xbfCurrency, Day, Rate\r\n"])
def test_it_reads_csv(head: bytes) -> None:
    data = head + b"BRL,2026-11-26,0.2\r\n\r\neur , 2026-11-26 , 1.25\nUSD,2026-11-26,1\n"
    assert parse_feed(data, report_currency="USD", today=TODAY) == [
        Rate("BRL", DAY, Decimal("0.2")),
        Rate("EUR", DAY, Decimal("1.25")),
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"<html></html>",
        b"<!DOCTYPE x [<!ENTITY a 'b'>]>" + ECB,
        ECB.replace(b"1.25", b"-1"),
        ECB.replace(b"1.25", b"NaN"),
        ECB.replace(b"1.25", b"1e5"),
        ECB.replace(b"1.25", b"0"),
        ECB.replace(b"2026-11-26", b"2027-11-26"),
        ECB.replace(b"2026-11-26", b"yesterday"),
        ECB.replace(b"'USD'", b"'JPY'"),
        b"BRL,2026-11-26\n",
        b"BRL,2026-11-26,0.2,x\n",
        b"BRL,26.11.2026,0.2\n",
        b"BRL,2026-11-26,0\n",
        b"BRL,2026-11-26,0.0000000000001\n",
        b"BRL,1970-01-01,0.2\n",
        b"BRL,2026-11-26,9999999999\n",
    ],
)
def test_it_takes_no_feed_that_says_what_can_not_be(data: bytes) -> None:
    with pytest.raises(BadFeed):
        parse_feed(data, report_currency="USD", today=TODAY)


@given(st.one_of(st.binary(), st.binary().map(lambda data: ECB[:300] + data + ECB[300:])))
def test_it_reads_any_bytes_or_refuses_them(data: bytes) -> None:
    try:
        rates = parse_feed(data, report_currency="USD", today=TODAY)
    except BadFeed:
        return
    assert all(rate.rate > 0 for rate in rates)
