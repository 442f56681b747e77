"""What is copied from a source's pages into a network, a page or a terminal."""

import shlex
from dataclasses import dataclass
from uuid import UUID

from core.contracts.postback_event import PostbackEvent
from core.domain.preset_examples import example_body, example_query
from core.domain.presets import Preset
from core.domain.reading import read
from core.domain.sources import SourceSettings
from core.services.conversion_sources import postback_url

_SOME_ID = UUID("01990000-0000-7000-8000-000000000000")
_SAID = "transaction_id=ORDER&amount=12.34&currency=USD"
"""What a page says of an order, to be filled in."""


@dataclass(frozen=True, slots=True)
class Snippets:
    """With a token in them: shown once. A shop has `landing_script` on every page, and `script` or `pixel` on the one
    that thanks for an order; "" where the source would not understand what they say."""

    url: str
    landing_script: str = ""
    script: str = ""
    pixel: str = ""


def snippets_of(base: str, token: str, preset: Preset, settings: SourceSettings) -> Snippets:
    """Everything that a source's token is for."""
    url = postback_url(base, token, preset.query)
    if not _understands_pages(settings):
        return Snippets(url)
    pixel = f"{base}/pixel/{token}.gif?click_id=CLICK_ID&{_SAID}"
    return Snippets(
        url=url,
        landing_script=f'<script src="{base}/rastro.js" async></script>',
        script=f'<script src="{base}/rastro.js" async data-token="{token}" data-transaction="ORDER" '
        'data-amount="12.34" data-currency="USD"></script>',
        pixel=f'<img src="{pixel.replace("&", "&amp;")}" width="1" height="1" alt="">',
    )


def _understands_pages(settings: SourceSettings) -> bool:
    """Whether what a page says of an order is read as that."""
    event = PostbackEvent(id=_SOME_ID.bytes, query=f"click_id={_SOME_ID}&{_SAID}")
    reading = read(event, settings, now=event.at)
    return bool(reading.click_id and reading.transaction_id and reading.amount and not reading.problems)


def example_of(base: str, token: str, preset: Preset, settings: SourceSettings, *, click_id: str) -> str:
    """The URL as the network would call it for this click, the body left out."""
    return postback_url(base, token, example_query(preset.query, settings, click_id=click_id))


def curl_of(
    base: str, token: str, preset: Preset, settings: SourceSettings, *, click_id: str, signed: bool = False
) -> str:
    """A line for a terminal that sends what the network would send; `signed` where a key is there, which the line
    leaves to be filled in."""
    url = shlex.quote(example_of(base, token, preset, settings, click_id=click_id))
    if not preset.body:
        return f"curl {url}"
    body = shlex.quote(example_body(preset.body, click_id=click_id))
    headers = "-H 'Content-Type: application/json'"
    signature = settings.signature
    if signed and signature.covers == "body":
        written = "-binary | base64" if signature.encoding == "base64" else "-r | cut -d' ' -f1"
        digest = f"openssl dgst -{signature.algorithm} -hmac 'SIGNING_KEY' {written}"
        headers += f' -H "{signature.header}: {signature.prefix}$(printf %s {body} | {digest})"'
    return f"curl {headers} --data-raw {body} {url}"
