"""Judging postbacks again: one, or all of a source of the last days, each as a trial first.

Nothing is ever counted twice by it: what a postback has brought about before, its replay corrects (see
`core.db.conversion_store.judge`). What the door refused is never judged.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from redis import Redis
from sqlalchemy import Connection, Engine, func, insert, select
from sqlalchemy.orm import Session

from core.db.conversion_store import Judgement, judge, load_sources, preview
from core.db.conversions import ConversionSource, Postback, PostbackReplay
from core.db.postback_store import PostbackRow, rows_of
from core.db.work import Outbox
from core.domain.sources import SourceSettings
from core.services import audit
from core.services.actor import Actor
from core.services.conversion_sources import change_source
from core.services.postback_trial import end_of, of_source
from core.services.postbacks import first_id

TASK = "postbacks.replay"
"""The task that goes on with a replay; its argument is the replay's id."""

DAYS = (1, 7, 30)
BATCH = 500
GIVEN_UP = timedelta(hours=6)


class NotReplayed(Exception):
    """A postback that was refused at the door, or whose source is gone, is not judged again."""


class ReplayRuns(Exception):
    """The postbacks of this source are being replayed already."""


def preview_postback(
    session: Session, postback_id: UUID, *, now: datetime, report_currency: str
) -> tuple[PostbackRow, Judgement]:
    """What a replay would make of a postback, with the settings of now; nothing is changed. Raises NotReplayed."""
    connection = session.connection()
    try:
        row, sources = _replayable(connection, postback_id, locked=True)
        (would,) = preview(connection, [row], sources=sources, now=now, report_currency=report_currency)
    finally:
        session.rollback()
    return row, would


def replay_postback(
    session: Session, postback_id: UUID, *, actor: Actor, now: datetime, report_currency: str
) -> tuple[PostbackRow, Judgement]:
    """Judge a postback again with the settings of now, and commit; the row is as it was before. Raises NotReplayed."""
    connection = session.connection()
    try:
        row, sources = _replayable(connection, postback_id, locked=True)
    except NotReplayed:
        session.rollback()
        raise
    (done,) = judge(connection, [row], sources=sources, now=now, report_currency=report_currency)
    audit.record(
        session,
        actor=actor,
        action="postback.replay",
        subject=f"postback:{postback_id}",
        now=now,
        detail={"before": row.verdict, "after": done.verdict, "changed": done.changed},
    )
    session.commit()
    return row, done


def save_and_replay(
    session: Session,
    *,
    source_id: int,
    version: int,
    settings: SourceSettings,
    days: int,
    actor: Actor,
    now: datetime,
    redis: Redis | None = None,
) -> PostbackReplay:
    """Save the settings of a source, then have a worker judge its postbacks of the last `days` again. Raises what
    `change_source` does, and ReplayRuns, both with nothing saved."""
    if running_replay(session, source_id, now=now) is not None:
        raise ReplayRuns(source_id)
    name = session.scalars(
        select(ConversionSource.name).where(ConversionSource.id == source_id)
    ).one_or_none()
    change_source(
        session,
        source_id=source_id,
        version=version,
        name=name or "",
        settings=settings,
        actor=actor,
        now=now,
        redis=redis,
    )
    first, end = first_id(now - timedelta(days=days)), end_of(now)
    wanted = of_source(source_id, first, end)
    replay = PostbackReplay(
        source_id=source_id,
        first_id=first,
        end_id=end,
        total=session.scalar(select(func.count()).select_from(wanted.subquery())) or 0,
        actor=str(actor),
        actor_name=actor.name,
        started_at=now,
    )
    session.add(replay)
    session.flush()
    _enqueue(session.connection(), replay.id, now)
    audit.record(
        session,
        actor=actor,
        action="source.replay",
        subject=f"source:{source_id}",
        now=now,
        detail={"replay": replay.id, "days": days, "postbacks": replay.total},
    )
    session.commit()
    return replay


def running_replay(session: Session, source_id: int, *, now: datetime) -> PostbackReplay | None:
    """The replay of a source that has not ended. One that began GIVEN_UP ago lies among the failures by now, and keeps
    nobody from another."""
    return session.scalars(
        select(PostbackReplay)
        .where(
            PostbackReplay.source_id == source_id,
            PostbackReplay.finished_at.is_(None),
            PostbackReplay.started_at > now - GIVEN_UP,
        )
        .order_by(PostbackReplay.id.desc())
        .limit(1)
    ).one_or_none()


def get_replay(session: Session, replay_id: int) -> PostbackReplay | None:
    """A replay, how far it is, and what came of it."""
    return session.get(PostbackReplay, replay_id, populate_existing=True)


def go_on(engine: Engine, replay_id: int, *, now: datetime, report_currency: str) -> bool:
    """Judge the next BATCH postbacks of a replay in one transaction with how far it is; False once it has ended, or
    where there is none. Doing it twice, or by two at once, does no harm."""
    with Session(engine) as session:
        replay = session.get(PostbackReplay, replay_id, with_for_update=True)
        if replay is None or replay.finished_at is not None:
            return False
        connection = session.connection()
        after = replay.place or replay.first_id
        wanted = of_source(replay.source_id, replay.first_id, replay.end_id)
        if replay.place is not None:
            wanted = wanted.where(Postback.id > after)
        ids = list(connection.scalars(wanted.order_by(Postback.id).limit(BATCH)))
        if ids:
            rows = rows_of(connection, ids, locked=True)
            sources = load_sources(connection)
            done = judge(connection, rows, sources=sources, now=now, report_currency=report_currency)
            _count(replay, rows, done)
            replay.place = ids[-1]
        if len(ids) < BATCH:
            replay.finished_at = now
            audit.record(
                session,
                actor=Actor(kind="command", name=replay.actor_name),
                action="source.replayed",
                subject=f"source:{replay.source_id}",
                now=now,
                detail={"replay": replay.id, "postbacks": replay.done, "changed": replay.changed},
            )
        session.commit()
        return replay.finished_at is None


def go_on_later(engine: Engine, replay_id: int, *, now: datetime) -> None:
    """Have the task go on with a replay, so that one message never takes long."""
    with engine.begin() as connection:
        _enqueue(connection, replay_id, now)


def _enqueue(connection: Connection, replay_id: int, now: datetime) -> None:
    connection.execute(insert(Outbox).values(queue="system", task=TASK, args=[replay_id], not_before=now))


def _count(replay: PostbackReplay, rows: Sequence[PostbackRow], done: Sequence[Judgement]) -> None:
    before = {row.id: row.verdict for row in rows}
    outcome = Counter(replay.outcome)
    for judgement in done:
        was = before[judgement.postback_id]
        if was != judgement.verdict:
            outcome[f"{was} {judgement.verdict}"] += 1
    replay.outcome = dict(outcome)
    replay.done += len(rows)
    replay.changed += sum(judgement.changed for judgement in done)


def _replayable(
    connection: Connection, postback_id: UUID, *, locked: bool
) -> tuple[PostbackRow, dict[int, SourceSettings]]:
    rows = rows_of(connection, [postback_id], locked=locked)
    sources = load_sources(connection)
    if not rows or rows[0].event.refused or rows[0].event.source_id not in sources:
        raise NotReplayed(str(postback_id))
    return rows[0], sources
