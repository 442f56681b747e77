"""By what conversions without a click id can be credited: clicks of the same customer, and coupons."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from sqlalchemy import Connection, select

from core.db.conversions import Conversion, Coupon
from core.domain.attribution import Touch
from core.domain.sources import CLICK

_ALWAYS = datetime(2000, 1, 1, tzinfo=UTC)


def touches_of_customers(connection: Connection, customers: Collection[str]) -> Mapping[str, list[Touch]]:
    """The clicks by which customers came: those that earlier conversions of theirs named. Customer id -> touches."""
    rows = connection.execute(
        select(
            Conversion.customer_id,
            Conversion.click_id,
            Conversion.link_id,
            Conversion.rule,
            Conversion.variant,
            Conversion.clicked_at,
        ).where(
            Conversion.customer_id.in_(customers),
            Conversion.customer_id != "",
            Conversion.attributed_by == CLICK,
            Conversion.link_id.is_not(None),
            Conversion.clicked_at.is_not(None),
        )
    )
    found: dict[str, list[Touch]] = defaultdict(list)
    for row in rows:
        found[row.customer_id].append(Touch(row.click_id, row.link_id, row.rule, row.variant, row.clicked_at))
    return found


def touches_of_coupons(connection: Connection, codes: Collection[str]) -> Mapping[str, Touch]:
    """The links that coupons stand for now. Code (lower case) -> touch."""
    rows = connection.execute(select(Coupon.code, Coupon.link_id).where(Coupon.code.in_(codes)))
    return {row.code: Touch(None, row.link_id, 0, 0, _ALWAYS) for row in rows}
