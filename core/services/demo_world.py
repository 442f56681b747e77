"""The world of the example data: offers, channels and visitors of a Brazilian retailer, in words and weights."""

from dataclasses import dataclass
from typing import NamedTuple

SHOP = "https://www.example.com"


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
