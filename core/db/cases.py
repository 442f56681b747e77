"""A postback before the bench, until it has its verdict."""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from core.db.conversion_rows import NOBODY, Cause, ConversionRow, Kept, Key
from core.db.credits import Credit
from core.db.judgements import Judgement
from core.db.postback_store import PostbackRow
from core.domain.amounts import in_digits
from core.domain.conversions import NO_CLICK, REPEATED, WAITING, Standing
from core.domain.reading import Reading
from core.domain.sources import SourceSettings, payout_of


@dataclass(slots=True)
class Case:
    """One postback. Without a verdict it names a conversion by `key`; `credit` is what a new one is
    credited to, `otherwise` the verdict where there is neither."""

    row: PostbackRow
    reading: Reading
    settings: SourceSettings
    cause: Cause
    key: Key | None = None
    verdict: str = ""
    why: dict[str, Any] = field(default_factory=dict)
    next_try: datetime | None = None
    credit: Credit | None = None
    otherwise: tuple[str, dict[str, Any]] = (NO_CLICK, {"code": "unknown_click"})
    kept: Kept | None = None
    changed: bool = False
    before: dict[str, str] = field(default_factory=dict)

    def say(self, verdict: str, code: str, **facts: Any) -> None:
        """Give the verdict."""
        self.verdict, self.why = verdict, {"code": code, **facts}

    def judgement(self) -> Judgement:
        """The outcome, once everything is decided."""
        waits = self.verdict == WAITING
        return Judgement(
            self.row.id,
            self.verdict,
            self.why,
            self.reading,
            self.kept.row.id if self.kept else self.row.conversion_id,
            self.changed,
            self.before,
            standing_in_words(self.kept),
            self.row.attempts + 1 if waits else self.row.attempts,
            self.next_try if waits else None,
        )


def standing_in_words(kept: Kept | None) -> dict[str, str]:
    """How a conversion stands, for `Judgement.before` and `after`; empty for none."""
    if kept is None:
        return {}
    row = kept.row
    return {"status": row.status, "revenue": in_digits(row.revenue), "currency": row.currency}


def new_row(case: Case, report_currency: str) -> ConversionRow:
    """The conversion that a postback asks for, by its key and credit."""
    reading, credit = case.reading, case.credit
    touch = credit.touch if credit else None
    key = case.key or (case.row.event.source_id, NOBODY, "", "")
    revenue, currency = reading.amount or Decimal(0), reading.currency or report_currency
    return ConversionRow(
        source_id=key[0],
        ref_click=key[1],
        transaction_id=key[2],
        event=key[3],
        status=reading.status,
        at=reading.at,
        currency=currency,
        revenue=revenue,
        payout=payout_of(case.settings, revenue=revenue, said=reading.payout),
        cost=reading.cost or Decimal(0),
        is_rebill=reading.is_rebill,
        is_late=credit.is_late if credit else False,
        click_id=touch.click_id if touch else None,
        link_id=touch.link_id if touch else None,
        rule=touch.rule if touch else 0,
        variant=touch.variant if touch else 0,
        clicked_at=touch.at if touch and touch.click_id else None,
        attributed_by=credit.by if credit else "",
        customer_id=reading.customer_id,
        coupon=reading.coupon,
        fields=dict(reading.fields),
    )


def say_repeated(case: Case, code: str, before: Standing, came: Standing) -> None:
    """Say that a postback came before, or why it changes nothing."""
    facts: dict[str, Any] = {}
    if code == "amount_differs":
        facts = {"kept": _in_words(before), "came": _in_words(came)}
    elif before.status != came.status:
        facts = {"from": before.status, "to": came.status}
    case.say(REPEATED, code, **facts)


def _in_words(standing: Standing) -> str:
    return f"{in_digits(standing.amount or Decimal(0))} {standing.currency}"
