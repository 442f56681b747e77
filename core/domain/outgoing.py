"""What an outgoing postback says: macros in its address, headers and body, filled in for one conversion.

Values come from visitors, networks and shops: each is encoded for where it stands. What stands before the path of an
address has no macros, so that no value decides where a request goes.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, quote_plus

from core.domain.sending import FORM, JSON, SendingSettings
from core.domain.urls import DestinationRefused, check_destination

PARAM, FIELD = "param", "field"
"""`{param:NAME}` is a parameter that the click came with, `{field:NAME}` a custom field of the conversion."""

NETWORK_CLICK_IDS = (
    "external_id",
    "gclid",
    "gbraid",
    "wbraid",
    "fbclid",
    "ttclid",
    "msclkid",
    "twclid",
    "li_fat_id",
    "epik",
    "sccid",
    "rdt_cid",
    "yclid",
)
"""Parameters by which ad networks hand their own click id to a link; `{external_id}` is the first of them that came."""

ALIASES = {
    "clickid": "click_id",
    "subid": "click_id",
    "cid": "click_id",
    "cnv_id": "click_id",
    "order": "transaction_id",
    "order_id": "transaction_id",
    "tid": "transaction_id",
    "txid": "transaction_id",
    "revenue": "amount",
    "sum": "amount",
}
"""Other spellings of a macro, as trackers and networks write them."""

MACROS = (
    "click_id",
    "transaction_id",
    "amount",
    "payout",
    "cost",
    "profit",
    "currency",
    "status",
    "event",
    "rebill",
    "conversion_id",
    "customer_id",
    "coupon",
    "time",
    "timestamp",
    "date",
    "click_time",
    "link",
    "link_id",
    "link_title",
    "domain",
    "slug",
    "campaign",
    "campaign_id",
    "network",
    "source",
    "rule",
    "variant",
    "country",
    "device",
    "os",
    "browser",
    "language",
    "referrer",
    "utm_source",
    "utm_medium",
    "utm_campaign",
    "utm_content",
    "utm_term",
    "external_id",
)
"""Every macro but those with a name of their own; `{name}` in any case. Others are left out."""

_MACRO = re.compile(r"\{(_?)([A-Za-z][A-Za-z0-9_]*)(?::([^\s{}\"'<>]{1,100}))?\}")
_LONGEST_VALUE = 2048
_KEPT_RAW = "/:?&=@!$'()*,;~+%[]|"
_NO_HEADER = re.compile(r"[^\x20-\x7e]+")
_CENTS = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a conversion: `values` by the names of MACROS, `params` of its click, custom `fields`. What is
    not known is missing or ""."""

    values: Mapping[str, str]
    params: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)

    def value(self, name: str, argument: str | None = None) -> str:
        """What a macro stands for, not encoded."""
        if argument is not None:
            return {PARAM: self.params, FIELD: self.fields}.get(name, {}).get(argument, "")[:_LONGEST_VALUE]
        return self.values.get(ALIASES.get(name, name), "")[:_LONGEST_VALUE]


class Request(NamedTuple):
    """What is sent, but for the headers that differ from attempt to attempt. `body` is "" for a GET."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    body: str

    @property
    def covered(self) -> str:
        """What a signature covers: the body, or a GET's query."""
        if self.method == "POST":
            return self.body
        return self.url.partition("#")[0].partition("?")[2]


def build(*, url: str, body: str, settings: SendingSettings, facts: Facts) -> Request:
    """The request of a webhook for one conversion."""
    headers = [(name, fill_header(value, facts)) for name, value in settings.headers]
    if settings.method != "POST":
        return Request(settings.method, fill_url(url, facts), tuple(headers), "")
    headers.append(("Content-Type", f"{settings.content_type}; charset=utf-8"))
    filled = fill_body(body, facts, content_type=settings.content_type)
    return Request("POST", fill_url(url, facts), tuple(headers), filled)


def fill_url(template: str, facts: Facts) -> str:
    """An address with its macros filled in, percent-encoded; `{_name}` keeps what may stand in an address, so that a
    value can be several parameters. What stands before the path stays as it is."""
    start = _path_start(template)
    return template[:start] + _filled(
        template[start:],
        facts,
        encode=lambda text: quote(text, safe="", errors="replace"),
        raw=lambda text: quote(text, safe=_KEPT_RAW, errors="replace"),
    )


def fill_body(template: str, facts: Facts, *, content_type: str) -> str:
    """A body with its macros filled in: escaped as the inside of a JSON string, percent-encoded in a form, as they are
    in plain text; `{_name}` puts a value in as it is."""
    encode: Callable[[str], str] = str
    if content_type == JSON:
        encode = _in_json
    elif content_type == FORM:
        encode = _in_form
    return _filled(template, facts, encode=encode, raw=str)


def fill_header(template: str, facts: Facts) -> str:
    """A header's value with its macros filled in; what can not travel in one is percent-encoded."""
    filled = _filled(template, facts, encode=str, raw=str)
    return _NO_HEADER.sub(lambda found: quote(found[0], safe="", errors="replace"), filled).strip()


def unknown_macros(*templates: str) -> list[str]:
    """What looks like a macro and is none, each once: nothing will stand in its place."""
    named = [
        found[0]
        for template in templates
        for found in _MACRO.finditer(template)
        if not _is_known(found[2].lower(), found[3])
    ]
    return list(dict.fromkeys(named))


def check_url(text: str) -> str:
    """The address of a webhook as it is stored. Raises DestinationRefused."""
    url = text.strip()
    if _MACRO.search(url[: _path_start(url)]):
        raise DestinationRefused(
            "host", "Macros can stand after the host's first slash or question mark only."
        )
    if not url:
        raise DestinationRefused("empty", "Type the address that is to be called.")
    return check_destination(url, own_hosts=())


def params_of(query: str) -> dict[str, str]:
    """The parameters of a click's query, decoded; of one that came twice the first that says something."""
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True, errors="replace"):
        if not found.get(name):
            found[name] = value
    return found


def external_id(params: Mapping[str, str]) -> str:
    """The click id that an ad network gave the visitor; "" for none."""
    return next((params[name] for name in NETWORK_CLICK_IDS if params.get(name)), "")


def plain_amount(amount: Decimal) -> str:
    """An amount with a point and at least two decimals, no grouping: 129.90, 0.005, -3.00."""
    short = amount.normalize()
    exponent = short.as_tuple().exponent
    return f"{short:f}" if isinstance(exponent, int) and exponent < -2 else f"{amount.quantize(_CENTS):f}"


SAMPLE = Facts(
    values={
        "click_id": "01998c3e-7a41-7c0e-9b52-5f0c3a1d77e4",
        "transaction_id": "TEST-1042",
        "amount": "129.90",
        "payout": "12.99",
        "cost": "0.00",
        "profit": "116.91",
        "currency": "BRL",
        "status": "approved",
        "event": "sale",
        "conversion_id": "0",
        "customer_id": "customer-7",
        "coupon": "test10",
        "time": "2026-11-27T14:32:07Z",
        "timestamp": "1795789927",
        "date": "2026-11-27",
        "click_time": "2026-11-27T14:29:58Z",
        "link": "go.example.com/smart-tv",
        "link_id": "12",
        "link_title": "Smart TV 4K",
        "domain": "go.example.com",
        "slug": "smart-tv",
        "campaign": "Black Friday",
        "campaign_id": "3",
        "network": "Loja online",
        "source": "newsletter",
        "rule": "Phones",
        "variant": "B",
        "country": "BR",
        "device": "phone",
        "os": "Android",
        "browser": "Chrome",
        "language": "pt",
        "referrer": "news.example",
        "utm_source": "newsletter",
        "utm_medium": "email",
        "utm_campaign": "black-friday",
        "utm_content": "top",
        "utm_term": "tv",
        "external_id": "test-gclid-1042",
    },
    params={"gclid": "test-gclid-1042"},
)
"""A made-up conversion: what a test sends, and what a preview shows before the first real one."""


def _is_known(name: str, argument: str | None) -> bool:
    if argument is not None:
        return name in (PARAM, FIELD)
    return name in MACROS or name in ALIASES


def _filled(template: str, facts: Facts, *, encode: Callable[[str], str], raw: Callable[[str], str]) -> str:
    def value(found: "re.Match[str]") -> str:
        return (raw if found[1] else encode)(facts.value(found[2].lower(), found[3]))

    return _MACRO.sub(value, template) if "{" in template else template


def _in_json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1].encode("utf-8", "replace").decode()


def _in_form(text: str) -> str:
    return quote_plus(text, errors="replace")


def _path_start(url: str) -> int:
    """Where the path, query or fragment of an address begins."""
    start = url.find("//") + 2 if "//" in url else 0
    return min((url.find(char, start) for char in "/?#" if char in url[start:]), default=len(url))
