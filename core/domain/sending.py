"""How an outgoing postback is set up. Stored as JSON in `webhooks`."""

from typing import Any

import msgspec

from core.domain.conversions import APPROVED, STATUSES

METHODS = ("GET", "POST")


class SendingSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """`statuses` are those of a conversion that are told, each once; `events` are ours, none for all; `percentage` is
    how many of a hundred conversions are told (which ones is drawn once, by the conversion); `delay_s` is waited before
    the first attempt. `headers` are sent along; `content_type` is of the body of a POST."""

    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    content_type: str = "application/json"
    statuses: tuple[str, ...] = (APPROVED,)
    events: tuple[str, ...] = ()
    percentage: int = 100
    delay_s: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS or not set(self.statuses) <= set(STATUSES):
            raise ValueError("no such method or status")
        if not 1 <= self.percentage <= 100 or not 0 <= self.delay_s <= 86_400:
            raise ValueError("percentage from 1 to 100, delay up to a day")


def settings_of(stored: dict[str, Any]) -> SendingSettings:
    """What the column `settings` holds. Raises msgspec.ValidationError."""
    return msgspec.convert(stored, SendingSettings)


def stored(settings: SendingSettings) -> dict[str, Any]:
    """A value for the column `settings`."""
    built: dict[str, Any] = msgspec.to_builtins(settings)
    return built
