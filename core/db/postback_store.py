"""The inbox's rows: postbacks written down as they came, and read back to be judged."""

import uuid
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, select

from core.contracts.postback_event import KINDS, PostbackEvent
from core.db.conversions import Postback
from core.domain.conversions import NEW


class PostbackRow(msgspec.Struct, frozen=True):
    """A postback of the inbox as it came, with what was made of it until now."""

    event: PostbackEvent
    verdict: str = NEW
    why: dict[str, Any] = {}
    attempts: int = 0
    conversion_id: int | None = None

    @property
    def id(self) -> uuid.UUID:
        return uuid.UUID(bytes=self.event.id)


def rows_of(connection: Connection, ids: Sequence[uuid.UUID], *, locked: bool = False) -> list[PostbackRow]:
    """The postbacks with these ids, oldest first; those that do not exist are left out. `locked` keeps others from
    judging them until the transaction ends, and must be asked for before `conversion_store.judge`."""
    found = select(Postback.__table__).where(Postback.id.in_(ids)).order_by(Postback.id)
    if locked:
        found = found.with_for_update()
    return [row_of(row) for row in connection.execute(found).mappings()]


def row_of(row: Any) -> PostbackRow:
    """From a mapping of the table's columns."""
    event = PostbackEvent(
        id=row["id"].bytes,
        source_id=row["source_id"] or 0,
        kind=KINDS[row["kind"]],
        method=row["method"],
        host=row["host"],
        query=row["query"],
        content_type=row["content_type"],
        body=bytes(row["body"]),
        headers=tuple((name, value) for name, value in row["headers"]),
        ip=str(row["ip"]) if row["ip"] is not None else "",
        user_agent=row["user_agent"],
        referrer=row["referrer"],
        token_hint=row["token_hint"],
        refused=row["refused"],
        status=row["answered"],
        size=row["size"],
    )
    return PostbackRow(event, row["verdict"], row["why"], row["attempts"], row["conversion_id"])
