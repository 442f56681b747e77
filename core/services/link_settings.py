"""How a link behaves beside leading somewhere: when, by which status, with what to do outside its time."""

from collections.abc import Collection
from datetime import UTC, datetime
from typing import TypedDict

from core.db.models import Link
from core.domain.app_links import ANDROID, IOS, check_app_url
from core.domain.destination import PARAMETER
from core.domain.urls import DestinationRefused, check_destination
from core.services.link_errors import LinkRefused
from core.services.link_passwords import put_password

STATUSES = (302, 307)
LARGEST_CAP = 1_000_000_000
_YEARS = range(2000, 3000)


class LinkSettings(TypedDict, total=False):
    """What may be set; what is left out stays as it is. `None` takes a time, the cap or the password away, "" an
    address."""

    starts_at: datetime | None
    expires_at: datetime | None
    fallback_url: str
    click_cap: int | None
    ios_url: str
    android_url: str
    redirect_status: int
    no_referrer: bool
    pass_query: bool
    click_id_param: str
    password: str | None


SECRET = "password"  # noqa: S105 (the name of a setting that is never shown)
NAMES = tuple(name for name in LinkSettings.__annotations__ if name != SECRET)
"""Settings that are shown and kept in history as they are."""


def put_settings(link: Link, given: LinkSettings, *, own_hosts: Collection[str]) -> None:
    """Check and set what is given. Raises LinkRefused; `field` is the setting's name."""
    if "starts_at" in given:
        link.starts_at = _instant("starts_at", given["starts_at"])
    if "expires_at" in given:
        link.expires_at = _instant("expires_at", given["expires_at"])
    if link.starts_at and link.expires_at and link.starts_at >= link.expires_at:
        raise LinkRefused("expires_at", "The end must come after the start.")
    if "fallback_url" in given:
        link.fallback_url = checked_target("fallback_url", given["fallback_url"], own_hosts=own_hosts)
    if "click_cap" in given:
        link.click_cap = _cap("click_cap", given["click_cap"])
    if "ios_url" in given:
        link.ios_url = _app_url("ios_url", given["ios_url"], system=IOS, own_hosts=own_hosts)
    if "android_url" in given:
        link.android_url = _app_url("android_url", given["android_url"], system=ANDROID, own_hosts=own_hosts)
    if "redirect_status" in given:
        if given["redirect_status"] not in STATUSES:
            raise LinkRefused("redirect_status", "A link answers 302 or 307.")
        link.redirect_status = given["redirect_status"]
    if "no_referrer" in given:
        link.no_referrer = given["no_referrer"]
    if "pass_query" in given:
        link.pass_query = given["pass_query"]
    if "click_id_param" in given:
        link.click_id_param = _parameter("click_id_param", given["click_id_param"])
    if "password" in given:
        put_password(link, given["password"])


def settings_of(link: Link) -> dict[str, object]:
    """What history keeps of the settings: values that JSON has, times in UTC."""
    values = {name: getattr(link, name) for name in NAMES}
    return {
        name: value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
        for name, value in values.items()
    }


def state_at(link: Link, now: datetime) -> str:
    """The link's state as people see it: "scheduled" or "expired" for a live link outside its time."""
    if link.state == "live" and link.expires_at is not None and now >= link.expires_at:
        return "expired"
    if link.state == "live" and link.starts_at is not None and now < link.starts_at:
        return "scheduled"
    return link.state


def checked_target(field: str, url: str, *, own_hosts: Collection[str]) -> str:
    """An address that visitors may be sent to, or "". Raises LinkRefused."""
    if not url.strip():
        return ""
    try:
        return check_destination(url, own_hosts=own_hosts)
    except DestinationRefused as refused:
        raise LinkRefused(field, refused.message) from refused


def _cap(field: str, cap: int | None) -> int | None:
    if cap is not None and not 1 <= cap <= LARGEST_CAP:
        raise LinkRefused(field, f"A limit is a whole number from 1 to {LARGEST_CAP:,}.")
    return cap


def _app_url(field: str, url: str, *, system: str, own_hosts: Collection[str]) -> str:
    if not url.strip():
        return ""
    try:
        return check_app_url(url, system=system, own_hosts=own_hosts)
    except DestinationRefused as refused:
        raise LinkRefused(field, refused.message) from refused


def _parameter(field: str, name: str) -> str:
    name = name.strip()
    if name and not PARAMETER.fullmatch(name):
        raise LinkRefused(field, "A name has 1 to 64 letters without accents, digits, . _ ~ and -.")
    return name


def _instant(field: str, at: datetime | None) -> datetime | None:
    if at is None:
        return None
    if at.tzinfo is None:
        raise LinkRefused(field, "The time has no zone. Write it as 2026-11-27T09:00:00-03:00.")
    if at.year not in _YEARS:
        raise LinkRefused(field, f"The year must lie between {_YEARS[0]} and {_YEARS[-1]}.")
    return at.astimezone(UTC)
