"""What may be set of a source."""

import msgspec
import pytest

from core.domain.presets import PRESETS
from core.domain.source_checks import SourceRefused, check_currency, check_key, check_settings, wanted_headers
from core.domain.sources import COUPON, CUSTOMER, SignatureSettings, SourceSettings, settings_of, stored

FIELDS = {"click_id": ("subid",)}


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_taken_as_it_is(name: str) -> None:
    settings = PRESETS[name].settings
    assert check_settings(settings) == settings
    assert settings_of(stored(settings)) == settings


def test_it_brings_everything_into_one_spelling() -> None:
    checked = check_settings(
        SourceSettings(
            fields={
                "click_id": (" subid ", "SubID", ""),
                "event": ("Header:X-Topic",),
                "amount": ("data.price.value",),
            },
            statuses={" Approved ": "approved", "": "rejected"},
            events={"Purchase": " Sale "},
            default_event=" LEAD ",
            currency=" brl ",
            payout_kind="percent",
            payout=" 12,50 ",
            networks=("203.0.113.7", "203.0.113.7/32", " ", "10.1.2.3/8"),
            signature=SignatureSettings(header=" X-Signature ", time_header=" X-Time ", covers="time.body"),
            reply=" success=true; ",
            attribution=("click", "click"),
            campaigns=(3, 3, 1),
        )
    )
    assert checked == SourceSettings(
        fields={"click_id": ("subid",), "event": ("header:x-topic",), "amount": ("data.price.value",)},
        statuses={"approved": "approved"},
        events={"purchase": "sale"},
        default_event="lead",
        currency="BRL",
        payout_kind="percent",
        payout="12.50",
        networks=("203.0.113.7/32", "10.0.0.0/8"),
        signature=SignatureSettings(header="X-Signature", time_header="X-Time", covers="time.body"),
        reply="success=true;",
        attribution=("click",),
        campaigns=(3, 1),
    )
    assert wanted_headers(checked) == ("x-topic",)


@pytest.mark.parametrize(
    ("field", "words", "changes"),
    [
        ("fields.click_id", "click id comes in", {"fields": {}}),
        ("fields.amount", "read as click id already", {"fields": {**FIELDS, "amount": ("sum", "SUBID")}}),
        ("fields.amount", "characters that can be seen", {"fields": {**FIELDS, "amount": ("a\x00",)}}),
        ("fields.amount", "characters that can be seen", {"fields": {**FIELDS, "amount": ("a" * 201,)}}),
        ("fields.amount", "At most 30 names", {"fields": {**FIELDS, "amount": tuple(map(str, range(31)))}}),
        ("fields.event", "names no header", {"fields": {**FIELDS, "event": ("header:x topic",)}}),
        ("fields", "no field price", {"fields": {**FIELDS, "price": ("p",)}}),
        ("statuses", "can not mean “sold”", {"statuses": {"ok": "sold"}}),
        ("statuses", "twice", {"statuses": {"ok": "approved", "OK": "rejected"}}),
        ("statuses", "At most 200", {"statuses": {str(number): "approved" for number in range(201)}}),
        ("default_status", "Choose one of", {"default_status": "rebill"}),
        ("events", "An event has", {"events": {"x": "ação"}}),
        ("default_event", "An event has", {"default_event": ""}),
        ("currency", "no such currency", {"currency": "R$"}),
        ("amounts", "Choose one of", {"amounts": "cents"}),
        ("duplicates", "Choose one of", {"duplicates": "all"}),
        ("window_days", "From 1 to", {"window_days": -1}),
        ("window_days", "From 1 to", {"window_days": 3651}),
        ("payout_kind", "Choose one of", {"payout_kind": "half"}),
        ("payout", "Type a number", {"payout_kind": "fixed", "payout": "ten"}),
        ("payout", "Type a number", {"payout_kind": "fixed", "payout": "NaN"}),
        ("payout", "from 0 up", {"payout_kind": "fixed", "payout": "-1"}),
        ("payout", "six decimals", {"payout_kind": "fixed", "payout": "0.1234567"}),
        ("payout", "100 percent", {"payout_kind": "percent", "payout": "100.01"}),
        ("networks", "no address and no range", {"networks": ("203.0.113.300",)}),
        ("networks", "At most 200", {"networks": tuple(f"10.0.{n}.0/24" for n in range(201))}),
        ("signature.header", "header's name", {"signature": SignatureSettings(header="X Sig")}),
        ("signature.algorithm", "Choose", {"signature": SignatureSettings(header="X", algorithm="md5")}),
        ("signature.encoding", "Choose", {"signature": SignatureSettings(header="X", encoding="b64")}),
        ("signature.covers", "Choose", {"signature": SignatureSettings(header="X", covers="url")}),
        (
            "signature.time_header",
            "Name the header",
            {"signature": SignatureSettings(header="X", covers="time.body")},
        ),
        (
            "signature.time_header",
            "protects nothing",
            {"signature": SignatureSettings(header="X", time_header="X-Time")},
        ),
        ("signature.tolerance_s", "From 10", {"signature": SignatureSettings(header="X", tolerance_s=5)}),
        ("signature.prefix", "At most 40", {"signature": SignatureSettings(header="X", prefix="p" * 41)}),
        ("reply", "on one line", {"reply": "a\nb"}),
        ("reply", "on one line", {"reply": "ok" * 251}),
        ("attribution", "at least one", {"attribution": ()}),
        ("attribution", "Choose one of", {"attribution": ("guess",)}),
        ("model", "Choose one of", {"model": "middle"}),
    ],
)
def test_it_says_what_can_not_be_taken(field: str, words: str, changes: dict[str, object]) -> None:
    with pytest.raises(SourceRefused, match=words) as refused:
        check_settings(msgspec.structs.replace(SourceSettings(fields=FIELDS), **changes))
    assert refused.value.field == field


def test_it_needs_no_click_id_where_something_else_finds_the_click() -> None:
    settings = SourceSettings(fields={"coupon": ("code",)}, attribution=(COUPON, CUSTOMER))
    assert check_settings(settings).fields == {"coupon": ("code",)}


def test_a_payout_of_nothing_is_nothing() -> None:
    assert check_settings(SourceSettings(fields=FIELDS, payout_kind="parameter", payout="x")).payout == "0"


@pytest.mark.parametrize("text", ["", "US", "USDT", "XYZ", "€€€"])
def test_it_takes_only_currencies_that_there_are(text: str) -> None:
    with pytest.raises(SourceRefused):
        check_currency("currency", text)


def test_a_key_is_its_text() -> None:
    assert check_key(" s3cret-ção ") == "s3cret-ção".encode()
    for text in ("short", "x" * 501, "with\nnewline"):
        with pytest.raises(SourceRefused):
            check_key(text)
