"""What there is to say about a slug before it is saved: free, taken, refused, and what stops working."""

from dataclasses import dataclass

from flask import url_for
from flask_babel import gettext

from admin_flask.access import zone
from admin_flask.filters import number
from admin_flask.held import db, moment, read_report
from core.db.models import Link
from core.db.reports import link_figures
from core.services.links import LinkRefused, SlugRefused, SlugTaken, check_slug_free


@dataclass(frozen=True, slots=True)
class Note:
    """A line beneath the slug. tone: good, err, warn or nothing; `use` is a free slug to take instead, `href` leads to
    the link that has it."""

    text: str
    tone: str = ""
    use: str = ""
    href: str = ""

    @property
    def is_error(self) -> bool:
        return self.tone == "err"


def slug_notes(*, slug: str, domain_id: int | None, host: str, link: Link | None) -> list[Note]:
    """Notes for a slug that was typed, for a new link or for `link`. None where it is the one that is saved."""
    if link is None and not slug:
        return [Note(gettext("Leave it empty to get a short random one."))]
    if link is not None and (slug, domain_id) == (link.slug, link.domain_id):
        return []
    try:
        checked = check_slug_free(
            db.session(), domain_id=domain_id, slug=slug, link_id=link.id if link else None
        )
    except SlugTaken as taken:
        return [taken_note(taken)]
    except (SlugRefused, LinkRefused) as refused:
        return [Note(refused.message, tone="err")]
    free = Note(gettext("%(slug)s is free on %(host)s.", slug=checked, host=host), tone="good")
    return [free, _farewell(link)] if link else [free]


def taken_note(taken: SlugTaken) -> Note:
    """Whose the slug is, and the two ways out."""
    return Note(
        str(taken),
        tone="err",
        use=taken.suggestion,
        href=url_for("links.detail", link_id=taken.link_id) if taken.link_id else "",
    )


def _farewell(link: Link) -> Note:
    figures = read_report(link_figures, link_ids=[link.id], now=moment(), zone=zone(), days=1)
    today = figures[link.id].clicks
    text = gettext("%(slug)s stops working when you save.", slug=link.slug)
    if today:
        text += " " + gettext("It had %(n)s clicks today.", n=number(today))
    return Note(text, tone="warn")
