"""Conversions that people upload: looked over first, then sent as postbacks, and followed until they are judged."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256

from redis import Redis
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from core.contracts.postback_event import UPLOAD, PostbackEvent
from core.db.conversions import ConversionSource, Postback
from core.domain.reading import Problem, Reading, read
from core.domain.sources import settings_of
from core.domain.uploads import UploadRow, parse_upload
from core.services import audit
from core.services.actor import Actor
from core.services.link_choices import Choice
from core.services.receiving import receive, row_id

_ROWS = 1 << 32


class NoSuchSource(Exception):
    """There is no such source of conversions."""


@dataclass(frozen=True, slots=True)
class CheckedRow:
    """A row and what it was read as; `problem` is why it is not sent, None for a good one. A problem of its form has
    the code "row" and its sentence as value."""

    row: UploadRow
    reading: Reading
    problem: Problem | None


@dataclass(frozen=True, slots=True)
class Checked:
    """An upload that was looked over. `mark` tells these rows for this source from all others."""

    source: ConversionSource
    rows: Sequence[CheckedRow]
    mark: str

    @property
    def good(self) -> list[CheckedRow]:
        return [row for row in self.rows if row.problem is None]

    @property
    def bad(self) -> list[CheckedRow]:
        return [row for row in self.rows if row.problem is not None]


def upload_sources(session: Session) -> list[Choice]:
    """The sources that conversions can be uploaded for, by name."""
    rows = session.execute(select(ConversionSource.id, ConversionSource.name).order_by(ConversionSource.name))
    return [Choice(id=row.id, name=row.name) for row in rows]


def check_upload(session: Session, *, source_id: int, text: str, lot: uuid.UUID, now: datetime) -> Checked:
    """Read every row as a worker will, without sending any. Raises NoSuchSource, UploadRefused."""
    source = session.get(ConversionSource, source_id)
    if source is None:
        raise NoSuchSource(f"There is no source {source_id}.")
    settings = settings_of(source.settings)
    rows = []
    for number, row in enumerate(parse_upload(text)):
        reading = read(_event(source, row, row_id(lot, number)), settings, now=now)
        rows.append(CheckedRow(row, reading, _problem(row, reading)))
    said = "\n".join(
        [str(source_id), *(it.row.query for it in rows)]
    )  # browsers end lines in ways of their own
    return Checked(source, rows, sha256(said.encode("utf-8", "replace")).hexdigest()[:32])


def send_upload(
    session: Session, redis: Redis, *, checked: Checked, lot: uuid.UUID, actor: Actor, now: datetime
) -> int:
    """Send the rows that could be read; the number of them. Those of one `lot` are stored once, however often they are
    sent. Raises RedisError; then some may have been sent, and sending all again does no harm."""
    events = [
        _event(checked.source, it.row, row_id(lot, number))
        for number, it in enumerate(checked.rows)
        if it.problem is None
    ]
    receive(redis, events)
    audit.record(
        session,
        actor=actor,
        action="conversions.upload",
        subject=f"source:{checked.source.id}",
        now=now,
        detail={"lot": str(lot), "rows": len(events), "left_out": len(checked.bad)},
    )
    session.commit()
    return len(events)


def follow_upload(session: Session, *, lot: uuid.UUID) -> Mapping[str, int]:
    """How many rows of a lot are in the inbox by now, by verdict."""
    rows = session.execute(
        select(Postback.verdict, func.count().label("rows"))
        .where(Postback.id >= lot, Postback.id < uuid.UUID(int=lot.int + _ROWS))
        .group_by(Postback.verdict)
    )
    return {row.verdict: row.rows for row in rows}


def _event(source: ConversionSource, row: UploadRow, identity: uuid.UUID) -> PostbackEvent:
    return PostbackEvent(id=identity.bytes, source_id=source.id, kind=UPLOAD, method="POST", query=row.query)


def _problem(row: UploadRow, reading: Reading) -> Problem | None:
    if row.problem:
        return Problem("row", value=row.problem)
    return reading.unreadable
