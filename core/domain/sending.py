"""How an outgoing postback is set up (stored as JSON in `webhooks`), which conversions it tells, when it is tried
again, and how it is signed.

Pure: no clock, no database, no randomness; a draw is by the numbers of webhook and conversion alone.
"""

import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from core.domain.conversions import APPROVED, STATUSES

METHODS = ("GET", "POST")
JSON, FORM, TEXT = "application/json", "application/x-www-form-urlencoded", "text/plain"
CONTENT_TYPES = (JSON, FORM, TEXT)
LONGEST_DELAY_S = 86_400

EVENT, TEST, RESEND = "event", "test", "resend"
KINDS = (EVENT, TEST, RESEND)
"""Kinds of deliveries: a conversion came to a status; a person tried it out with made-up values; a person had it sent
once more."""

WAITING, DONE, FAILED, SKIPPED = "waiting", "done", "failed", "skipped"
STATES = (WAITING, DONE, FAILED, SKIPPED)
"""How a delivery stands: it is to be sent (again); a 2xx came; it was given up; it was left out by the percentage."""

SIGNATURE, KEY, DELIVERY = "Rastro-Signature", "Idempotency-Key", "X-Rastro-Delivery"
OWN_HEADERS = frozenset(
    name.lower()
    for name in (SIGNATURE, KEY, DELIVERY, "Host", "Content-Length", "Content-Type", "Transfer-Encoding")
) | {"connection", "accept-encoding", "expect", "upgrade", "te", "trailer"}
"""Headers (lower case) that nobody may set: they are ours, or the connection's."""

MOST_FAILURES = 20
"""After so many failed attempts in a row a webhook is switched off. With the pauses between them that takes the better
part of an hour: a receiver that starts anew is not lost by it."""

_WAITS_S = (30, 120, 600, 3_600, 21_600, 86_400)
_JITTER = 0.1
_LONGEST_WAIT_S = _WAITS_S[-1]
_LONGEST_PAUSE_S, _LONGEST_ASKED_PAUSE_S = 300, 3_600
_GONE = 410


class SendingSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """`statuses` are those of a conversion that are told, each once; `events` are ours, in lower case, none for all;
    `percentage` is how many of a hundred conversions are told (which ones is drawn once, by the conversion); `delay_s`
    is waited before the first attempt. `headers` are sent along; `content_type` is of the body of a POST."""

    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = JSON
    statuses: tuple[str, ...] = (APPROVED,)
    events: tuple[str, ...] = ()
    percentage: int = 100
    delay_s: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS or not set(self.statuses) <= set(STATUSES):
            raise ValueError("no such method or status")
        if not 1 <= self.percentage <= 100 or not 0 <= self.delay_s <= LONGEST_DELAY_S:
            raise ValueError("percentage from 1 to 100, delay up to a day")


def settings_of(stored: dict[str, Any]) -> SendingSettings:
    """What the column `settings` holds. Raises msgspec.ValidationError."""
    return msgspec.convert(stored, SendingSettings)


def stored(settings: SendingSettings) -> dict[str, Any]:
    """A value for the column `settings`, as the database gives it back: lists, no tuples."""
    built: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(settings))
    return built


def wants(settings: SendingSettings, *, status: str, event: str) -> bool:
    """Whether a conversion with this status and event is told at all."""
    return status in settings.statuses and (not settings.events or event.lower() in settings.events)


def is_drawn(settings: SendingSettings, *, webhook_id: int, conversion_id: int) -> bool:
    """Whether the percentage lets a conversion through: the same answer each time, for each of its statuses; a higher
    percentage leaves nobody out who was in."""
    if settings.percentage >= 100:
        return True
    digest = hashlib.sha256(f"{webhook_id}:{conversion_id}".encode()).digest()
    return int.from_bytes(digest[:8]) % 100 < settings.percentage


def is_accepted(status: int) -> bool:
    """Whether the receiver has taken it: any 2xx. A redirect is not followed, and is a failure."""
    return 200 <= status < 300


def may_heal(status: int) -> bool:
    """Whether another attempt may fare better after this answer: always, but where the receiver says that it is gone
    for good (410)."""
    return status != _GONE


def wait_after(attempts: int, *, jitter: float, retry_after_s: float = 0.0) -> timedelta | None:
    """How long to wait after so many failed attempts: 30 s, 2 min, 10 min, 1 h, 6 h, 24 h, each up to a tenth shorter
    or longer by `jitter` (0 to 1), but no less than the receiver asks for (a day at most). None: enough is enough."""
    if attempts > len(_WAITS_S):
        return None
    wait = _WAITS_S[attempts - 1] * (1 + _JITTER * (2 * jitter - 1))
    return timedelta(seconds=max(wait, min(retry_after_s, _LONGEST_WAIT_S)))


def retry_after_s(value: str, *, now: datetime) -> float:
    """Seconds that a Retry-After header asks for, as a number or as a date; 0 where it says nothing."""
    text = value.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError):
        return 0.0
    aware = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max((aware - now).total_seconds(), 0.0)


def pause_after(failures: int, *, retry_after_s: float = 0.0) -> timedelta:
    """How long a webhook is left alone after so many failed attempts in a row: 1 s, 4 s, 9 s, ... up to 5 min, or as
    long as its receiver asks for (an hour at most). What is due meanwhile waits in line and loses no attempt."""
    pause = min(failures**2, _LONGEST_PAUSE_S)
    return timedelta(seconds=max(pause, min(retry_after_s, _LONGEST_ASKED_PAUSE_S)))


def delivery_key(delivery_id: int) -> str:
    """The value of the header `Idempotency-Key`: the same in each attempt of a delivery."""
    return f"rastro-delivery-{delivery_id}"


def sign(secret: str, covered: str, *, now: datetime) -> str:
    """The value of the header `Rastro-Signature`: `t=SECONDS,v1=HEX`, an HMAC-SHA256 by `secret` over the seconds, a
    dot and what is covered: the body of a POST, the query of a GET."""
    seconds = int(now.timestamp())
    digest = hmac.new(secret.encode(), f"{seconds}.{covered}".encode(), hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"
