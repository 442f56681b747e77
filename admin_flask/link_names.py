"""What links are called on pages."""

from collections.abc import Collection

from sqlalchemy import select

from admin_flask.held import db
from core.db.models import Link

LONGEST_SHOWN = 90


def title_of(link: Link) -> str:
    """The link's title; without one, where it leads."""
    return link.title or plain_address(link.url).split("?", 1)[0]


def plain_address(url: str) -> str:
    """An address as people read it: without its scheme, a lone slash at the end, and what would not fit anyway."""
    text = url.split("://", 1)[-1]
    text = text[:-1] if text.endswith("/") and text.count("/") == 1 else text
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "…"


def titles_of(ids: Collection[int]) -> dict[int, str]:
    """What links are called, by their ids, deleted ones too; one that never was by its number."""
    links = db.session().scalars(select(Link).where(Link.id.in_(ids)))
    return {one: str(one) for one in ids} | {link.id: title_of(link) for link in links}
