"""What conversions may be credited to: clicks, the clicks of customers' earlier conversions, links of coupons."""

import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select

from core.db.arrays import uuids
from core.db.conversions import Conversion, Coupon
from core.db.models import Link
from core.db.queries import query
from core.domain.attribution import Touch, time_of


@dataclass(frozen=True, slots=True)
class Credit:
    """What a conversion is credited to, by which of ATTRIBUTIONS; `facts` are for the reason of the verdict."""

    touch: Touch
    by: str
    is_late: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FoundClick:
    """A stored click; `bot` is the reason to take it for a robot's, "" for a person's."""

    touch: Touch
    campaign_id: int | None
    bot: str


def find_clicks(connection: Connection, ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, FoundClick]:
    """Those of these clicks that are stored."""
    wanted = sorted(ids)
    if not wanted:
        return {}
    values = {"ids": uuids([one.bytes for one in wanted]), "first": wanted[0], "last": wanted[-1]}
    found = {}
    for row in connection.execute(query("find_clicks"), values):
        touch = Touch(row.id, row.link_id, int(row.rule or 0), int(row.variant or 0), time_of(row.id))
        found[row.id] = FoundClick(touch, row.campaign_id, row.bot)
    return found


def touches_of(connection: Connection, customer_ids: Collection[str]) -> dict[tuple[int, str], list[Touch]]:
    """By source and customer: what earlier conversions of the customer were credited to."""
    touches: dict[tuple[int, str], list[Touch]] = {}
    if not customer_ids:
        return touches
    rows = connection.execute(
        select(
            *(Conversion.source_id, Conversion.customer_id, Conversion.click_id, Conversion.link_id),
            *(Conversion.rule, Conversion.variant, Conversion.clicked_at, Conversion.at),
        ).where(
            Conversion.customer_id.in_(customer_ids),
            Conversion.customer_id != "",
            Conversion.link_id.is_not(None),
        )
    )
    for row in rows:
        touch = Touch(row.click_id, row.link_id, row.rule, row.variant, row.clicked_at or row.at)
        touches.setdefault((row.source_id, row.customer_id), []).append(touch)
    return touches


def links_of(connection: Connection, coupons: Collection[str]) -> dict[str, tuple[int, int | None]]:
    """By coupon: the link that it was given out with, and that link's campaign."""
    if not coupons:
        return {}
    rows = connection.execute(
        select(Coupon.code, Coupon.link_id, Link.campaign_id)
        .join(Link, Link.id == Coupon.link_id)
        .where(Coupon.code.in_(coupons))
    )
    return {row.code: (row.link_id, row.campaign_id) for row in rows}
