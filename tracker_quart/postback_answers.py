"""What senders of postbacks are answered: the body that their network expects, a picture, or a short sentence."""

import re
from functools import lru_cache
from urllib.parse import unquote_plus

import msgspec

from core.contracts import postback_event
from tracker_quart.answers import Answer, head_of
from tracker_quart.hits import Hit

GIF = (
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00"
    b",\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"
)
"""A picture of one transparent point, 43 bytes."""

RETRY_AFTER_S = 5

_USUAL = "OK"
_RETURN = re.compile(rb"(?:\A|&)return=([^&]*)")
_RETURNABLE = re.compile(r"[A-Za-z0-9 _.;=-]{1,64}")

STATUS = {
    postback_event.TOKEN: 401,
    postback_event.ADDRESS: 403,
    postback_event.SIGNATURE: 401,
    postback_event.STALE: 401,
    postback_event.REPLAYED: 401,
    postback_event.TOO_LARGE: 413,
}
_SENTENCES = {
    postback_event.TOKEN: "Nobody's token: copy the address of your postback anew.\n",
    postback_event.ADDRESS: "This address may not send postbacks here.\n",
    postback_event.SIGNATURE: "The signature is missing or wrong.\n",
    postback_event.STALE: "The signature's time stamp is too old, too far ahead, or missing.\n",
    postback_event.REPLAYED: "This signature was used before.\n",
    postback_event.TOO_LARGE: f"More than {postback_event.LARGEST >> 10} KB can not be taken.\n",
}
_NOT_NOW = "It can not be kept right now. Please send it again.\n"


def accepted(hit: Hit, reply: str) -> Answer:
    """The answer to a postback that is kept: what its source expects, or what it asks for with `return=`, or OK."""
    if hit.kind == postback_event.PIXEL:
        return picture()
    return _answer(200, reply or _asked_for(hit) or _USUAL, _is_script(hit))


def refused(hit: Hit, reason: str) -> Answer:
    """The answer to one that the door refuses; a picture is a picture all the same."""
    if hit.kind == postback_event.PIXEL:
        return picture()
    return _answer(STATUS[reason], _SENTENCES[reason], _is_script(hit))


def not_now(hit: Hit) -> Answer:
    """The answer to one that is kept nowhere: whoever sends it shall send it again."""
    if hit.kind == postback_event.PIXEL:
        return picture()
    return _answer(503, _NOT_NOW, _is_script(hit))


@lru_cache(maxsize=1)
def picture() -> Answer:
    """The pixel, for pages of whatever origin, and for nobody's cache."""
    return _whole(
        Answer(
            200,
            (
                ("content-type", "image/gif"),
                ("cache-control", "no-store"),
                ("x-content-type-options", "nosniff"),
                ("cross-origin-resource-policy", "cross-origin"),
                ("content-length", str(len(GIF))),
            ),
            GIF,
        )
    )


@lru_cache(maxsize=1024)
def _answer(status: int, text: str, is_script: bool) -> Answer:
    body = text.encode("utf-8")
    kind = "application/json" if text.startswith("{") and status == 200 else "text/plain; charset=utf-8"
    headers = [
        ("content-type", kind),
        ("cache-control", "no-store"),
        ("x-content-type-options", "nosniff"),
        ("content-length", str(len(body))),
    ]
    if status == 503:
        headers.append(("retry-after", str(RETRY_AFTER_S)))
    if is_script:
        headers.append(("access-control-allow-origin", "*"))
    return _whole(Answer(status, tuple(headers), body))


def _whole(answer: Answer) -> Answer:
    return msgspec.structs.replace(answer, head=head_of(answer))


def _asked_for(hit: Hit) -> str:
    """What `return=` says, where that is harmless: it is text of whoever sends."""
    found = _RETURN.search(hit.query)
    if found is None:
        return ""
    text = unquote_plus(found[1].decode("utf-8", "replace"))
    return text if _RETURNABLE.fullmatch(text) else ""


def _is_script(hit: Hit) -> bool:
    return hit.kind == postback_event.SCRIPT
