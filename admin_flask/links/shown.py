"""A link as its pages show it: texts and addresses ready, and what this person may do with it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from flask import url_for
from flask_babel import gettext

from admin_flask.access import me
from admin_flask.held import held, moment
from admin_flask.link_names import plain_address, title_of
from core.db.models import Link
from core.services.link_settings import state_at
from core.services.links import short_url


@dataclass(frozen=True, slots=True)
class Act:
    """Something that can be done with a link by one press."""

    name: str
    href: str
    label: str
    icon: str
    kind: str = "quiet"


@dataclass(frozen=True, slots=True)
class LinkShown:
    """A link. Numbers are those of the last seven days; on pages that do not ask for them they stay empty."""

    id: int
    href: str
    title: str
    host: str
    slug: str
    short_url: str
    url: str
    url_shown: str
    state: str
    created_at: datetime
    edit_href: str
    acts: list[Act]
    campaign: str
    campaign_href: str
    tags: list[str]
    clicks: int = 0
    uniques: int = 0
    days: Sequence[int] = field(default=())
    last_click: datetime | None = None


def show_link(
    link: Link,
    *,
    clicks: int = 0,
    uniques: int = 0,
    days: Sequence[int] = (),
    last_click: datetime | None = None,
) -> LinkShown:
    """Make `link` (with its domain, campaign and tags at hand) ready for a template."""
    address = short_url(link, held().settings)
    can_edit = me().may("links.edit") and link.state != "deleted"
    return LinkShown(
        id=link.id,
        href=url_for("links.detail", link_id=link.id),
        title=title_of(link),
        host=address.split("://", 1)[1].rpartition("/")[0],
        slug=link.slug,
        short_url=address,
        url=link.url,
        url_shown=plain_address(link.url),
        state=state_at(link, moment()),
        created_at=link.created_at,
        edit_href=url_for("links.edit", link_id=link.id) if can_edit else "",
        acts=_acts(link),
        campaign=link.campaign.name if link.campaign else "",
        campaign_href=url_for("links.index", campaign=link.campaign_id) if link.campaign else "",
        tags=[tag.name for tag in link.tags],
        clicks=clicks,
        uniques=uniques,
        days=days,
        last_click=last_click,
    )


def _acts(link: Link) -> list[Act]:
    labels = {
        "pause": (gettext("Pause"), "player-pause", "quiet"),
        "resume": (gettext("Resume"), "player-play", "quiet"),
        "archive": (gettext("Archive"), "archive", "quiet"),
        "restore": (gettext("Restore"), "archive-off", "quiet"),
        "delete": (gettext("Delete"), "trash", "bad"),
    }
    names = {"live": ("pause", "archive"), "paused": ("resume", "archive"), "archived": ("restore", "delete")}
    return [
        Act(name, url_for(f"links.{name}", link_id=link.id), *labels[name])
        for name in names.get(link.state, ("restore",))
        if me().may("links.delete" if name == "delete" else "links.edit")
    ]
