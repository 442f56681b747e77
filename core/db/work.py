"""What the programs need to do their work: outbox, schedule, leases of rollup shards, sequence of revisions."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, Index, Sequence, SmallInteger, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.db.base import Base, CreatedAt, Id

snapshot_revision = Sequence("snapshot_revision", metadata=Base.metadata)
"""Revisions of all snapshots come from this one sequence; the higher wins in Redis."""


class Outbox(Base):
    """A task that must be enqueued because of what was committed beside it. The row goes once the task is enqueued
    (or its work was done inline), so a crash in between only delays it."""

    __tablename__ = "outbox"
    __table_args__ = (Index("ix_outbox_due", "not_before", "id"),)

    id: Mapped[Id]
    queue: Mapped[str]
    task: Mapped[str]
    args: Mapped[list[Any]] = mapped_column(JSONB, server_default=text("'[]'::jsonb"))
    not_before: Mapped[CreatedAt]
    created_at: Mapped[CreatedAt]


class Schedule(Base):
    """When each scheduled task runs next. One consumer wins a run by a conditional UPDATE of `next_run`."""

    __tablename__ = "schedule"

    name: Mapped[str] = mapped_column(primary_key=True)
    next_run: Mapped[datetime]
    last_run: Mapped[datetime | None]
    last_finished: Mapped[datetime | None]
    last_result: Mapped[str | None]


class RollupShard(Base):
    """Which consumer process writes which shard of the rollups, and until when it may."""

    __tablename__ = "rollup_shards"
    __table_args__ = (CheckConstraint("shard between 0 and 15", name="shard"),)

    shard: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    owner: Mapped[str]
    leased_until: Mapped[datetime]
