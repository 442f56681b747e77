"""Whether a postback is signed as its source signs. Pure: bytes in, a verdict out.

A signature stands in a header, or else in a parameter of the query, alone, among others parted by blanks, or as `v1=`
in a list such as `t=1764100000,v1=5257a8...`.
"""

import base64
import binascii
import hashlib
import hmac

import msgspec

from core.contracts.postback_event import SIGNATURE, STALE
from core.contracts.source_snapshot import TIME_AND_BODY, Signature
from tracker_quart.hits import Hit

_ALGORITHMS = {"sha1": hashlib.sha1, "sha256": hashlib.sha256, "sha512": hashlib.sha512}
_MOST_CANDIDATES = 16
_FIRST_MS = 100_000_000_000
"""A larger time stamp is one in milliseconds: in seconds it would lie in the year 5138."""


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """`refusal` is "", SIGNATURE or STALE. `mac` is what the signature is, however it was written, where it counts
    once."""

    refusal: str
    mac: bytes = b""


def judge(signature: Signature, hit: Hit, *, now_ms: int) -> Verdict:
    """Look at the signature first, and then at its time."""
    written = _value(hit, signature.header)
    if written is None:
        return Verdict(SIGNATURE)
    listed = _listed(written)
    stamp = listed.get("t", [""])[0]
    if signature.time_header:
        stated = _value(hit, signature.time_header) or ""
        stamp = _listed(stated).get("t", [stated.strip()])[0]
    covered = hit.body if hit.visit.method == "POST" else hit.query_without(signature.header)
    if signature.covers == TIME_AND_BODY:
        covered = stamp.encode("utf-8") + b"." + covered
    candidates = listed.get("v1") or written.split()
    mac = _matching(signature, covered, candidates[:_MOST_CANDIDATES])
    if mac is None:
        return Verdict(SIGNATURE)
    if not signature.time_header:
        return Verdict("")
    at_ms = _ms(stamp)
    if at_ms is None or abs(now_ms - at_ms) > signature.tolerance_s * 1000:
        return Verdict(STALE)
    return Verdict("", mac)


def _matching(signature: Signature, covered: bytes, candidates: list[str]) -> bytes | None:
    """The signature that one of the keys makes, if it is among those that came."""
    algorithm = _ALGORITHMS.get(signature.algorithm)
    if algorithm is None:
        return None
    given = [_bytes_of(text.removeprefix(signature.prefix), signature.encoding) for text in candidates]
    found = None
    for key in signature.keys:
        made = hmac.new(key, covered, algorithm).digest()
        if any(hmac.compare_digest(made, one) for one in given):
            found = made
    return found


def _value(hit: Hit, name: str) -> str | None:
    header = hit.header(name.lower().encode("utf-8"))
    return hit.parameter(name) if header is None else header.decode("utf-8", "replace").strip()


def _listed(text: str) -> dict[str, list[str]]:
    """What a list such as `t=1,v1=a,v1=b` names; nothing for any other text."""
    found: dict[str, list[str]] = {}
    for part in text.split(","):
        name, equals, value = part.strip().partition("=")
        if not (name and equals and value):
            return {}
        found.setdefault(name, []).append(value)
    return found if "t" in found else {}


def _bytes_of(text: str, encoding: str) -> bytes:
    """What a text says; nothing where it is none."""
    try:
        if encoding == "hex":
            return bytes.fromhex(text)
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (ValueError, binascii.Error):
        return b""


def _ms(stamp: str) -> int | None:
    if not (stamp.isascii() and stamp.isdigit() and len(stamp) <= 16):
        return None
    number = int(stamp)
    return number if number >= _FIRST_MS else number * 1000
