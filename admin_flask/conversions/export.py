"""Conversions as a CSV file: safe to open in a spreadsheet, times in the person's zone."""

import csv
import io
from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from admin_flask.link_names import title_of
from core.services.conversion_list import ConversionRow

BOM = "\ufeff"
"""By it Excel knows that the file is UTF-8."""

_COLUMNS = (
    "id",
    "time",
    "source",
    "transaction_id",
    "event",
    "status",
    "rebill",
    "repeat",
    "late",
    "link_id",
    "link",
    "campaign",
    "variant",
    "click_id",
    "click_time",
    "credited_by",
    "customer_id",
    "coupon",
    "currency",
    "revenue",
    "payout",
    "cost",
    "rate",
    "report_currency",
    "report_revenue",
    "report_payout",
    "report_cost",
    "report_profit",
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What begins like this a spreadsheet runs; an apostrophe in front makes it text."""


def file_name(now: datetime, zone: ZoneInfo) -> str:
    """ "conversions-2026-11-27-America-Sao_Paulo.csv": the day of the export and the zone of its times."""
    return f"conversions-{now.astimezone(zone):%Y-%m-%d}-{str(zone).replace('/', '-')}.csv"


def lines_of(lots: Iterable[list[ConversionRow]], *, zone: ZoneInfo, currency: str) -> Iterator[str]:
    """The file in pieces, one for each lot; the head comes also where nothing follows."""
    yield BOM + _written([_COLUMNS])
    for lot in lots:
        yield _written(_cells(row, zone=zone, currency=currency) for row in lot)


def cell(value: object) -> str:
    """A value as a cell. Numbers stay numbers, negative ones too; text never becomes a formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        text = f"{value:f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    if isinstance(value, int):
        return str(value)
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _cells(row: ConversionRow, *, zone: ZoneInfo, currency: str) -> list[str]:
    it, link = row.conversion, row.link
    money = (it.report_revenue, it.report_payout, it.report_cost)
    profit = None if None in money else money[0] - money[1] - money[2]  # type: ignore[operator]
    values = (
        it.id,
        _time(it.at, zone),
        row.source,
        it.transaction_id,
        it.event,
        it.status,
        it.is_rebill,
        it.repeat,
        it.is_late,
        it.link_id,
        title_of(link) if link else "",
        link.campaign.name if link and link.campaign else "",
        row.variant,
        it.click_id,
        _time(it.clicked_at, zone),
        it.attributed_by,
        it.customer_id,
        it.coupon,
        it.currency,
        it.revenue,
        it.payout,
        it.cost,
        it.rate,
        currency,
        *money,
        profit,
    )
    return [cell(value) for value in values]


def _time(moment: datetime | None, zone: ZoneInfo) -> str:
    return "" if moment is None else moment.astimezone(zone).isoformat(timespec="seconds")


def _written(rows: Iterable[Iterable[str]]) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()
