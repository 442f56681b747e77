"""Postbacks as the public documentation of each network writes them, read by its preset."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

import pytest

from core.contracts.postback_event import PostbackEvent
from core.domain.preset_examples import example_body, example_query
from core.domain.presets import CLICK_ID, PRESETS, Preset, preset_of
from core.domain.reading import Reading, read

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)
POSTBACK_ID = bytes.fromhex("01998c3e7b00700080000000000000aa")
CLICK = "01998c3e-7a41-7c0e-9b52-5f0c3a1d77e4"
DASHLESS = CLICK.replace("-", "")


def read_as(preset: str, query: str = "", *, body: str = "", form: bool = False) -> Reading:
    """Read a request by a preset's settings."""
    event = PostbackEvent(
        id=POSTBACK_ID,
        method="POST" if body else "GET",
        query=query,
        body=body.encode(),
        content_type="" if not body else "application/x-www-form-urlencoded" if form else "application/json",
    )
    return read(event, PRESETS[preset].settings, now=NOW)


QUERIES = [
    # docs.keitaro.io: Postback, parameters and statuses
    (
        "keitaro",
        f"subid={CLICK}&status=sale&payout=10.5&tid=2&currency=usd",
        ("approved", "10.5", "USD", "2", "sale"),
    ),
    ("keitaro", f"subid={CLICK}&payout=10&return=OK", ("approved", "10", "", "", "sale")),
    ("keitaro", f"subid={CLICK}&status=lead&revenue=0&cost=0.2", ("pending", "0", "", "", "sale")),
    ("keitaro", f"subid={DASHLESS}&status=rejected&tid=2", ("rejected", None, "", "2", "sale")),
    ("keitaro", f"subid={CLICK}&status=rebill&payout=5&tid=3", ("approved", "5", "", "3", "sale")),
    # docs.keitaro.io: S2S postback placeholders, as a traffic source gets them
    ("keitaro", f"subid={CLICK}&status=sale&payout=12.00&tid=a1", ("approved", "12.00", "", "a1", "sale")),
    # doc.voluum.com: Parameters in postback URLs
    (
        "voluum",
        f"cid={CLICK}&payout=3.25&txid=o-17&currency=EUR&et=deposit&param1=x",
        ("approved", "3.25", "EUR", "o-17", "deposit"),
    ),
    ("voluum", f"cid={CLICK}", ("approved", None, "", "", "sale")),
    # docs.binom.org: Postback URL, conversion statuses and currencies
    ("binom", f"cnv_id={CLICK}&payout=5", ("approved", "5", "", "", "sale")),
    ("binom", f"cnv_id={CLICK}&payout=5&cnv_status=Hold", ("pending", "5", "", "", "sale")),
    (
        "binom",
        f"cnv_id={CLICK}&payout=7,5&cnv_status=approve&cnv_currency=EUR&event1=15",
        ("approved", "7.5", "EUR", "", "sale"),
    ),
    ("binom", f"cnv_id={CLICK}&cnv_status=trash", ("rejected", None, "", "", "sale")),
    # help.redtrack.io: postback URL
    ("redtrack", f"clickid={CLICK}&sum=12.5&type=Purchase", ("approved", "12.5", "", "", "purchase")),
    ("redtrack", f"clickid={CLICK}&sum=12.5&type=Lead&status=pending", ("pending", "12.5", "", "", "lead")),
    # helpdesk.everflow.io: the advertiser's postback, and a partner's
    (
        "everflow",
        f"nid=617&transaction_id={DASHLESS}&amount=12,34&adv_event_id=4&adv1=o-9&verification_token=x",
        ("approved", "12.34", "", "", "4"),
    ),
    (
        "everflow",
        f"sub1={CLICK}&tid=56d75d3a4d6e433fb215698c056d0d58&amount=8&event=Base",
        ("approved", "8", "", "56d75d3a4d6e433fb215698c056d0d58", "base"),
    ),
    (
        "everflow",
        f"sub1={CLICK}&transaction_id=56d75d3a4d6e433fb215698c056d0d58&amount=8",
        ("approved", "8", "", "", "sale"),
    ),
    # TUNE: server postback, and a partner's with its macros filled in
    (
        "tune",
        f"offer_id=12&transaction_id={CLICK}&amount=49.90&adv_sub=AR-118402&security_token=x",
        ("approved", "49.90", "", "AR-118402", "sale"),
    ),
    (
        "tune",
        f"aff_sub={CLICK}&tid=1027c887059b47bc69c699f45466b9&amount=1.50&currency=BRL&status=pending",
        ("pending", "1.50", "BRL", "1027c887059b47bc69c699f45466b9", "sale"),
    ),
    # developer.awin.com: Transaction notifications, request types
    (
        "awin",
        f"clickref={CLICK}&transaction_id=259630312&commission=1.64&currency=GBP&sale=16.40",
        ("pending", "1.64", "GBP", "259630312", "sale"),
    ),
    (
        "awin",
        f"clickRef={CLICK}&transactionId=259630312&commission=1.64&transactionCurrency=GBP",
        ("pending", "1.64", "GBP", "259630312", "sale"),
    ),
    # support.clickbank.com: Postback/Pixels guide, transaction types
    (
        "clickbank",
        f"tid={CLICK}&order_id=8YBKL3ED&amount=34.55&currency=USD&type=SALE",
        ("approved", "34.55", "USD", "8YBKL3ED", "sale"),
    ),
    (
        "clickbank",
        f"tid={CLICK}&receipt=8YBKL3ED-B002&amount=19.00&type=BILL",
        ("approved", "19.00", "USD", "8YBKL3ED-B002", "sale"),
    ),
    (
        "clickbank",
        f"tid={CLICK}&order_id=8YBKL3ED&amount=-34.55&type=RFND",
        ("refunded", "34.55", "USD", "8YBKL3ED", "sale"),
    ),
    (
        "clickbank",
        f"tid={CLICK}&order_id=8YBKL3ED&type=TEST_SALE",
        ("ignore", None, "USD", "8YBKL3ED", "sale"),
    ),
    # a shop of one's own
    (
        "plain",
        f"clickid={CLICK}&pedido=AR-2026-118402&valor=2.199,00&moeda=brl&status=aprovado",
        ("approved", "2199.00", "BRL", "AR-2026-118402", "sale"),
    ),
    ("plain", f"subid={CLICK}&sum=10&tid=7&et=lead", ("approved", "10", "", "7", "lead")),
    ("plain", f"cnv_id={CLICK}&payout=1&cnv_status=hold", ("pending", "1", "", "", "sale")),
    (
        "plain",
        f"rastro_id={CLICK}&total=9.99&order_id=5&currency=EUR&coupon=NATAL",
        ("approved", "9.99", "EUR", "5", "sale"),
    ),
]


@pytest.mark.parametrize(("preset", "query", "expected"), QUERIES)
def test_it_reads_what_the_network_sends(
    preset: str, query: str, expected: tuple[str, str | None, str, str, str]
) -> None:
    status, amount, currency, transaction, event = expected
    for reading in (read_as(preset, query), read_as(preset, body=query, form=True)):
        assert reading.click_id == CLICK
        assert (reading.status, reading.currency) == (status, currency)
        assert reading.amount == (None if amount is None else Decimal(amount))
        assert (reading.transaction_id, reading.event) == (transaction, event)


def test_rebills_are_told_from_first_sales() -> None:
    assert read_as("keitaro", f"subid={CLICK}&status=rebill&tid=3").is_rebill
    assert read_as("clickbank", f"tid={CLICK}&receipt=R&amount=1&type=BILL").is_rebill
    assert not read_as("clickbank", f"tid={CLICK}&receipt=R&amount=1&type=SALE").is_rebill


HOTMART: dict[str, Any] = {
    "id": "00907e72-2694-4d21-ae59-bee19e74f030",
    "creation_date": 1729032673904,
    "event": "PURCHASE_APPROVED",
    "version": "2.0.0",
    "data": {
        "product": {"id": 0, "name": "Produto test postback2"},
        "commissions": [{"currency_value": "BRL", "source": "MARKETPLACE", "value": 149.5}],
        "purchase": {
            "order_date": 1511783344000,
            "original_offer_price": {"currency_value": "BRL", "value": 1500},
            "price": {"currency_value": "BRL", "value": 1500.5},
            "sckPaymentLink": CLICK,
            "payment": {"installments_number": 12, "type": "CREDIT_CARD"},
            "transaction": "HP16015479281022",
            "status": "APPROVED",
        },
        "subscription": {"subscriber": {"code": "I9OT62C3"}, "status": "ACTIVE"},
    },
}
"""As developers.hotmart.com shows a webhook of version 2.0.0, shortened."""


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ("PURCHASE_APPROVED", "approved"),
        ("PURCHASE_COMPLETE", "approved"),
        ("PURCHASE_BILLET_PRINTED", "pending"),
        ("PURCHASE_CANCELED", "rejected"),
        ("PURCHASE_REFUNDED", "refunded"),
        ("PURCHASE_CHARGEBACK", "refunded"),
        ("PURCHASE_PROTEST", "ignore"),
        ("SUBSCRIPTION_CANCELLATION", "ignore"),
    ],
)
def test_it_reads_hotmart(event: str, status: str) -> None:
    reading = read_as("hotmart", body=json.dumps({**HOTMART, "event": event}))
    assert (reading.click_id, reading.status) == (CLICK, status)
    assert (reading.amount, reading.currency) == (Decimal("1500.5"), "BRL")
    assert (reading.transaction_id, reading.customer_id) == ("HP16015479281022", "I9OT62C3")
    assert reading.problems == ()


@pytest.mark.parametrize(
    "place",
    [
        {"tracking": {"source_sck": CLICK, "source": "newsletter"}},
        {"tracking": {"source": CLICK}},
        {"origin": {"xcod": "x", "sck": CLICK}},
    ],
)
def test_it_finds_the_click_id_wherever_hotmart_puts_it(place: dict[str, Any]) -> None:
    purchase = {"transaction": "HP1", "price": {"value": 10, "currency_value": "BRL"}, **place}
    body = json.dumps({"event": "PURCHASE_APPROVED", "data": {"purchase": purchase}})
    assert read_as("hotmart", body=body).click_id == CLICK


@pytest.mark.parametrize(
    ("said", "status"),
    [
        ("paid", "approved"),
        ("pending", "pending"),
        ("authorized", "pending"),
        ("voided", "rejected"),
        ("refunded", "refunded"),
    ],
)
def test_it_reads_an_order_of_shopify(said: str, status: str) -> None:
    order = {
        "id": 820982911946154508,
        "email": "jon@example.com",
        "name": "#9999",
        "total_price": "1199.00",
        "currency": "BRL",
        "financial_status": said,
        "note_attributes": [
            {"name": "gift", "value": "yes"},
            {"name": "clickid", "value": CLICK.upper()},
        ],
        "customer": {"id": 115310627314723954},
        "discount_codes": [{"code": "NATAL10", "amount": "10.00", "type": "percentage"}],
    }
    reading = read_as("shopify", body=json.dumps(order))
    assert (reading.click_id, reading.status) == (CLICK, status)
    assert (reading.amount, reading.currency) == (Decimal("1199.00"), "BRL")
    assert reading.transaction_id == "820982911946154508"
    assert (reading.customer_id, reading.coupon) == ("115310627314723954", "natal10")
    assert reading.problems == ()


def test_an_order_without_a_payment_is_not_taken_for_a_sale() -> None:
    body = json.dumps({"id": 1, "note_attributes": [{"name": "clickid", "value": CLICK}]})
    assert [problem.code for problem in read_as("shopify", body=body).problems] == ["unknown_status"]


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_its_own_example_says_everything(preset: Preset) -> None:
    query = example_query(preset.query, preset.settings, click_id=CLICK)
    body = example_body(preset.body, click_id=CLICK)
    assert bool(query) != bool(body)
    reading = read_as(preset.name, query, body=body)
    assert reading.problems == ()
    assert reading.click_id == CLICK
    assert reading.status in ("approved", "pending")
    assert reading.amount is not None and reading.amount > 0
    assert reading.transaction_id or preset.name in ("binom", "redtrack")


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_what_is_pasted_without_being_filled_in_names_no_click(preset: Preset) -> None:
    reading = read_as(preset.name, preset.query, body=preset.body)
    assert reading.click_id == ""
    assert reading.click_problem == "literal_macro"
    assert not reading.transaction_id or preset.body


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_every_name_that_is_pasted_is_read(preset: Preset) -> None:
    names = {name for names in preset.settings.fields.values() for name in names}
    pasted = {name for name, _ in parse_qsl(preset.query)}
    assert pasted - names <= {"sale"}
    assert not preset.body or CLICK_ID in preset.body


def test_a_preset_that_is_gone_is_the_plain_one() -> None:
    assert preset_of("something-older").name == "plain"
