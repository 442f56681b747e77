"""Conversions: what a status means, which may follow which, and the verdicts on what came.

Pure: no clock, no database.
"""

from dataclasses import dataclass, replace
from decimal import Decimal

PENDING, APPROVED, REJECTED, REFUNDED = "pending", "approved", "rejected", "refunded"
STATUSES = (PENDING, APPROVED, REJECTED, REFUNDED)
"""How a conversion stands. Only approved and pending ones count; a refund is of one that was approved."""

COUNTING = (PENDING, APPROVED)
"""Statuses whose money is in the reports."""

TRANSITIONS: dict[str, tuple[str, ...]] = {
    PENDING: (APPROVED, REJECTED),
    APPROVED: (REJECTED, REFUNDED),
    REJECTED: (APPROVED,),
    REFUNDED: (),
}
"""Status -> those that a postback may change it to. A person with a reason may set any (see `may_become`)."""

IGNORE, UPDATE, REBILL, REPEAT = "ignore", "update", "rebill", "repeat"
DUPLICATES = (IGNORE, UPDATE, REBILL, REPEAT)
"""What a source wants done with a postback for a conversion that exists: nothing but a status that moves on; take over
its amounts too; count it as one more payment of the same customer; count it as one more, tagged as a repeat."""

ONE_MORE = (REBILL, REPEAT)
"""Those under which a key may have more than one conversion."""

NEW = "new"
CONVERSION, UPDATED, REPEATED = "conversion", "update", "repeated"
WAITING, NO_CLICK, LATE = "waiting", "no_click", "late"
REFUSED, UNREADABLE, IGNORED, TEST = "refused", "unreadable", "ignored", "test"
VERDICTS = (
    NEW,
    CONVERSION,
    UPDATED,
    REPEATED,
    WAITING,
    NO_CLICK,
    LATE,
    REFUSED,
    UNREADABLE,
    IGNORED,
    TEST,
)
"""What became of a postback: not judged yet; made a conversion; changed one; changed nothing, since it came before;
waits for its click to be stored; names no click that there is; came after the window (kept as a conversion that does
not count); was turned away at the door; could not be read (bad amount, unknown currency or status ...); has a status
that its source ignores; belongs to a live test."""

ACCEPTED = (CONVERSION, UPDATED, REPEATED, IGNORED, TEST)
"""Verdicts by which a postback is accepted, in the books; all others but `new` and `waiting` refuse it by a reason."""


REASONS = (
    "matched",
    "by_customer",
    "by_coupon",
    "outside_window",
    "transition",
    "amounts",
    "corrected",
    "withdrawn",
    "same",
    "amount_differs",
    "transition_not_allowed",
    "older",
    "no_click_id",
    "literal_macro",
    "bad_click_id",
    "unknown_click",
    "click_not_stored_yet",
    "no_transaction",
    "other_campaign",
    "token",
    "address",
    "signature",
    "stale",
    "replayed",
    "too_large",
    "source_gone",
    "bad_amount",
    "unknown_currency",
    "unknown_status",
    "broken_encoding",
    "broken_body",
    "ignored_status",
    "test",
)
"""Codes of `why` a verdict was given. Credited to the click that was named, to that of an earlier conversion of the
customer, to the link of the coupon; credited, but after the window; a status moved on; amounts were taken over; a
replay corrected what the same postback had brought about, or took it back. Nothing changed: came before; came before
with another amount; a status may not follow the one before; what is newer has said otherwise. No click: none named
(or an empty, unfilled or impossible one), none such, not stored yet; without a click, only a transaction id tells two
sales apart. Refused: a click of another campaign's link; at the door (see `postback_event.REFUSALS`); its source is
gone. Unreadable (see `domain.reading`). The source ignores this status. A live test."""


def may_become(before: str, after: str, *, by_person: bool = False) -> bool:
    """Whether a conversion may go from one status to another."""
    return before == after or by_person or after in TRANSITIONS[before]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a conversion stands, or how a postback wants it to: `amount` is None where it says nothing of money."""

    status: str
    amount: Decimal | None
    currency: str


@dataclass(frozen=True, slots=True)
class Step:
    """What a further postback for a conversion does. `verdict` is UPDATED, REPEATED, or CONVERSION for one more of its
    own (`one_more`); `code` is one of REASONS."""

    verdict: str
    code: str
    after: Standing
    one_more: bool = False


def follow(before: Standing, came: Standing, *, duplicates: str) -> Step:
    """What becomes of a conversion for which a further postback came, by the policy `duplicates` of its source.

    A status moves on where it may, under every policy. Amounts are taken over under UPDATE alone, and never from a
    refund or a rejection, which may name a part only. Under REBILL and REPEAT what counts and moves nothing is one more
    conversion, and so is what counts after a refund: a customer goes on paying. A copy of an earlier payment can not be
    told from a further one there, before the refund or after it."""
    counts = came.status in COUNTING
    moves = came.status != before.status
    if counts and duplicates in ONE_MORE and (not moves or before.status == REFUNDED):
        return Step(CONVERSION, "matched", came, one_more=True)
    if not may_become(before.status, came.status):
        return Step(REPEATED, "transition_not_allowed", before)
    differs = came.amount is not None and (came.amount, came.currency) != (before.amount, before.currency)
    after = replace(before, status=came.status)
    if differs and counts and duplicates == UPDATE:
        after = replace(after, amount=came.amount, currency=came.currency)
    if after == before:
        return Step(REPEATED, "amount_differs" if differs and counts else "same", before)
    return Step(UPDATED, "transition" if moves else "amounts", after)
