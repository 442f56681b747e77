"""What a network would send, filled in: for a test, and to read. Pure."""

from urllib.parse import quote

from core.domain.conversions import APPROVED
from core.domain.presets import CLICK_ID
from core.domain.sources import SourceSettings

EXAMPLE = {
    "transaction_id": "TEST-1001",
    "amount": "12.34",
    "currency": "USD",
    "payout": "3.00",
    "cost": "1.00",
    "customer_id": "C-7",
    "coupon": "WELCOME10",
}
"""What a filled-in example says, by field; click id, status and event are its own matter."""


def example_query(query: str, settings: SourceSettings, *, click_id: str) -> str:
    """`query` with every macro replaced by an example that `settings` can read. Parameters that are read as nothing
    keep a plain value, so that no macro is left to be sent literally."""
    filled = []
    for part in query.split("&") if query else ():
        name, _, _macro = part.partition("=")
        filled.append(f"{name}={quote(_example(name, settings, click_id), safe='')}")
    return "&".join(filled)


def example_body(body: str, *, click_id: str) -> str:
    """`body` as the network would send it for this click."""
    return body.replace(CLICK_ID, click_id)


def _example(parameter: str, settings: SourceSettings, click_id: str) -> str:
    field = next((field for field, names in settings.fields.items() if parameter in names), "")
    if field == "click_id":
        return click_id
    if field == "status":
        wanted = (said for said, means in settings.statuses.items() if means == APPROVED)
        return next(wanted, settings.default_status)
    if field == "event":
        return next(iter(settings.events), settings.default_event)
    return EXAMPLE.get(field, "1")
