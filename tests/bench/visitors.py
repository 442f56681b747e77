"""Who asks: visitors who differ as real ones do, each with a ready-made request.

A server that remembers what it has just read must not see the same headers again and again: there are some 200 agents,
a dozen languages, as many referrers, and every visitor has an address of its own, which a load balancer has written
down. All contestants get the same bytes, but for the host.
"""

import itertools
import random
from collections.abc import Iterable

from tests.bench.browsers import AGENTS

LANGUAGES = (
    "pt-BR,pt;q=0.9,en-US;q=0.8,en;q=0.7",
    "pt-BR,pt;q=0.9",
    "pt-BR",
    "pt-BR,pt-PT;q=0.9,pt;q=0.8,en-US;q=0.7,en;q=0.6",
    "pt-PT,pt;q=0.9,en;q=0.8",
    "en-US,en;q=0.9",
    "en-US,en;q=0.9,pt-BR;q=0.8,pt;q=0.7",
    "en-GB,en;q=0.9",
    "es-AR,es;q=0.9,en;q=0.8",
    "es-419,es;q=0.9",
    "fr-FR,fr;q=0.9,en;q=0.8",
    "it-IT,it;q=0.9,en;q=0.8",
)

REFERRERS = (
    "",
    "https://l.instagram.com/",
    "https://www.instagram.com/",
    "https://l.facebook.com/",
    "https://lm.facebook.com/",
    "https://m.facebook.com/",
    "https://www.google.com/",
    "https://www.google.com.br/",
    "https://web.whatsapp.com/",
    "https://www.tiktok.com/",
    "https://t.co/",
    "https://www.youtube.com/",
    "https://mail.google.com/",
    "android-app://com.google.android.gm/",
)

_REQUEST = (
    "GET {path} HTTP/1.1\r\n"
    "Host: {host}\r\n"
    "X-Forwarded-For: {address}\r\n"
    "User-Agent: {agent}\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n"
    "Accept-Language: {language}\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "{referrer}"
    "Sec-Fetch-Dest: document\r\n"
    "Sec-Fetch-Mode: navigate\r\n"
    "Sec-Fetch-Site: cross-site\r\n"
    "Upgrade-Insecure-Requests: 1\r\n"
    "\r\n"
)
"""What a browser sends; as few headers as a test tool sends would flatter whoever reads them slowly."""


def make_requests(rng: random.Random, *, host: str, paths: Iterable[str]) -> list[bytes]:
    """A request for each path, each by another visitor."""
    return [_request(rng, host, path) for path in paths]


def zipf(rng: random.Random, *, ranks: int, number: int) -> list[int]:
    """So many draws of a rank from 0 on: the first twice as often as the second, three times as often as the third."""
    weights = list(itertools.accumulate(1 / (rank + 1) for rank in range(ranks)))
    return rng.choices(range(ranks), cum_weights=weights, k=number)


def _request(rng: random.Random, host: str, path: str) -> bytes:
    referrer = rng.choice(REFERRERS)
    text = _REQUEST.format(
        path=path,
        host=host,
        address=_address(rng),
        agent=rng.choice(AGENTS),
        language=rng.choice(LANGUAGES),
        referrer=f"Referer: {referrer}\r\n" if referrer else "",
    )
    return text.encode("ascii")


def _address(rng: random.Random) -> str:
    first = rng.choice([number for number in range(11, 223) if number not in (127, 172, 192)])
    return f"{first}.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"
