"""The world of the example data: offers, channels, visitors and sales of a Brazilian retailer, in words and weights."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from core.domain import sources
from core.domain.conversions import APPROVED, PENDING, REFUNDED, REJECTED
from core.domain.reading import IGNORE

SHOP = "https://www.example.com"
CLICK_ID_PARAM = "subid"
"""The parameter in which the shop and the network give the click id back."""


class Offer(NamedTuple):
    """What a link is about: its title, its word in slugs, and its campaign."""

    title: str
    word: str
    campaign: str


OFFERS = (
    Offer("Smart TV 4K", "tv", "Black Friday"),
    Offer("Notebook gamer", "note", "Black Friday"),
    Offer("Geladeira frost free", "gelad", "Black Friday"),
    Offer("Celulares até R$ 1.500", "cel", "Black Friday"),
    Offer("Fritadeira air fryer", "fry", "Black Friday"),
    Offer("Esquenta Black Friday", "esq", "Black Friday"),
    Offer("Fones bluetooth", "fone", "Black Friday"),
    Offer("Presentes de Natal", "natal", "Natal"),
    Offer("Brinquedos", "brinq", "Natal"),
    Offer("Perfumes importados", "perf", "Natal"),
    Offer("Cupom primeira compra", "cupom", "Sempre no ar"),
    Offer("Frete grátis", "frete", "Sempre no ar"),
    Offer("Baixe o app", "app", "Sempre no ar"),
    Offer("Clube de pontos", "clube", "Sempre no ar"),
    Offer("Nossas lojas", "lojas", "Sempre no ar"),
    Offer("Casa e jardim", "casa", "Verão"),
    Offer("Ar-condicionado", "ar", "Verão"),
    Offer("Moda praia", "praia", "Verão"),
    Offer("Piscinas", "pisc", "Verão"),
    Offer("Volta às aulas", "aulas", "Volta às aulas"),
)


@dataclass(frozen=True, slots=True)
class Channel:
    """Where a link is put. `referrers` are weighted by how often they stand there; "" is none."""

    name: str
    slug: str
    tag: str
    source: str
    medium: str
    referrers: tuple[str, ...]
    tagged_share: float
    """How many of its clicks carry UTM values."""


CHANNELS = (
    Channel(
        "newsletter",
        "news",
        "e-mail",
        "newsletter",
        "email",
        (
            "",
            "",
            "https://mail.google.com/",
            "android-app://com.google.android.gm/",
            "https://outlook.live.com/",
        ),
        0.9,
    ),
    Channel(
        "WhatsApp", "zap", "whatsapp", "whatsapp", "social", ("", "", "", "https://web.whatsapp.com/"), 0.3
    ),
    Channel(
        "bio do Instagram",
        "bio",
        "instagram",
        "instagram",
        "social",
        ("https://l.instagram.com/", "https://www.instagram.com/", ""),
        0.5,
    ),
    Channel(
        "stories",
        "st",
        "instagram",
        "instagram",
        "stories",
        ("https://l.instagram.com/", "https://l.instagram.com/", ""),
        0.7,
    ),
    Channel(
        "anúncio no Google",
        "g",
        "ads",
        "google",
        "cpc",
        ("https://www.google.com/", "https://www.google.com.br/", "https://www.googleadservices.com/"),
        1.0,
    ),
    Channel(
        "Facebook",
        "fb",
        "facebook",
        "facebook",
        "social",
        ("https://m.facebook.com/", "https://lm.facebook.com/", ""),
        0.6,
    ),
    Channel("TikTok", "tt", "tiktok", "tiktok", "social", ("https://www.tiktok.com/", ""), 0.6),
    Channel("QR na loja", "qr", "qr", "loja", "qr", ("",), 0.2),
    Channel("SMS", "sms", "sms", "sms", "sms", ("",), 0.4),
    Channel(
        "YouTube",
        "yt",
        "youtube",
        "youtube",
        "video",
        ("https://www.youtube.com/", "https://m.youtube.com/", ""),
        0.8,
    ),
)

PASSED_ON = 0.25
"""How many people come by a link that somebody passed on elsewhere."""

ELSEWHERE = (
    "https://web.whatsapp.com/",
    "https://l.instagram.com/",
    "https://m.facebook.com/",
    "https://www.google.com/",
    "https://www.pelando.com.br/",
)
"""Where links are passed on, the most usual place first."""

HOURS = (2, 1, 1, 1, 1, 2, 4, 7, 9, 10, 11, 12, 13, 11, 10, 10, 10, 11, 13, 15, 17, 16, 12, 6)
"""How busy each hour of a day in São Paulo is: lunch, and evenings most of all."""

WEEKDAYS = (1.0, 1.05, 1.0, 1.1, 1.2, 0.9, 0.85)
"""How busy each day is, Monday first."""

ZONE = "America/Sao_Paulo"
ROBOTS = 0.12
AGAIN = 0.15
"""How many clicks are by somebody who followed the same link a moment ago."""

GROWTH = 2.0
"""How much busier the end is than the beginning."""

_ANDROID = (
    "Mozilla/5.0 (Linux; Android {system}; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{chrome}.0.0.0 "
    "Mobile Safari/537.36"
)
_SAMSUNG = (
    "Mozilla/5.0 (Linux; Android 14; SAMSUNG SM-{model}) AppleWebKit/537.36 (KHTML, like Gecko) "
    "SamsungBrowser/{version}.0 Chrome/{chrome}.0.0.0 Mobile Safari/537.36"
)
_INSTAGRAM = (
    "Mozilla/5.0 (Linux; Android {system}; moto g({model}) Build/S3RIS32; wv) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Version/4.0 Chrome/{chrome}.0.0.0 Mobile Safari/537.36 Instagram 361.0.0.35.82 Android"
)
_IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS {system} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/{version} Mobile/15E148 Safari/604.1"
)
_WINDOWS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{chrome}.0.0.0 "
    "Safari/537.36"
)
_EDGE = _WINDOWS + " Edg/{chrome}.0.0.0"
_FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:{version}.0) Gecko/20100101 Firefox/{version}.0"
_MAC = (
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{version} "
    "Safari/605.1.15"
)
_TABLET = (
    "Mozilla/5.0 (Linux; Android 13; SM-X{model}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{chrome}.0.0.0 "
    "Safari/537.36"
)

_CHROMES = range(136, 144)

PEOPLE: tuple[tuple[str, float], ...] = (
    *(
        (_ANDROID.format(system=system, chrome=chrome), 2.0)
        for system in (10, 13, 14, 15)
        for chrome in _CHROMES
    ),
    *((_SAMSUNG.format(model=model, version=28, chrome=130), 2.0) for model in ("A155M", "A256E", "S921B")),
    *((_INSTAGRAM.format(system=13, model=model, chrome=142), 3.0) for model in (32, 54, 60, 84)),
    *(
        (_IPHONE.format(system=system, version=version), 4.0)
        for system, version in (("17_6", "17.6"), ("18_1", "18.1"), ("18_6", "18.6"))
    ),
    *((_WINDOWS.format(chrome=chrome), 2.0) for chrome in _CHROMES),
    *((_EDGE.format(chrome=chrome), 1.0) for chrome in (141, 142)),
    *((_FIREFOX.format(version=version), 0.5) for version in (140, 144)),
    *((_MAC.format(version=version), 1.0) for version in ("17.6", "18.6")),
    *((_TABLET.format(model=model, chrome=142), 0.6) for model in ("200", "510")),
)
"""Agents of people with weights: three of four are phones."""

MACHINES: tuple[tuple[str, str, float], ...] = (
    ("facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)", "GET", 5.0),
    ("WhatsApp/2.23.20.0", "GET", 5.0),
    ("TelegramBot (like TwitterBot)", "GET", 1.0),
    ("Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)", "GET", 1.0),
    ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "GET", 3.0),
    ("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", "GET", 2.0),
    ("curl/8.5.0", "GET", 1.0),
    ("python-requests/2.32.3", "GET", 1.5),
    ("", "GET", 1.0),
    (PEOPLE[0][0], "HEAD", 1.5),
)
"""Agents of robots, the method that they use, and weights."""

COUNTRIES = (
    ("BR", 88.0),
    ("PT", 3.0),
    ("US", 2.5),
    ("AR", 1.5),
    ("PY", 0.8),
    ("UY", 0.6),
    ("ES", 0.6),
    ("", 3.0),
)
LANGUAGES = {
    "BR": "pt-BR",
    "PT": "pt-PT",
    "US": "en-US",
    "AR": "es-AR",
    "PY": "es-PY",
    "UY": "es-UY",
    "ES": "es-ES",
}
"""Language of a country's visitors."""

PRICES = {
    "tv": 2499.0,
    "note": 4890.0,
    "gelad": 3199.0,
    "cel": 1199.0,
    "fry": 349.9,
    "esq": 459.0,
    "fone": 219.9,
    "natal": 189.0,
    "brinq": 129.9,
    "perf": 329.0,
    "cupom": 159.0,
    "frete": 139.0,
    "app": 99.9,
    "clube": 29.9,
    "lojas": 249.0,
    "casa": 419.0,
    "ar": 1899.0,
    "praia": 119.9,
    "pisc": 899.0,
    "aulas": 169.9,
}
"""What an order that came by an offer is about, in BRL, by the offer's word."""

BUYERS = 0.03
"""How many of the clicks by people lead to a sale."""

IN_USD = {"USD": Decimal("1"), "BRL": Decimal("0.1852"), "EUR": Decimal("1.0850"), "GBP": Decimal("1.2700")}
"""What a unit of each currency is worth in US dollars."""

SHOP_SOURCE, NETWORK_SOURCE, PAYMENTS_SOURCE = "Loja online", "RedeAfil", "Pagamentos"


@dataclass(frozen=True, slots=True)
class Reporter:
    """Who tells of sales. `settings` stand on top of those of its preset; `share` is how many of all sales it tells of;
    it calls from `address`, as `agent`."""

    name: str
    preset: str
    settings: dict[str, Any]
    share: float
    address: str
    agent: str


REPORTERS = (
    Reporter(
        SHOP_SOURCE,
        "plain",
        {
            "fields": {
                "click_id": (CLICK_ID_PARAM, "click_id"),
                "transaction_id": ("pedido",),
                "amount": ("valor",),
                "currency": ("moeda",),
                "status": ("status",),
                "customer_id": ("cliente",),
                "coupon": ("cupom",),
            },
            "currency": "BRL",
            "payout_kind": sources.PERCENT,
            "payout": "6",
            "attribution": (sources.CLICK, sources.COUPON),
        },
        0.6,
        "192.0.2.40",
        "LojaOnline/4.2",
    ),
    Reporter(
        NETWORK_SOURCE,
        "keitaro",
        {"currency": "USD", "window_days": 7, "networks": ("203.0.113.0/24",)},
        0.25,
        "203.0.113.20",
        "RedeAfil-Postback/2.1",
    ),
    Reporter(
        PAYMENTS_SOURCE,
        "plain",
        {
            "fields": {
                "click_id": ("data.metadata.clickid",),
                "transaction_id": ("data.order.id",),
                "amount": ("data.amount.value",),
                "currency": ("data.amount.currency",),
                "status": ("event",),
                "customer_id": ("data.customer.id",),
            },
            "statuses": {
                "payment.pending": PENDING,
                "payment.paid": APPROVED,
                "payment.failed": REJECTED,
                "payment.refunded": REFUNDED,
                "payment.viewed": IGNORE,
            },
            "default_status": "",
            "amounts": sources.MINOR,
            "currency": "BRL",
            "reply": '{"received":true}',
        },
        0.15,
        "198.51.100.77",
        "Pagamentos-Webhook/1",
    ),
)

COUPON, COUPON_OFFER = "primeira10", "cupom"
"""A coupon, and the offer to whose link it belongs."""

BY_COUPON = 0.04
"""How many buyers of the shop come without their click and use the coupon."""

WITHOUT_CLICK = 0.02
"""Of how many sales the sources name no click that there is."""

REFUSED = 0.02
THINKS_IT_OVER, TOO_LATE = 0.15, 0.02
"""How many buyers come back on another day; of how many the network tells when it is too late."""

STRANGER, NOBODYS_TOKEN = "198.51.100.9", "pb_xk…q7ma"
"""From where, and with what, those came that were turned away at the door."""
