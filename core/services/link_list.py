"""Find links: search, filters, order, pages. Fast at 100,000 links: the search has a trigram index."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import unquote

from sqlalchemy import ColumnElement, Select, Subquery, func, literal_column, select
from sqlalchemy.orm import Session

from core.db.models import Domain, Link, LinkTag, Tag
from core.db.tracking import RollupTotal
from core.domain.hosts import HostRefused, check_host
from core.domain.urls import slug_key
from core.services.link_saving import loaded

Sort = Literal["created", "updated", "title", "clicks"]
SORTS: tuple[Sort, ...] = ("created", "updated", "title", "clicks")

CLICKS_OF = timedelta(days=7)
"""The clicks beside each link, and the order by clicks, are people's of this long."""

_MOST_WORDS = 8
_SEARCHED: ColumnElement[str] = literal_column(
    "lower((((links.title || ' '::text) || links.slug) || ' '::text) || links.url)"
)  # the expression of ix_links_search, to the letter: otherwise the index is not used


@dataclass(frozen=True, slots=True)
class LinkFilter:
    """Which links, in which order, which page. Empty values filter nothing; deleted links only where named. `since` is
    when the clicks beside each link begin; without it they are those of CLICKS_OF."""

    search: str = ""
    states: tuple[str, ...] = ("live", "paused", "archived")
    domain_id: int | None = None
    campaign_id: int | None = None
    tag: str = ""
    owner_id: int | None = None
    sort: Sort = "created"
    descending: bool = True
    page: int = 1
    size: int = 50
    since: datetime | None = None


@dataclass(frozen=True, slots=True)
class LinkRow:
    """A link with its domain, campaign, owner and tags at hand, and people's clicks since the filter's `since`."""

    link: Link
    clicks: int


@dataclass(frozen=True, slots=True)
class LinkPage:
    """One page: `total` counts all that match, `page` is the one shown (the last, where a later one was asked)."""

    rows: list[LinkRow]
    total: int
    page: int
    pages: int


def find_links(session: Session, *, filter: LinkFilter, now: datetime) -> LinkPage:
    """Links that match. A pasted short link finds exactly its link; else every word must occur in title, slug or
    destination."""
    wanted = _wanted(session, filter)
    total = session.scalar(select(func.count()).select_from(Link).where(*wanted)) or 0
    size = max(filter.size, 1)
    pages = max(-(-total // size), 1)
    page = min(max(filter.page, 1), pages)
    ids = list(session.scalars(_ordered(wanted, filter, now).limit(size).offset((page - 1) * size)))
    links = {
        link.id: link for link in session.scalars(select(Link).where(Link.id.in_(ids)).options(*loaded()))
    }
    clicks = _clicks_of(session, ids, since=filter.since or now - CLICKS_OF, now=now)
    rows = [
        LinkRow(link=links[link_id], clicks=clicks.get(link_id, 0)) for link_id in ids if link_id in links
    ]
    return LinkPage(rows=rows, total=total, page=page, pages=pages)


def _wanted(session: Session, filter: LinkFilter) -> list[ColumnElement[bool]]:
    wanted: list[ColumnElement[bool]] = [Link.state.in_(filter.states)]
    if filter.domain_id is not None:
        wanted.append(Link.domain_id == filter.domain_id)
    if filter.campaign_id is not None:
        wanted.append(Link.campaign_id == filter.campaign_id)
    if filter.owner_id is not None:
        wanted.append(Link.owner_id == filter.owner_id)
    tag = _readable(filter.tag)
    if tag:
        tagged = select(LinkTag.link_id).join(Tag, Tag.id == LinkTag.tag_id)
        wanted.append(Link.id.in_(tagged.where(Tag.name == tag.lower())))
    search = _readable(filter.search)[:500]
    if search:
        pasted = _pasted(session, search)
        wanted += [_has(word) for word in search.split()[:_MOST_WORDS]] if pasted is None else [pasted]
    return wanted


def _readable(text: str) -> str:
    """Without what PostgreSQL can not be asked about: NUL and lone surrogates."""
    return text.replace("\x00", " ").encode("utf-8", "replace").decode("utf-8").strip()


def _pasted(session: Session, search: str) -> ColumnElement[bool] | None:
    """The condition for the one link whose short URL was pasted; None when the text is no short URL of ours."""
    address = search.split("://", 1)[-1]
    host, slash, path = address.partition("/")
    slug = unquote(path.split("?")[0].split("#")[0])
    if not slash or not slug or len(search.split()) > 1:
        return None
    try:
        domain = session.scalars(select(Domain).where(Domain.host == check_host(host))).one_or_none()
    except HostRefused:
        return None
    if domain is None:
        return None
    key = slug_key(slug.replace("\x00", ""), case_sensitive=domain.case_sensitive)
    return (Link.domain_id == domain.id) & (Link.slug_key == key)


def _has(word: str) -> ColumnElement[bool]:
    escaped = word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return _SEARCHED.like(func.lower(f"%{escaped}%"))


def _ordered(wanted: list[ColumnElement[bool]], filter: LinkFilter, now: datetime) -> Select[Any]:
    query = select(Link.id).where(*wanted)
    if filter.sort == "clicks":
        counted = _clicks(since=filter.since or now - CLICKS_OF, now=now)
        query = query.outerjoin(counted, counted.c.link_id == Link.id)
        first: ColumnElement[Any] = func.coalesce(counted.c.clicks, 0)
    else:
        by_name: dict[str, ColumnElement[Any]] = {
            "created": Link.created_at.expression,
            "updated": Link.updated_at.expression,
            "title": func.lower(func.coalesce(func.nullif(Link.title, ""), Link.slug)),
        }
        first = by_name[filter.sort]
    if filter.descending:
        return query.order_by(first.desc(), Link.id.desc())
    return query.order_by(first, Link.id)


def _clicks(*, since: datetime, now: datetime) -> Subquery:
    return (
        select(RollupTotal.link_id, func.sum(RollupTotal.clicks).label("clicks"))
        .where(RollupTotal.slot >= since, RollupTotal.slot <= now)
        .group_by(RollupTotal.link_id)
        .subquery()
    )


def _clicks_of(session: Session, ids: list[int], *, since: datetime, now: datetime) -> dict[int, int]:
    rows = session.execute(
        select(RollupTotal.link_id, func.sum(RollupTotal.clicks))
        .where(RollupTotal.link_id.in_(ids), RollupTotal.slot >= since, RollupTotal.slot <= now)
        .group_by(RollupTotal.link_id)
    )
    return {link_id: int(clicks) for link_id, clicks in rows}
