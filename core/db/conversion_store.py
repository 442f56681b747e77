"""The only writer of conversions that come from postbacks, with their history and the verdicts on the postbacks."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import Connection

from core.db.postback_store import PostbackRow
from core.domain.reading import Reading
from core.domain.sources import SourceSettings


class Judgement(msgspec.Struct, frozen=True):
    """What became of one postback, or would: `why` is {"code": one of domain.conversions.REASONS, ...facts}; `changed`
    says whether a conversion was made or changed by it; `before` and `after` are the conversion's status and revenue as
    they were and are ({"status", "revenue", "currency"}), empty where there was or is none."""

    postback_id: uuid.UUID
    verdict: str
    why: dict[str, Any]
    reading: Reading
    conversion_id: int | None = None
    changed: bool = False
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}


def load_sources(connection: Connection) -> dict[int, SourceSettings]:
    """The settings of every source, switched off or not, by id."""
    raise NotImplementedError


def judge(
    connection: Connection,
    postbacks: Sequence[PostbackRow],
    *,
    sources: Mapping[int, SourceSettings],
    now: datetime,
    report_currency: str,
) -> list[Judgement]:
    """Judge postbacks (again) in the caller's transaction: conversions with their history, verdicts, deliveries.

    The postbacks must be stored. Judged again, a postback corrects what it had brought about and adds nothing: however
    often and by however many at once, the outcome is that of one. In the order of `postbacks`; `report_currency` is the
    setting REPORT_CURRENCY. Raises sqlalchemy.exc.SQLAlchemyError."""
    raise NotImplementedError


def preview(
    connection: Connection,
    postbacks: Sequence[PostbackRow],
    *,
    sources: Mapping[int, SourceSettings],
    now: datetime,
    report_currency: str,
) -> list[Judgement]:
    """What `judge` would do, without doing it: a savepoint that is rolled back. Takes the same locks until then."""
    raise NotImplementedError
