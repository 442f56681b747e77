"""The pages of the manager, in the order people meet them. A later page is one more entry here."""

from dataclasses import dataclass
from typing import Any

from flask import current_app, request, url_for
from flask_babel import gettext, lazy_gettext

from admin_flask.access import me


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the navigation: shown to who has `permission`, once its view exists."""

    endpoint: str
    label: object
    icon: str
    permission: str
    on_phone: bool = False

    @property
    def url(self) -> str:
        return url_for(self.endpoint)

    @property
    def is_here(self) -> bool:
        """True on every page of the same blueprint; of Settings also on the pages within it."""
        within = SETTINGS if self.endpoint == "settings.domains" else (self,)
        return request.blueprint in {page.endpoint.partition(".")[0] for page in within}


@dataclass(frozen=True, slots=True)
class Group:
    """Pages under one small heading; the first group has none."""

    label: object
    entries: tuple[Page, ...]


GROUPS = (
    Group("", (Page("links.index", lazy_gettext("Links"), "link", "links.view", on_phone=True),)),
    Group(
        lazy_gettext("Find out why"),
        (
            Page("conversions.index", lazy_gettext("Conversions"), "receipt-2", "conversions.view"),
            Page("postbacks.index", lazy_gettext("Postbacks"), "inbox", "postbacks.view"),
        ),
    ),
    Group(
        lazy_gettext("Run"),
        (
            Page("queues.index", lazy_gettext("Queues"), "stack-2", "queues.view"),
            Page("settings.domains", lazy_gettext("Settings"), "settings", "domains.view"),
        ),
    ),
)

SETTINGS = (
    Page("settings.domains", lazy_gettext("Domains"), "world", "domains.view"),
    Page("sources.index", lazy_gettext("Sources"), "plug", "sources.view"),
    Page("sources.rates", lazy_gettext("Exchange rates"), "coins", "sources.view"),
    Page("sending.index", lazy_gettext("Sending on"), "send", "sending.view"),
)
"""Pages within Settings; shown as tabs once there is more than one."""


def navigation() -> tuple[Group, ...]:
    """The groups this person sees, without empty ones."""
    groups = (Group(group.label, shown(group.entries)) for group in GROUPS)
    return tuple(group for group in groups if group.entries)


def shown(pages: tuple[Page, ...]) -> tuple[Page, ...]:
    """Those of `pages` that exist and that this person may see."""
    return tuple(page for page in pages if page_url(page.endpoint, page.permission))


def page_url(endpoint: str, permission: str = "", **values: Any) -> str | None:
    """Address of a page, None when it does not exist or this person may not see it."""
    if endpoint not in current_app.view_functions or (permission and not me().may(permission)):
        return None
    return url_for(endpoint, **values)


def role_name(role: str) -> str:
    """A role as people read it."""
    return {
        "admin": gettext("Administrator"),
        "marketer": gettext("Marketing"),
        "support": gettext("Support"),
        "viewer": gettext("Viewer"),
    }.get(role, role)


def role_text(role: str) -> str:
    """What a role may do, in one line."""
    return {
        "admin": gettext("Everything, with people, keys and domains."),
        "marketer": gettext("Makes and changes links, and sees every report."),
        "support": gettext("Sees links, reports and single clicks; changes nothing."),
        "viewer": gettext("Sees links and reports; changes nothing."),
    }.get(role, "")
