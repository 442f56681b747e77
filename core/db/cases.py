"""A postback before the bench, until it has its verdict."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from core.db.conversion_rows import Cause, Kept, Key
from core.db.credits import Credit
from core.db.judgements import Judgement
from core.db.postback_store import PostbackRow
from core.domain.amounts import in_digits
from core.domain.conversions import NO_CLICK, WAITING
from core.domain.reading import Reading
from core.domain.sources import SourceSettings


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
