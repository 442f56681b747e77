"""Where a click is led in the end: macros filled in, the click id added, the visitor's query passed on.

What a destination's owner wrote is never encoded anew; what comes from a visitor is encoded wherever it could end a
line, a value or the part of the address that it stands in. Nothing a visitor sends reaches scheme, host or port.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, unquote_plus

CLICK_ID_MACROS = frozenset({"click_id", "clickid", "subid", "transaction_id", "cid", "cnv_id"})
"""What networks call the click id; each gives the same."""

MACROS = CLICK_ID_MACROS | {
    "campaign",
    "campaign_id",
    "link_id",
    "domain",
    "slug",
    "source",
    "country",
    "device",
    "os",
    "browser",
    "language",
    "referrer",
    "timestamp",
}
"""Every macro there is; `{name}` in any case. Others are left out of the address."""

PARAMETER = re.compile(r"[A-Za-z0-9_.~-]{1,64}")
"""A name of ours in a query: it needs no encoding."""

LONGEST_SOURCE = 100
LONGEST_PASSED = 4096
"""The tracker reads no longer query; the parameter that the limit cuts is not passed on."""

_LONGEST_VALUE = 512
_MACRO = re.compile(r"\{(_?)([A-Za-z][A-Za-z0-9_]*)\}")
_UNFIT = re.compile(r"[^!$%&'()*+,\-./0-9:;=?@A-Z\[\]_a-z~{}|^`]+")  # in a query, of what visitors send
_KEPT_RAW = "/:@!$'()*,;~"


class Resolved(NamedTuple):
    """A location, and the `utm_` parameters of its query."""

    url: str
    utm: str


ValueOf = Callable[[str], str]
"""A macro's value for this click, not encoded; asked only for the macros that stand in the destination."""


def resolve(
    url: str,
    *,
    query: str = "",
    pass_query: bool = True,
    source_param: str = "",
    click_id_param: str = "",
    value_of: ValueOf,
) -> Resolved:
    """The location of a click on a checked destination in ASCII. `query` is the visitor's, as it was sent.

    The visitor's parameters follow the destination's in the order they came, and replace those of the same name; but
    not the one that carries the click id. `source_param` is not passed on. With `click_id_param` the click id is added
    under that name, unless a macro puts it somewhere already. `{_name}` encodes less than `{name}`: only what would
    change how the address is read.
    """
    template = _template(url, click_id_param)
    stripped = template.own | {source_param} if source_param else template.own
    passed = _passed(query, stripped) if query and pass_query else ()
    if not passed and template.is_fixed:
        return Resolved(url, template.utm)
    names = {name for name, _ in passed}
    texts = [text for name, text in template.parts if name not in names]
    head, tail = template.head, template.tail
    if template.has_macros:
        origin = template.origin
        head = origin + _filled(head[len(origin) :], value_of)
        texts = [_filled(text, value_of) for text in texts]
        tail = _filled(tail, value_of)
    texts += [text for _, text in passed]
    mark = "?" if texts or template.has_query else ""
    utm = "&".join(text for text in texts if text.startswith("utm_"))
    return Resolved(f"{head}{mark}{'&'.join(texts)}{tail}", utm)


def is_plain(url: str) -> bool:
    """True for a destination that `resolve` gives back as it is, with no `utm_` values, when there is no query and no
    parameter for the click id: most clicks, told in a tenth of the time."""
    return "{" not in url and "utm_" not in url


def source_of(query: str, source_param: str) -> str:
    """The private source tag in a visitor's query, decoded: the first one that says something; "" for none."""
    if source_param and (f"{source_param}=" in query or "%" in query or "+" in query):
        for name, text in map(_named, query.split("&")):
            if name == source_param and (source := unquote_plus(text.partition("=")[2]).strip()):
                return source[:LONGEST_SOURCE]
    return ""


def unknown_macros(url: str) -> list[str]:
    """What looks like a macro in a destination and is none, each once: it will be left out of the address."""
    if "{" not in url:
        return []
    named = [found[0] for found in _MACRO.finditer(url) if found[2].lower() not in MACROS]
    return list(dict.fromkeys(named))


@dataclass(frozen=True, slots=True)
class _Template:
    """A destination in parts. `own` are names that visitors can not set: they carry the click id."""

    origin: str
    head: str
    parts: tuple[tuple[str, str], ...]
    tail: str
    own: frozenset[str]
    has_query: bool
    has_macros: bool
    is_fixed: bool
    utm: str


@lru_cache(maxsize=4096)
def _template(url: str, click_id_param: str) -> _Template:
    rest, mark, fragment = url.partition("#")
    head, asked, query = rest.partition("?")
    start = head.index("//") + 2
    slash = head.find("/", start)
    origin = head if slash < 0 else head[:slash]
    tail = mark + fragment
    parts = [_named(text) for text in query.split("&")] if query else []
    beside = url[len(origin) :]
    if click_id_param and not any(_is_click_id(found) for found in _MACRO.finditer(beside)):
        parts = [part for part in parts if part[0] != click_id_param]
        parts.append((click_id_param, f"{click_id_param}={{click_id}}"))
    has_macros = any(map(_MACRO.search, (head[len(origin) :], tail, *(text for _, text in parts))))
    return _Template(
        origin=origin,
        head=head,
        parts=tuple(parts),
        tail=tail,
        own=frozenset(name for name, text in parts if any(map(_is_click_id, _MACRO.finditer(text)))),
        has_query=bool(asked),
        has_macros=has_macros,
        is_fixed=not has_macros,
        utm="&".join(text for _, text in parts if text.startswith("utm_")),
    )


def _is_click_id(found: "re.Match[str]") -> bool:
    return found[2].lower() in CLICK_ID_MACROS


def _named(text: str) -> tuple[str, str]:
    """A parameter with its name decoded, so that two spellings of a name are one."""
    name = text.partition("=")[0]
    return unquote_plus(name) if "%" in name or "+" in name else name, text


def _passed(query: str, stripped: frozenset[str]) -> list[tuple[str, str]]:
    if len(query) >= LONGEST_PASSED:
        query = query[:LONGEST_PASSED].rpartition("&")[0]
    parts = [_named(text) for text in query.split("&") if text]
    if _UNFIT.search(query) is None:
        return [part for part in parts if part[0] not in stripped]
    return [(name, _UNFIT.sub(_encoded, text)) for name, text in parts if name not in stripped]


def _encoded(found: "re.Match[str]") -> str:
    return quote(found[0], safe="", errors="replace")


def _filled(text: str, value_of: ValueOf) -> str:
    def value(found: "re.Match[str]") -> str:
        name = found[2].lower()
        plain = value_of(name)[:_LONGEST_VALUE] if name in MACROS else ""
        return quote(plain, safe=_KEPT_RAW if found[1] else "", errors="replace")

    return _MACRO.sub(value, text) if "{" in text else text
