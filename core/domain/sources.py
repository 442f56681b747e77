"""How a source of conversions is set up, and how its parameters are named. Stored as JSON in `conversion_sources`."""

from decimal import Decimal
from typing import Any

import msgspec

from core.domain.conversions import APPROVED, UPDATE

FIELDS = (
    "click_id",
    "transaction_id",
    "amount",
    "currency",
    "status",
    "event",
    "payout",
    "cost",
    "customer_id",
    "coupon",
    "time",
)
"""What a parameter can be read as; every other one is kept, and not used."""

AUTO, POINT, COMMA, MINOR = "auto", "point", "comma", "minor"
AMOUNT_STYLES = (AUTO, POINT, COMMA, MINOR)
"""How amounts are written: found out from each; 1,234.56; 1.234,56; in cents (of currencies that have them)."""

NONE, FROM_PARAMETER, FIXED, PERCENT = "none", "parameter", "fixed", "percent"
PAYOUTS = (NONE, FROM_PARAMETER, FIXED, PERCENT)

CLICK, CUSTOMER, COUPON = "click", "customer", "coupon"
ATTRIBUTIONS = (CLICK, CUSTOMER, COUPON)
LAST, FIRST = "last", "first"
MODELS = (LAST, FIRST)


class SignatureSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """As `contracts.source_snapshot.Signature`, without its keys. Off while `header` is ""."""

    header: str = ""
    covers: str = "body"
    algorithm: str = "sha256"
    encoding: str = "hex"
    prefix: str = ""
    time_header: str = ""
    tolerance_s: int = 300


class SourceSettings(msgspec.Struct, frozen=True, omit_defaults=True):
    """Everything about a source that changes how it is taken and read.

    `fields` maps each of FIELDS to the names of parameters that it may come in, first one first: of a form, a query, a
    header (`header:x-shopify-topic`), or a path into JSON (`purchase.price.value`, `line_items.0.id`). `statuses` maps
    what the source says (lower case) to one of STATUSES, "rebill" or "ignore"; what is not named is unreadable, unless
    `default_status` says what a missing one means. `events` maps its words for events to ours. `window_days` 0 means
    without end. `payout` is a number for "fixed" and "percent". `campaigns` limits it to links of these, none for all.
    `reply` is the body that the network expects, "" for "OK"."""

    fields: dict[str, tuple[str, ...]] = {}
    statuses: dict[str, str] = {}
    default_status: str = APPROVED
    events: dict[str, str] = {}
    default_event: str = "sale"
    currency: str = ""
    amounts: str = AUTO
    duplicates: str = UPDATE
    window_days: int = 30
    payout_kind: str = NONE
    payout: str = "0"
    networks: tuple[str, ...] = ()
    signature: SignatureSettings = SignatureSettings()
    reply: str = ""
    attribution: tuple[str, ...] = (CLICK,)
    model: str = LAST
    campaigns: tuple[int, ...] = ()


def settings_of(stored: dict[str, Any]) -> SourceSettings:
    """What the column `settings` holds. Raises msgspec.ValidationError."""
    return msgspec.convert(stored, SourceSettings)


def stored(settings: SourceSettings) -> dict[str, Any]:
    """A value for the column `settings`."""
    built: dict[str, Any] = msgspec.to_builtins(settings)
    return built


def payout_of(settings: SourceSettings, *, revenue: Decimal, said: Decimal | None) -> Decimal:
    """What is paid out for a conversion, in its currency, rounded to six decimals; `said` is what its postback named.
    Raises decimal.InvalidOperation for a payout rule that is no number."""
    if settings.payout_kind == FROM_PARAMETER:
        return said or Decimal(0)
    if settings.payout_kind == FIXED:
        return Decimal(settings.payout)
    if settings.payout_kind == PERCENT:
        return (revenue * Decimal(settings.payout) / 100).quantize(Decimal("0.000001"))
    return Decimal(0)
