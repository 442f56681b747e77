"""Live tests: a click id that stands for no click, and what comes back for it. It counts nowhere."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from sqlalchemy import and_, delete, or_, select
from sqlalchemy.orm import Session, joinedload

from core.contracts.postback_event import TOKEN
from core.db.conversions import Postback, SourceTest
from core.db.models import Link
from core.db.postback_store import first_id
from core.domain.conversions import NEW
from core.domain.destination import CLICK_ID_MACROS, resolve
from core.domain.urls import ascii_url
from core.services.actor import Actor

KEPT = timedelta(days=30)
"""After that what comes for a test's click id names an unknown click."""

MOST_SHOWN = 5
MOST_LINKS = 5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What came since a test began: for its click id, and from the same source (or with a token that nobody has)
    without it; each the newest first."""

    ours: Sequence[Postback]
    others: Sequence[Postback]


@dataclass(frozen=True, slots=True)
class Landing:
    """Where a link leads for the test's click id; `hands_over` is False where real clicks of it take no click id
    along, and only this test does."""

    link: Link
    url: str
    hands_over: bool


def start_test(session: Session, *, source_id: int, actor: Actor, now: datetime) -> UUID:
    """Make a click id, and remember that it is a test of this source. Those of a month ago are forgotten."""
    ms = (now - _EPOCH) // timedelta(milliseconds=1)
    number = ms << 80 | 7 << 76 | secrets.randbits(12) << 64 | 2 << 62 | secrets.randbits(62)
    click_id = UUID(int=number)
    session.execute(delete(SourceTest).where(SourceTest.started_at < now - KEPT))
    session.add(
        SourceTest(
            click_id=click_id,
            source_id=source_id,
            started_by=actor.id if actor.kind == "user" else None,
            started_at=now,
        )
    )
    session.commit()
    return click_id


def find_test(session: Session, *, source_id: int, click_id: UUID) -> SourceTest | None:
    """The test with this click id, None where this source has none."""
    query = select(SourceTest).where(SourceTest.click_id == click_id, SourceTest.source_id == source_id)
    return session.scalars(query).one_or_none()


def arrivals(session: Session, test: SourceTest) -> Arrivals:
    """What came since the test began, and was judged by now."""
    named = Postback.terms.contains([str(test.click_id)])
    ours = select(Postback).where(named).order_by(Postback.id.desc()).limit(MOST_SHOWN)
    whose = or_(
        Postback.source_id == test.source_id, and_(Postback.source_id.is_(None), Postback.refused == TOKEN)
    )
    others = (
        select(Postback)
        .where(whose, Postback.id >= first_id(test.started_at), ~named, Postback.verdict != NEW)
        .order_by(Postback.id.desc())
        .limit(MOST_SHOWN)
    )
    return Arrivals(ours=session.scalars(ours).all(), others=session.scalars(others).all())


def landings(
    session: Session, *, campaigns: Sequence[int], click_id: UUID, click_param: str
) -> list[Landing]:
    """The newest live links that the source may sell for, and where each would lead for this click id; a link that
    hands none over gets it as `click_param`."""
    query = select(Link).where(Link.state == "live").options(joinedload(Link.domain))
    if campaigns:
        query = query.where(Link.campaign_id.in_(campaigns))
    links = session.scalars(query.order_by(Link.id.desc()).limit(MOST_LINKS))
    return [_landing(link, str(click_id), click_param) for link in links]


def _landing(link: Link, click_id: str, click_param: str) -> Landing:
    def value_of(macro: str) -> str:
        return click_id if macro in CLICK_ID_MACROS else ""

    def led(param: str) -> str:
        return resolve(ascii_url(link.url), click_id_param=param, value_of=value_of).url

    url = led(link.click_id_param)
    if click_id in url:
        return Landing(link=link, url=url, hands_over=True)
    return Landing(link=link, url=led(click_param), hands_over=False)
