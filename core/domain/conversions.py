"""Conversions: what a status means, which may follow which, and the verdicts on what came.

Pure: no clock, no database.
"""

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


def may_become(before: str, after: str, *, by_person: bool = False) -> bool:
    """Whether a conversion may go from one status to another."""
    return before == after or by_person or after in TRANSITIONS[before]
