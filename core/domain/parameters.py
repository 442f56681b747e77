"""What a request says: the parameters of its query, form, JSON and headers, in whatever encoding they came. Pure."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec

from core.contracts.postback_event import PostbackEvent

BROKEN_ENCODING, BROKEN_BODY, UNKNOWN_BODY, TOO_MANY = (
    "broken_encoding",
    "broken_body",
    "unknown_body",
    "too_many_parameters",
)
CUT, CONTROL_CHARACTERS = "cut", "control_characters"
"""Notes beside a value, as BROKEN_ENCODING is: it was too long; it held what no table can."""

MOST_PARAMETERS = 200
LONGEST_VALUE = 2048
_MOST_LEAVES = 5000
_DEEPEST = 32
_CONTROL = dict.fromkeys((*range(32), 127), "�")


class Parameter(msgspec.Struct, frozen=True):
    """What came under a name: of JSON a path, of headers `header:NAME`. `is_flat` is one of query or form."""

    name: str
    value: str
    note: str = ""
    is_flat: bool = True


def parameters_of(event: PostbackEvent) -> tuple[list[Parameter], list[tuple[str, str]]]:
    """Everything that was sent, of query, body and headers; what was wrong, as (code, what stood there)."""
    problems: list[tuple[str, str]] = []
    found = list(_of_form(event.query.encode("utf-8", "replace")))
    kind = event.content_type.partition(";")[0].strip().lower()
    body = event.body.strip()
    if body:
        if kind.endswith("json") or body[:1] in (b"{", b"["):
            found += _of_json(body, problems)
        elif kind in ("", "application/x-www-form-urlencoded") or (b"=" in body and kind == "text/plain"):
            found += _of_form(body)
        else:
            problems.append((UNKNOWN_BODY, kind))
    flat = [parameter for parameter in found if parameter.is_flat]
    if len(flat) > MOST_PARAMETERS:
        problems.append((TOO_MANY, str(MOST_PARAMETERS)))
        found = flat[:MOST_PARAMETERS] + [parameter for parameter in found if not parameter.is_flat]
    found += [
        Parameter(f"header:{_clean(name)[0].lower()}", *_clean(value), is_flat=False)
        for name, value in event.headers
    ]
    return found, problems


def _of_form(data: bytes) -> Iterator[Parameter]:
    for pair in data.split(b"&", 2 * MOST_PARAMETERS)[: 2 * MOST_PARAMETERS]:
        if pair:
            name, _, value = pair.partition(b"=")
            yield Parameter(_decoded(name)[0], *_decoded(value))


def _decoded(data: bytes) -> tuple[str, str]:
    """A percent-encoded text, and a note."""
    raw = unquote_to_bytes(data.replace(b"+", b" "))
    try:
        return _clean(raw.decode("utf-8"))
    except UnicodeDecodeError:
        return _clean(raw.decode("utf-8", "replace"))[0], BROKEN_ENCODING


def _clean(text: str) -> tuple[str, str]:
    """A text that any table can hold, and a note."""
    note = ""
    if len(text) > LONGEST_VALUE:
        text, note = text[:LONGEST_VALUE], CUT
    if text.isprintable():
        return text, note
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").strip()
    clean = text.translate(_CONTROL)
    return clean, note if clean == text else CONTROL_CHARACTERS


def _of_json(body: bytes, problems: list[tuple[str, str]]) -> list[Parameter]:
    """The leaves of a JSON document, each by its path; numbers stay as they were written."""
    broken = False
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        text, broken = body.decode("utf-8", "replace"), True
    try:
        document = json.loads(text, parse_float=str, parse_int=str, parse_constant=str)
    except (ValueError, RecursionError):
        problems.append((BROKEN_BODY, _clean(text)[0]))
        return []
    note = BROKEN_ENCODING if broken else ""
    found: list[Parameter] = []
    for path, value in _leaves(document, "", _DEEPEST):
        if len(found) == _MOST_LEAVES:
            problems.append((TOO_MANY, str(_MOST_LEAVES)))
            break
        clean, seen = _clean(value)
        found.append(Parameter(_clean(path)[0], clean, note or seen, is_flat=False))
    return found


def _leaves(node: Any, path: str, deepest: int) -> Iterator[tuple[str, str]]:
    if isinstance(node, dict | list):
        if deepest:
            children = node.items() if isinstance(node, dict) else enumerate(node)
            for key, child in children:
                yield from _leaves(child, f"{path}.{key}" if path else str(key), deepest - 1)
    elif isinstance(node, bool):
        yield path, "true" if node else "false"
    else:
        yield path, "" if node is None else str(node)
