"""How postbacks are read: every way that parameters come, and everything that can be wrong with them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from core.contracts.postback_event import PostbackEvent
from core.domain.reading import Line, Problem, Reading, from_stored, read, terms_of, to_stored
from core.domain.sources import SignatureSettings, SourceSettings

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
POSTBACK_ID = int(NOW.timestamp() * 1000).to_bytes(6, "big") + b"\x70\x01\x80" + bytes(7)
ID = "0190f3a0-7c1e-7abc-8def-0123456789ab"
SETTINGS = SourceSettings(
    fields={
        "click_id": ("subid", "clickid", "order.note_attributes[name=clickid].value", "header:x-click"),
        "transaction_id": ("tid", "order.id"),
        "amount": ("payout", "revenue", "order.total"),
        "currency": ("currency", "order.currency"),
        "status": ("status",),
        "event": ("goal",),
        "payout": ("paid",),
        "cost": ("cost",),
        "customer_id": ("customer",),
        "coupon": ("coupon", "order.codes.0"),
        "time": ("time",),
    },
    statuses={
        "sale": "approved",
        "lead": "pending",
        "rebill": "rebill",
        "test": "ignore",
        "refund": "refunded",
    },
    events={"ftd": "deposit"},
    currency="BRL",
)


def reading(
    query: str = "", *, settings: SourceSettings = SETTINGS, id_: bytes = POSTBACK_ID, **event: Any
) -> Reading:
    return read(PostbackEvent(id=id_, query=query, **event), settings, now=NOW)


def codes(found: Reading) -> list[tuple[str, str]]:
    return [(problem.code, problem.field) for problem in found.problems]


@pytest.mark.parametrize("kind", ["postback", "pixel", "script"])
def test_it_reads_only_what_is_signed(kind: str) -> None:
    """Else whoever has seen one signed request could send it again with values of his own."""
    signed = msgspec.structs.replace(SETTINGS, signature=SignatureSettings(header="x-signature"))
    body = b'{"order": {"id": "A-1", "total": "398.00"}}'
    forged = "tid=NEW&payout=99999"
    found = reading(
        forged, settings=signed, kind=kind, method="POST", body=body, content_type="application/json"
    )
    assert (found.transaction_id, found.amount) == ("A-1", Decimal("398.00"))
    found = reading("tid=A-1&payout=398", settings=signed, kind=kind, body=b"tid=&payout=99999&subid=x")
    assert (found.transaction_id, found.amount, found.click_id) == ("A-1", Decimal(398), "")
    assert reading(forged, kind=kind, method="POST", body=body).amount == Decimal(99999)


def test_no_header_wins_over_what_is_signed() -> None:
    fields = {"amount": ("header:x-amount", "total"), "transaction_id": ("id",)}
    plain = SourceSettings(fields=fields, currency="USD")
    signed = msgspec.structs.replace(plain, signature=SignatureSettings(header="x-signature"))
    came: dict[str, Any] = {"method": "POST", "headers": (("x-amount", "99999"),)}
    assert reading(settings=signed, body=b'{"id": 1, "total": "5"}', **came).amount == Decimal(5)
    assert reading(settings=signed, body=b'{"id": 1}', **came).amount == Decimal(99999)
    assert reading(settings=plain, body=b'{"id": 1, "total": "5"}', **came).amount == Decimal(99999)


def test_it_reads_all_of_an_upload_whose_source_signs() -> None:
    signed = msgspec.structs.replace(SETTINGS, signature=SignatureSettings(header="x-signature"))
    assert reading("tid=A-1", settings=signed, kind="upload", method="POST").transaction_id == "A-1"


def test_it_reads_a_postback() -> None:
    found = reading(
        f"subid={ID}&status=sale&payout=12%2C34&currency=usd&tid=A-1&goal=FTD&paid=3&cost=0.5"
        "&customer=c7&coupon=SPRING&sub1=a+b&time=1795780800"
    )
    assert msgspec.structs.replace(found, lines=()) == Reading(
        at=datetime(2026, 11, 27, 12, tzinfo=UTC),
        click_id=ID,
        transaction_id="A-1",
        event="deposit",
        status="approved",
        amount=Decimal("12.34"),
        currency="USD",
        payout=Decimal(3),
        cost=Decimal("0.5"),
        customer_id="c7",
        coupon="spring",
        fields={"sub1": "a b"},
    )


def test_it_says_what_it_made_of_every_parameter_and_which_defaults_it_used() -> None:
    found = reading(f"subid={ID}&payout=1,234&payout=5&x=y")
    assert found.lines == (
        Line("subid", ID, "click_id", ID),
        Line("payout", "1,234", "amount", "1234", "ambiguous"),
        Line("payout", "5", note="repeated"),
        Line("x", "y"),
        Line(read_as="status", result="approved", note="default"),
        Line(read_as="currency", result="BRL", note="default"),
        Line(read_as="event", result="sale", note="default"),
    )


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"query": "clickid=&subid=&clickid=7"}, "clickid"),
        ({"query": "CLICKID=7"}, "clickid"),
        ({"query": "&&=&clickid=7&"}, "clickid"),
        (
            {"body": b"clickid=7", "content_type": "application/x-www-form-urlencoded; charset=utf-8"},
            "clickid",
        ),
        ({"body": b"clickid=7"}, "clickid"),
        ({"body": b'{"clickid": 7}', "content_type": "application/json"}, "clickid"),
        ({"body": b'\xef\xbb\xbf{"clickid": 7}', "content_type": "application/vnd.api+json"}, "clickid"),
        ({"body": b'{"clickid": 7}', "content_type": "text/plain"}, "clickid"),
        (
            {
                "body": b'{"order":{"note_attributes":[{"name":"x","value":1},{"name":"ClickID","value":"7"}]}}'
            },
            "list",
        ),
        ({"headers": (("X-Click", "7"),)}, "header"),
        ({"query": "subid=%20", "body": b"clickid=7"}, "clickid"),
    ],
)
def test_it_finds_a_parameter_wherever_it_comes(event: dict[str, Any], expected: str) -> None:
    fields = {**SETTINGS.fields, "transaction_id": SETTINGS.fields["click_id"], "click_id": ()}
    found = reading(settings=msgspec.structs.replace(SETTINGS, fields=fields), **event)
    assert (found.transaction_id, expected) == ("7", expected)


def test_it_reads_numbers_of_json_as_they_are_written() -> None:
    body = b'{"order":{"id":820982911946154508123,"total":0.1000000000000000055,"currency":"EUR","codes":["Ab"]}}'
    found = reading(body=body)
    assert (found.transaction_id, found.amount, found.currency) == (
        "820982911946154508123",
        Decimal("0.1"),
        "EUR",
    )
    assert found.coupon == "ab"
    assert found.fields == {}


@pytest.mark.parametrize(
    ("query", "problem", "value"),
    [
        ("payout=NaN", ("bad_amount", "amount"), "NaN"),
        ("payout=-5", ("bad_amount", "amount"), "-5"),
        ("payout=%7Bpayout%7D", ("bad_amount", "amount"), "{payout}"),
        ("payout=5+EUR&currency=USD", ("bad_amount", "amount"), "5 EUR"),
        ("cost=x", ("bad_amount", "cost"), "x"),
        ("paid=x", ("bad_amount", "payout"), "x"),
        ("payout=5&currency=DOGE", ("unknown_currency", "currency"), "DOGE"),
        ("currency=%7Bcur%7D", ("unknown_currency", "currency"), "{CUR}"),
        ("status=Maybe", ("unknown_status", "status"), "maybe"),
        ("tid=%ff%fe", ("broken_encoding", "transaction_id"), "\ufffd\ufffd"),
    ],
)
def test_it_names_what_can_not_be_read(query: str, problem: tuple[str, str], value: str) -> None:
    found = reading(query)
    assert found.problems == (Problem(*problem, value),)
    assert found.unreadable == found.problems[0]


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("subid=", "empty_click_id"),
        ("subid=%7Bsubid%7D", "literal_macro"),
        ("subid=1234", "bad_click_id"),
    ],
)
def test_it_says_why_there_is_no_click_id(query: str, problem: str) -> None:
    found = reading(query)
    assert (codes(found), found.click_problem, found.unreadable) == ([(problem, "click_id")], problem, None)


def test_it_takes_an_unfilled_macro_for_nothing() -> None:
    found = reading(
        f"subid={ID}&tid=%7Btransaction_id%7D&customer=[customer]&coupon=%23%23code%23%23&goal=%7Bgoal%7D"
    )
    assert (found.transaction_id, found.customer_id, found.coupon, found.event) == ("", "", "", "sale")
    assert found.problems == ()
    assert [line.note for line in found.lines[1:5]] == ["literal_macro"] * 4


@pytest.mark.parametrize(
    ("query", "status", "is_rebill"),
    [
        ("status=sale", "approved", False),
        ("status=+LEAD+", "pending", False),
        ("status=rebill", "approved", True),
        ("status=test", "ignore", False),
        ("status=", "approved", False),
        ("", "approved", False),
    ],
)
def test_it_maps_statuses(query: str, status: str, is_rebill: bool) -> None:
    found = reading(query)
    assert (found.status, found.is_rebill) == (status, is_rebill)


def test_it_speaks_our_words_where_a_source_has_none() -> None:
    plain = msgspec.structs.replace(SETTINGS, statuses={}, default_status="pending")
    said = [reading(query, settings=plain).status for query in ("status=Rejected", "", "status=sale")]
    assert said == ["rejected", "pending", ""]


def test_it_wants_a_status_where_there_is_no_default() -> None:
    strict = msgspec.structs.replace(SETTINGS, default_status="")
    assert codes(reading("", settings=strict)) == [("unknown_status", "status")]


def test_it_takes_a_negative_amount_of_a_refund_as_its_size() -> None:
    found = reading("status=refund&payout=-12.50")
    assert (found.amount, found.problems) == (Decimal("12.50"), ())


@pytest.mark.parametrize(
    ("query", "amount", "currency"),
    [
        ("payout=5", "5", "BRL"),
        ("payout=5&currency=eur", "5", "EUR"),
        ("payout=5+EUR", "5", "EUR"),
        ("payout=5+EUR&currency=EUR", "5", "EUR"),
        ("payout=%E2%82%AC5", "5", "EUR"),
        ("payout=&revenue=7", "7", "BRL"),
    ],
)
def test_it_knows_the_currency_of_an_amount(query: str, amount: str, currency: str) -> None:
    found = reading(query)
    assert (found.amount, found.currency) == (Decimal(amount), currency)


@pytest.mark.parametrize(
    ("time", "at"),
    [
        ("1795780700", NOW - timedelta(seconds=100)),
        ("1795780700123", NOW - timedelta(seconds=100) + timedelta(milliseconds=123)),
        ("2026-11-27T11:00:00Z", NOW - timedelta(hours=1)),
        ("2026-11-27T09:00:00-03:00", NOW),
        ("2026-11-27 11:00:00", NOW - timedelta(hours=1)),
        ("2026/11/27 11:00", NOW - timedelta(hours=1)),
        ("2126-11-27", NOW),
        ("1970-01-01", NOW),
        ("yesterday", NOW),
        ("99999999999999", NOW),
    ],
)
def test_it_reads_the_time_or_takes_that_of_receipt(time: str, at: datetime) -> None:
    assert reading(f"time={time.replace(' ', '+')}").at == at


@pytest.mark.parametrize("id_", [bytes(16), b"\xff" * 16])
def test_it_takes_an_impossible_time_of_receipt_for_now(id_: bytes) -> None:
    assert reading(id_=id_).at == NOW


def test_it_replaces_broken_encodings_and_says_so() -> None:
    found = reading("sub1=caf%e9&sub2=a%00b&sub3=%zz&sub4=%E2%82")
    assert [(line.value, line.note) for line in found.lines[:4]] == [
        ("caf\ufffd", "broken_encoding"),
        ("a\ufffdb", "control_characters"),
        ("%zz", ""),
        ("\ufffd", "broken_encoding"),
    ]


def test_it_tells_long_transactions_apart_by_all_of_them() -> None:
    first, second = (reading(f"tid={'x' * 300}{end}").transaction_id for end in "ab")
    assert first != second
    assert max(len(first), len(second)) <= 200


@pytest.mark.parametrize(
    ("event", "problem"),
    [
        ({"query": "&".join(f"p{n}={n}" for n in range(201))}, "too_many_parameters"),
        ({"body": b'{"a":' * 2000, "content_type": "application/json"}, "broken_body"),
        ({"body": b"[" * 60_000}, "broken_body"),
        ({"body": b'{"a": "b', "content_type": "application/json"}, "broken_body"),
        ({"body": b"<xml/>", "content_type": "text/xml"}, "unknown_body"),
        ({"body": b"[" + b"1," * 9000 + b"1]"}, "too_many_parameters"),
    ],
)
def test_it_bounds_what_it_reads(event: dict[str, Any], problem: str) -> None:
    found = reading(**event)
    assert [one.code for one in found.problems] == [problem]
    assert len(found.lines) <= 205


def test_it_finds_a_mapped_leaf_of_a_large_document() -> None:
    items = ",".join(f'{{"sku":"{n}"}}' for n in range(1000))
    found = reading(body=f'{{"items":[{items}],"order":{{"id":7,"total":"5.00"}}}}'.encode())
    assert (found.transaction_id, found.amount) == ("7", 5)
    assert [line.read_as for line in found.lines if line.read_as and line.name] == [
        "transaction_id",
        "amount",
    ]


def test_it_is_stored_and_read_back() -> None:
    found = reading(f"subid={ID}&payout=12.34&tid=A&x=y&status=nope&time=1795780700")
    assert from_stored(msgspec.json.decode(msgspec.json.encode(to_stored(found)))) == found
    assert from_stored({}) is None


def test_it_is_found_by_its_values() -> None:
    found = reading(f"subid={ID.upper()}&tid=ORDER-7&x=Y&long={'z' * 101}&empty=")
    assert terms_of(found) == [ID, "order-7", "y"]


_bytes = st.binary(max_size=300)
_texts = st.text(max_size=100)


def _as_json(text: str) -> bytes:
    return f'{{"tid":"{text}"}}'.encode("utf-8", "surrogatepass")


@given(
    query=st.one_of(_texts, _bytes.map(lambda data: data.decode("latin-1"))),
    body=st.one_of(_bytes, _bytes.map(lambda data: b"{" + data), _texts.map(_as_json)),
    content_type=st.sampled_from(
        ["", "application/json", "application/x-www-form-urlencoded", "text/plain", "x"]
    ),
    headers=st.lists(st.tuples(_texts, _texts), max_size=3).map(tuple),
    id_=st.binary(min_size=16, max_size=16),
    style=st.sampled_from(["auto", "point", "comma", "minor"]),
)
@example("subid=%00%ff&payout=%00", b'{"tid":"\\ud800"}', "application/json", (), bytes(16), "auto")
def test_it_reads_anything_and_any_table_can_hold_it(
    query: str,
    body: bytes,
    content_type: str,
    headers: tuple[tuple[str, str], ...],
    id_: bytes,
    style: str,
) -> None:
    names = ("subid", "tid", "payout", "status", "time", "x-click")
    known = {"click_id": names, "transaction_id": names, "amount": names, "coupon": names, "time": names}
    settings = SourceSettings(fields=known, amounts=style)
    found = reading(query, settings=settings, id_=id_, body=body, content_type=content_type, headers=headers)
    stored = msgspec.json.encode(to_stored(found)).decode()
    assert "\\u0000" not in stored
    assert from_stored(msgspec.json.decode(stored)) == found
    assert "\0" not in "".join(terms_of(found))
