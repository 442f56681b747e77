"""What people do with queues: put dead letters back, discard them, pause a queue, silence a task.

Everything is written into the audit log. A letter is taken out and put back in one step of Redis, so that of two people
who press at once one puts it back and the other finds nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from redis import Redis
from sqlalchemy import delete
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session

from core.contracts import keys
from core.contracts.keys import QUEUES
from core.db.work import SilencedTask
from core.services.actor import Actor
from core.services.audit import record
from core.services.queues.letters import (
    Trial,
    forget_trial,
    ids_of,
    index_keys,
    index_letters,
    read_group,
    trial_of,
)

_AT_ONCE = 100
"""Letters that one script call moves: nobody waits long behind it."""

_LOOKS, _LOOK_EVERY_S = 20, 0.15
"""How often, and how far apart, the fate of a trial is asked for before the person is told to come back."""


class NoSuchQueue(Exception):
    """There is no queue of this name."""


class QueuePaused(Exception):
    """Nothing of a paused queue is begun, so a trial would say nothing."""


@dataclass(frozen=True, slots=True)
class GroupRetried:
    """What became of "retry all with this error": how the one that was tried first fared, and how many were put back,
    that one included."""

    trial: Trial
    put_back: int
    left: int


def retry_letters(
    session: Session, redis: "Redis", *, queue: str, ids: Sequence[str], actor: Actor, now: datetime
) -> int:
    """Put letters back into their queue, each as it was; what is gone by now is passed over. Returns how many.
    Raises NoSuchQueue, RedisError."""
    done = _settle(redis, "retry", queue, ids)
    if done:
        _note(session, "queue.retry", queue, actor, now, {"letters": list(ids)[:20], "count": len(done)})
    return len(done)


def discard_letters(
    session: Session, redis: "Redis", *, queue: str, ids: Sequence[str], actor: Actor, now: datetime
) -> int:
    """Remove letters for good; clicks among them stay "set aside" in the books. Returns how many.
    Raises NoSuchQueue, RedisError."""
    done = _settle(redis, "discard", queue, ids)
    if done:
        _note(session, "queue.discard", queue, actor, now, {"letters": done[:20], "count": len(done)})
    return len(done)


def discard_group(
    session: Session, redis: "Redis", *, queue: str, group: str, actor: Actor, now: datetime
) -> int:
    """Remove every letter of a group for good. Returns how many. Raises NoSuchQueue, RedisError."""
    index_letters(redis, _known(queue))
    count = _drain(redis, "discard", queue, group)
    if count:
        _note(session, "queue.discard", queue, actor, now, {"group": group, "count": count})
    return count


def retry_group(
    session: Session,
    redis: "Redis",
    *,
    queue: str,
    group: str,
    actor: Actor,
    now: datetime,
    sleep: Callable[[float], object],
) -> GroupRetried:
    """Put one letter of a group back and wait for what becomes of it, three seconds at most; the others follow only if
    it worked. Where an earlier trial of the group worked they follow at once.

    Raises NoSuchQueue, QueuePaused (nothing was put back), RedisError."""
    found = read_group(redis, _known(queue), group)
    if found is None:
        return GroupRetried("none", 0, 0)
    if redis.sismember(keys.PAUSED, queue):
        raise QueuePaused(queue)
    tried, trial = 0, found.trial
    if trial in ("none", "failed"):
        tried = len(_settle(redis, "try", queue, ids_of(redis, queue, group, most=1)))
        trial = "running"
    left = found.count - tried
    for _ in range(_LOOKS):
        if trial != "running":
            break
        sleep(_LOOK_EVERY_S)
        trial = trial_of(redis, queue, group)
    rest = _drain(redis, "retry", queue, group) if trial == "worked" else 0
    if rest:
        forget_trial(redis, queue, group)
    detail = {"group": group, "error": found.error[:200], "count": tried + rest, "trial": trial}
    if tried + rest:
        _note(session, "queue.retry", queue, actor, now, detail)
    return GroupRetried(trial, tried + rest, max(left - rest, 0) + (trial == "failed" and tried))


def set_paused(
    session: Session, redis: "Redis", *, queue: str, paused: bool, actor: Actor, now: datetime
) -> None:
    """Let workers begin nothing more of a queue, or let them begin again. Raises NoSuchQueue, RedisError."""
    _known(queue)
    changed = redis.sadd(keys.PAUSED, queue) if paused else redis.srem(keys.PAUSED, queue)
    if changed:
        _note(session, "queue.pause" if paused else "queue.resume", queue, actor, now, {})


def set_silenced(session: Session, *, task: str, silenced: bool, actor: Actor, now: datetime) -> None:
    """Raise no more alerts for failures of a task (a queue's name stands for its batches), or raise them again."""
    if silenced:
        added = postgresql.insert(SilencedTask).values(task=task, actor=str(actor), at=now)
        changed = session.execute(added.on_conflict_do_nothing().returning(SilencedTask.task)).first()
    else:
        gone = delete(SilencedTask).where(SilencedTask.task == task)
        changed = session.execute(gone.returning(SilencedTask.task)).first()
    if changed:
        action = "task.silence" if silenced else "task.unsilence"
        record(session, actor=actor, action=action, subject=f"task:{task}", now=now)
    session.commit()


def _drain(redis: "Redis", mode: Literal["retry", "discard"], queue: str, group: str) -> int:
    """Settle every letter that is in a group now; letters that come back meanwhile are left alone."""
    ids = ids_of(redis, queue, group, most=-1)
    return len(_settle(redis, mode, queue, ids))


def _settle(
    redis: "Redis", mode: Literal["retry", "try", "discard"], queue: str, ids: Sequence[str]
) -> list[str]:
    index_letters(redis, _known(queue))  # the script takes out of the index what it takes out of the letters
    script = redis.register_script(_script())
    dead, _, *rest = index_keys(queue)
    names = [dead, keys.stream(queue), *rest]
    done: list[str] = []
    for start in range(0, len(ids), _AT_ONCE):
        part = ids[start : start + _AT_ONCE]
        answer: Any = script(keys=names, args=[mode, keys.field_of(queue), keys.TRIAL_TTL_S, *part])
        done += [one.decode() for one in answer]
    return done


def _known(queue: str) -> str:
    if queue not in QUEUES:
        raise NoSuchQueue(queue)
    return queue


def _note(
    session: Session, action: str, queue: str, actor: Actor, now: datetime, detail: dict[str, Any]
) -> None:
    record(session, actor=actor, action=action, subject=f"queue:{queue}", now=now, detail=detail)
    session.commit()


@cache
def _script() -> str:
    return files("core.services.queues").joinpath("settle_letters.lua").read_text(encoding="utf-8")
