"""The editor's form, and the list's filters as they stand in the address."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from flask_babel import lazy_gettext as _l
from wtforms import HiddenField, SelectField, StringField, TextAreaField
from wtforms.validators import InputRequired

from admin_flask.forms import PageForm, strip
from core.services.link_list import SORTS, LinkFilter, Sort

ALL, MINE, ARCHIVE = "all", "mine", "archive"
STATES = ("live", "paused")
PAGE_SIZE = 50


class LinkForm(PageForm):
    """A link as people type it. The services say what is wrong with each field; here only what is missing."""

    url = StringField(_l("Destination"), [InputRequired(_l("Type the address that the link leads to."))])
    domain_id = SelectField(_l("Domain"), coerce=int, validate_choice=True)
    slug = StringField(_l("Slug"), filters=[strip])
    title = StringField(_l("Title"))
    campaign_id = SelectField(_l("Campaign"), coerce=lambda value: int(value) if value else None)
    tags = StringField(_l("Tags"))
    notes = TextAreaField(_l("Notes"))
    version = HiddenField()


@dataclass(frozen=True, slots=True)
class ListFilter:
    """What the list shows, read from the query string. What can not be read filters nothing."""

    view: str = ALL
    q: str = ""
    state: str = ""
    domain: int | None = None
    campaign: int | None = None
    tag: str = ""
    owner: int | None = None
    sort: Sort = "created"
    up: bool = False
    page: int = 1

    @classmethod
    def from_query(cls, args: Mapping[str, str]) -> "ListFilter":
        """Read the filters of an address."""
        sort: Sort = next((name for name in SORTS if name == args.get("sort")), "created")
        return cls(
            view=_one_of(args.get("view"), (ALL, MINE, ARCHIVE)),
            q=args.get("q", "")[:500].strip(),
            state=args["state"] if args.get("state") in STATES else "",
            domain=_number(args.get("domain")),
            campaign=_number(args.get("campaign")),
            tag=args.get("tag", "")[:100].strip(),
            owner=_number(args.get("owner")),
            sort=sort,
            up=args["order"] == "up" if args.get("order") in ("up", "down") else sort == "title",
            page=_number(args.get("page")) or 1,
        )

    def carried(self) -> Iterator[tuple[str, str]]:
        """What a new search keeps: every filter but the words and the page."""
        pairs = (
            ("view", "" if self.view == ALL else self.view),
            ("state", self.state),
            ("domain", self.domain or ""),
            ("campaign", self.campaign or ""),
            ("tag", self.tag),
            ("owner", self.owner or ""),
            ("sort", "" if self.sort == "created" else self.sort),
            ("order", "" if self.up == (self.sort == "title") else "up" if self.up else "down"),
        )
        return ((name, str(value)) for name, value in pairs if value)

    def next_order(self, sort: str) -> str:
        """The order that a press on a head asks for: the other one where it is sorted already."""
        if sort == self.sort:
            return "down" if self.up else "up"
        return "up" if sort == "title" else "down"

    def as_service(self, *, person_id: int, since: datetime) -> LinkFilter:
        """The same for the service. "Mine" are this person's; the archive shows only what was archived; clicks are
        counted from `since`."""
        states: tuple[str, ...] = (self.state,) if self.state else STATES
        return LinkFilter(
            search=self.q,
            states=("archived",) if self.view == ARCHIVE else states,
            domain_id=self.domain,
            campaign_id=self.campaign,
            tag=self.tag,
            owner_id=person_id if self.view == MINE else self.owner,
            sort=self.sort,
            descending=not self.up,
            page=self.page,
            size=PAGE_SIZE,
            since=since,
        )


def split_tags(text: str | None) -> list[str]:
    """Tags as typed, parted by commas."""
    return [tag.strip() for tag in (text or "").split(",") if tag.strip()]


def _one_of(value: str | None, allowed: tuple[str, ...]) -> str:
    return value if value in allowed else allowed[0]


def _number(value: str | None) -> int | None:
    return int(value) or None if value and value.isascii() and value.isdigit() and len(value) < 19 else None
