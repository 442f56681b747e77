"""What an outgoing postback says: each macro, and that no value breaks out of the place where it stands."""

import json
from decimal import Decimal
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.outgoing import (
    ALIASES,
    MACROS,
    SAMPLE,
    Facts,
    build,
    check_url,
    external_id,
    fill_body,
    fill_header,
    fill_url,
    params_of,
    plain_amount,
    unknown_macros,
)
from core.domain.sending import FORM, JSON, TEXT, SendingSettings
from core.domain.urls import DestinationRefused

FACTS = Facts(
    values={"click_id": "c-1", "transaction_id": "AR 1/2&x=ü", "amount": "129.90", "status": "approved"},
    params={"gclid": "Cj0K+/=", "extra": "a=1&b=2"},
    fields={"shop.name": 'São "Tomé"'},
)


@pytest.mark.parametrize(
    ("template", "filled"),
    [
        ("https://h.example/", "https://h.example/"),
        ("https://h.example/?a={click_id}", "https://h.example/?a=c-1"),
        ("https://h.example/?a={CLICKID}&b={subid}&c={cid}", "https://h.example/?a=c-1&b=c-1&c=c-1"),
        ("https://h.example/?o={order}", "https://h.example/?o=AR%201%2F2%26x%3D%C3%BC"),
        ("https://h.example/{transaction_id}/x", "https://h.example/AR%201%2F2%26x%3D%C3%BC/x"),
        ("https://h.example/?o={_order}", "https://h.example/?o=AR%201/2&x=%C3%BC"),
        ("https://h.example/?g={param:gclid}", "https://h.example/?g=Cj0K%2B%2F%3D"),
        ("https://h.example/?{_param:extra}", "https://h.example/?a=1&b=2"),
        ("https://h.example/?f={field:shop.name}", "https://h.example/?f=S%C3%A3o%20%22Tom%C3%A9%22"),
        ("https://h.example/?n={nothing}&m={param:none}&k={payout}", "https://h.example/?n=&m=&k="),
        ("https://h.example/?j={}&k={ x }&l={1}", "https://h.example/?j={}&k={ x }&l={1}"),
        ("https://{click_id}.example/{click_id}", "https://{click_id}.example/c-1"),
        ("https://h.example?a={click_id}#{click_id}", "https://h.example?a=c-1#c-1"),
    ],
)
def test_it_fills_in_an_address(template: str, filled: str) -> None:
    assert fill_url(template, FACTS) == filled


def test_it_fills_in_a_body_by_its_type() -> None:
    name = {"n": "{field:shop.name}", "a": "{amount}"}
    assert json.loads(fill_body(json.dumps(name), FACTS, content_type=JSON)) == {
        "n": 'São "Tomé"',
        "a": "129.90",
    }
    assert fill_body('{"amount": {amount}}', FACTS, content_type=JSON) == '{"amount": 129.90}'
    assert (
        fill_body("o={order}&a={_order}", FACTS, content_type=FORM) == "o=AR+1%2F2%26x%3D%C3%BC&a=AR 1/2&x=ü"
    )
    assert fill_body("{field:shop.name}!", FACTS, content_type=TEXT) == 'São "Tomé"!'


def test_it_builds_what_is_sent() -> None:
    settings = SendingSettings(method="POST", headers=(("X-Click", "{click_id}"),))
    request = build(
        url="https://h.example/?a={amount}", body='{"id": "{cid}"}', settings=settings, facts=FACTS
    )
    assert request.url == "https://h.example/?a=129.90"
    assert request.headers == (("X-Click", "c-1"), ("Content-Type", "application/json; charset=utf-8"))
    assert request.body == request.covered == '{"id": "c-1"}'
    got = build(
        url="https://h.example/?a={amount}#x", body="left out", settings=SendingSettings(), facts=FACTS
    )
    assert (got.method, got.body, got.headers, got.covered) == ("GET", "", (), "a=129.90")


def test_it_says_which_macros_are_none() -> None:
    assert unknown_macros("https://h.example/{click_id}?a={Clickid}&b={param:x}&c={field:y}&d={_cost}") == []
    found = unknown_macros("https://h.example/?a={click}&b={click}", '{"x": "{params:x}", "y": "{param}"}')
    assert found == ["{click}", "{params:x}", "{param}"]


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "empty"),
        ("ftp://h.example/", "scheme"),
        ("h.example/in", "no_scheme"),
        ("https://{param:host}/in", "host"),
        ("https://h.example:{cost}/", "host"),
        ("https://user:word@h.example/", "user_info"),
        ("https://h.example/a b", "characters"),
        ("{click_id}", "host"),
    ],
)
def test_it_refuses_an_address_that_can_not_be_called(url: str, reason: str) -> None:
    with pytest.raises(DestinationRefused) as refused:
        check_url(url)
    assert refused.value.reason == reason


def test_it_takes_an_address_with_macros() -> None:
    url = "https://h.example/in?id={click_id}&g={param:gclid}&x={_field:a}"
    assert check_url(f" {url} ") == url


values = st.text(max_size=60)


@given(values)
def test_a_value_stays_one_parameter_of_an_address(value: str) -> None:
    facts = Facts(values={}, params={"p": value})
    filled = fill_url("https://h.example/in?a={param:p}&b=1", facts)
    parts = urlsplit(filled)
    assert (parts.scheme, parts.netloc, parts.path, parts.fragment) == ("https", "h.example", "/in", "")
    kept = value.encode("utf-8", "replace").decode()
    assert parse_qsl(parts.query, keep_blank_values=True) == [("a", kept), ("b", "1")]


@given(values)
def test_a_raw_value_never_changes_where_a_request_goes(value: str) -> None:
    filled = fill_url("https://h.example{_param:p}/x", Facts(values={}, params={"p": value}))
    assert filled.startswith("https://h.example{_param:p}/")
    filled = fill_url("https://h.example/{_param:p}", Facts(values={}, params={"p": value}))
    assert filled.startswith("https://h.example/")
    assert filled.isascii() and filled.isprintable() and " " not in filled


@given(values)
def test_a_value_stays_one_string_of_json(value: str) -> None:
    facts = Facts(values={}, fields={"f": value})
    filled = fill_body('{"a": "{field:f}", "b": 1}', facts, content_type=JSON)
    assert json.loads(filled) == {"a": value.encode("utf-8", "replace").decode(), "b": 1}


@given(values)
def test_a_value_never_begins_another_header(value: str) -> None:
    filled = fill_header("x {param:p}", Facts(values={}, params={"p": value}))
    assert filled.isascii() and (filled.isprintable() or not filled)


@pytest.mark.parametrize(
    ("query", "params"),
    [
        ("", {}),
        ("gclid=abc&utm_source=x", {"gclid": "abc", "utm_source": "x"}),
        ("a=&a=2&a=3", {"a": "2"}),
        ("a=%ff", {"a": "\ufffd"}),
        ("plain", {"plain": ""}),
    ],
)
def test_it_reads_the_parameters_of_a_click(query: str, params: dict[str, str]) -> None:
    assert params_of(query) == params


def test_it_knows_the_click_id_of_an_ad_network() -> None:
    assert external_id({"fbclid": "f", "gclid": "g"}) == "g"
    assert external_id({"external_id": "e", "gclid": "g"}) == "e"
    assert external_id({"gclid": "", "ttclid": "t"}) == "t"
    assert external_id({"other": "x"}) == ""


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("129.9", "129.90"),
        ("129.900000", "129.90"),
        ("0", "0.00"),
        ("1E+6", "1000000.00"),
        ("0.005", "0.005"),
        ("-3", "-3.00"),
        ("99999999999999.123456", "99999999999999.123456"),
    ],
)
def test_it_writes_an_amount_as_machines_read_it(amount: str, text: str) -> None:
    assert plain_amount(Decimal(amount)) == text


def test_the_sample_has_a_value_for_every_macro() -> None:
    assert {name for name in MACROS if not SAMPLE.value(name)} == {"rebill"}
    assert set(ALIASES.values()) <= set(MACROS)
    assert not set(ALIASES) & set(MACROS)
