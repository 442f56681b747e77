"""What may be set of a source: checked before it is saved, in words for people. Pure."""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from ipaddress import ip_network
from typing import NoReturn

import msgspec

from core.domain.conversions import DUPLICATES, STATUSES
from core.domain.currencies import DECIMALS
from core.domain.reading import IGNORE, REBILL
from core.domain.sources import (
    AMOUNT_STYLES,
    ATTRIBUTIONS,
    CLICK,
    FIELDS,
    MODELS,
    PAYOUTS,
    PERCENT,
    SignatureSettings,
    SourceSettings,
)

MEANINGS = (*STATUSES, REBILL, IGNORE)
"""What a source's word for a status may mean."""

ALGORITHMS = ("sha256", "sha1", "sha512")
ENCODINGS = ("hex", "base64")
COVERS = ("body", "time.body")

LONGEST_NAME = 100
LONGEST_WINDOW_DAYS = 3650
LONGEST_REPLY = 500
MOST_NETWORKS = 200
SHORTEST_KEY, LONGEST_KEY = 8, 500
_MOST_NAMES = 30
_MOST_WORDS = 200
_LONGEST_PARAMETER = 200
_LARGEST_PAYOUT = Decimal(1_000_000_000)

_EVENT = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_HEADER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")
_HEADER_FIELD = "header:"


class SourceRefused(Exception):
    """A field can not be taken: `field` names it (a field of SourceSettings, `fields.NAME`, `signature.NAME`, or name,
    preset, key), `message` says why."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


def check_settings(settings: SourceSettings) -> SourceSettings:
    """The settings as they are stored: names stripped, words in lower case, networks in one spelling. Raises
    SourceRefused for the first that can not be taken."""
    _one_of("amounts", settings.amounts, AMOUNT_STYLES)
    _one_of("duplicates", settings.duplicates, DUPLICATES)
    _one_of("model", settings.model, MODELS)
    _one_of("payout_kind", settings.payout_kind, PAYOUTS)
    _one_of("default_status", settings.default_status, ("", *STATUSES))
    if not 0 <= settings.window_days <= LONGEST_WINDOW_DAYS:
        _refuse("window_days", f"From 1 to {LONGEST_WINDOW_DAYS:,} days, or 0 for ever.")
    attribution = tuple(dict.fromkeys(settings.attribution))
    for name in attribution:
        _one_of("attribution", name, ATTRIBUTIONS)
    if not attribution:
        _refuse("attribution", "Choose at least one way to find whose a conversion is.")
    fields = _fields(settings.fields)
    if CLICK in attribution and not fields.get("click_id"):
        _refuse("fields.click_id", "Name the parameter that the click id comes in.")
    return msgspec.structs.replace(
        settings,
        fields=fields,
        statuses=_statuses(settings.statuses),
        events=_events(settings.events),
        default_event=_event("default_event", settings.default_event),
        currency=check_currency("currency", settings.currency) if settings.currency.strip() else "",
        payout=_payout(settings.payout_kind, settings.payout),
        networks=_networks(settings.networks),
        signature=_signature(settings.signature),
        reply=_reply(settings.reply),
        attribution=attribution,
        campaigns=tuple(dict.fromkeys(settings.campaigns)),
    )


def check_name(text: str) -> str:
    """A source's name as it is stored. Raises SourceRefused."""
    words = " ".join(text.split())
    if not words or len(words) > LONGEST_NAME or not words.isprintable():
        _refuse("name", f"Give it a name of at most {LONGEST_NAME} characters, such as the network's own.")
    return words


def check_currency(field: str, text: str) -> str:
    """A currency's code (ISO 4217). Raises SourceRefused."""
    code = text.strip().upper()
    if code not in DECIMALS:
        _refuse(field, "There is no such currency. Its code has three letters, such as USD, EUR or BRL.")
    return code


def check_key(text: str) -> bytes:
    """A signing key as it is stored: its text in UTF-8. Raises SourceRefused."""
    key = text.strip()
    if not SHORTEST_KEY <= len(key) <= LONGEST_KEY or not key.isprintable():
        _refuse("key", f"A signing key has from {SHORTEST_KEY} to {LONGEST_KEY} characters.")
    return key.encode("utf-8")


def wanted_headers(settings: SourceSettings) -> tuple[str, ...]:
    """Names (lower case) of the headers that a source is read by."""
    names = (name for parameters in settings.fields.values() for name in parameters)
    headers = (name.removeprefix(_HEADER_FIELD) for name in names if name.startswith(_HEADER_FIELD))
    return tuple(sorted(set(headers)))


def _fields(fields: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    owner: dict[str, str] = {}
    checked = {}
    for field in FIELDS:
        names = _names(fields.get(field, ()))
        place = f"fields.{field}"
        if len(names) > _MOST_NAMES:
            _refuse(place, f"At most {_MOST_NAMES} names; these are {len(names)}.")
        for name in names:
            if len(name) > _LONGEST_PARAMETER or not name.isprintable():
                _refuse(place, f"A name has at most {_LONGEST_PARAMETER} characters that can be seen.")
            if name.startswith(_HEADER_FIELD) and not _HEADER.fullmatch(name.removeprefix(_HEADER_FIELD)):
                _refuse(place, f"{name} names no header. Write it as header:x-order-id.")
            if name.lower() in owner:
                _refuse(place, f"{name} is read as {owner[name.lower()].replace('_', ' ')} already.")
            owner[name.lower()] = field
        if names:
            checked[field] = names
    if unknown := set(fields) - set(FIELDS):
        _refuse("fields", f"There is no field {min(unknown)}.")
    return checked


def _names(names: Iterable[str]) -> tuple[str, ...]:
    """Names of parameters, each once: upper and lower case are one to the reader."""
    once: dict[str, str] = {}
    for name in filter(None, (name.strip() for name in names)):
        lower = name.lower()
        once.setdefault(lower, lower if lower.startswith(_HEADER_FIELD) else name)
    return tuple(once.values())


def _statuses(statuses: Mapping[str, str]) -> dict[str, str]:
    checked = _words("statuses", statuses)
    for said, means in checked.items():
        if means not in MEANINGS:
            _refuse("statuses", f"“{said}” can not mean “{means}”.")
    return checked


def _events(events: Mapping[str, str]) -> dict[str, str]:
    return {said: _event("events", name) for said, name in _words("events", events).items()}


def _words(place: str, words: Mapping[str, str]) -> dict[str, str]:
    checked: dict[str, str] = {}
    for said, means in words.items():
        key = said.strip().lower()
        if not key:
            continue
        if len(key) > _LONGEST_PARAMETER or not key.isprintable():
            _refuse(place, f"A word has at most {_LONGEST_PARAMETER} characters that can be seen.")
        if checked.get(key, means) != means:
            _refuse(place, f"“{key}” stands there twice, with two meanings.")
        checked[key] = means
    if len(checked) > _MOST_WORDS:
        _refuse(place, f"At most {_MOST_WORDS} words; these are {len(checked)}.")
    return checked


def _event(place: str, text: str) -> str:
    name = text.strip().lower()
    if not _EVENT.fullmatch(name):
        _refuse(
            place, "An event has 1 to 64 letters without accents, digits, and . _ -, such as sale or lead."
        )
    return name


def _payout(kind: str, text: str) -> str:
    if kind not in ("fixed", PERCENT):
        return "0"
    try:
        amount = Decimal(text.strip().replace(",", "."))
    except InvalidOperation:
        _refuse("payout", "Type a number, such as 12.50.")
    if not amount.is_finite() or not 0 <= amount <= _LARGEST_PAYOUT:
        _refuse("payout", "Type a number from 0 up, such as 12.50.")
    if kind == PERCENT and amount > 100:
        _refuse("payout", "At most 100 percent of the amount can be paid out.")
    if -int(amount.as_tuple().exponent) > 6:
        _refuse("payout", "At most six decimals.")
    return str(amount)


def _networks(networks: Iterable[str]) -> tuple[str, ...]:
    checked = []
    for text in filter(None, (network.strip() for network in networks)):
        try:
            checked.append(str(ip_network(text, strict=False)))
        except ValueError:
            _refuse("networks", f"{text} is no address and no range. Write 203.0.113.7 or 203.0.113.0/24.")
    if len(checked) > MOST_NETWORKS:
        _refuse("networks", f"At most {MOST_NETWORKS} ranges; these are {len(checked)}.")
    return tuple(dict.fromkeys(checked))


def _signature(signature: SignatureSettings) -> SignatureSettings:
    header, time_header = signature.header.strip(), signature.time_header.strip()
    if not header:
        return SignatureSettings()
    for place, name in (("signature.header", header), ("signature.time_header", time_header)):
        if name and not _HEADER.fullmatch(name):
            _refuse(place, "A header's name has letters, digits and -, such as X-Signature.")
    _one_of("signature.covers", signature.covers, COVERS)
    _one_of("signature.algorithm", signature.algorithm, ALGORITHMS)
    _one_of("signature.encoding", signature.encoding, ENCODINGS)
    if len(signature.prefix) > 40 or not signature.prefix.isprintable():
        _refuse("signature.prefix", "At most 40 characters, such as sha256=.")
    if signature.covers == "time.body" and not time_header:
        _refuse(
            "signature.time_header", "Name the header that the time stamp comes in: the signature covers it."
        )
    if time_header and signature.covers != "time.body":
        _refuse(
            "signature.time_header",
            "A time stamp that is not signed protects nothing: sign it, or leave it out.",
        )
    if not 10 <= signature.tolerance_s <= 86_400:
        _refuse("signature.tolerance_s", "From 10 seconds to 86,400, a day.")
    return msgspec.structs.replace(signature, header=header, time_header=time_header)


def _reply(text: str) -> str:
    reply = text.strip()
    if len(reply) > LONGEST_REPLY or not (reply.isascii() and reply.isprintable()):
        _refuse("reply", f"At most {LONGEST_REPLY} characters on one line, without accents.")
    return reply


def _one_of(field: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        _refuse(field, f"Choose one of {', '.join(name or 'none' for name in allowed)}.")


def _refuse(field: str, message: str) -> NoReturn:
    raise SourceRefused(field, message)
