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
    request: Mapped[str] = mapped_column(server_default="")


class Schedule(Base):
    """When each scheduled task runs next. One consumer wins a run by a conditional UPDATE of `next_run`. What it does
    and its period are written down for people by the release that runs it."""

    __tablename__ = "schedule"

    name: Mapped[str] = mapped_column(primary_key=True)
    about: Mapped[str] = mapped_column(server_default="")
    every_s: Mapped[int] = mapped_column(server_default=text("0"))
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


class SilencedTask(Base):
    """A task (or a queue, for its batches) whose failures raise no alert."""

    __tablename__ = "silenced_tasks"

    task: Mapped[str] = mapped_column(primary_key=True)
    actor: Mapped[str]
    at: Mapped[CreatedAt]


class AlertSettings(Base):
    """Whom alerts go to, in one row; without it nobody is told. A wait longer than `long_wait_s` raises one."""

    __tablename__ = "alert_settings"
    __table_args__ = (
        CheckConstraint("id = 1", name="one_row"),
        CheckConstraint("long_wait_s > 0", name="wait"),
    )

    id: Mapped[int] = mapped_column(
        SmallInteger, primary_key=True, autoincrement=False, server_default=text("1")
    )
    emails: Mapped[str] = mapped_column(server_default="")
    webhook_url: Mapped[str] = mapped_column(server_default="")
    long_wait_s: Mapped[int] = mapped_column(server_default=text("60"))


class Alert(Base):
    """Something that a person must look at: raised once, told once, cleared when it is over. `subject` is what it is
    about ("track", an hour, a group of failures); at most one of a kind and subject is open."""

    __tablename__ = "alerts"
    __table_args__ = (
        Index("uq_alerts_open", "kind", "subject", unique=True, postgresql_where=text("cleared_at is null")),
        Index("ix_alerts_raised", text("raised_at DESC")),
    )

    id: Mapped[Id]
    kind: Mapped[str]
    subject: Mapped[str]
    words: Mapped[str]
    raised_at: Mapped[datetime]
    told_at: Mapped[datetime | None]
    cleared_at: Mapped[datetime | None]
