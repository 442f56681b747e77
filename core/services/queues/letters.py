"""Dead letters: grouped by what they have in common, searched, and read one by one.

An index in Redis (`keys.failures`) says which letters belong together, so that a look at ten thousand of them reads
none; letters that came since the last look are put into it first, by whoever looks.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from redis import Redis

from core.contracts import keys
from core.contracts.keys import QUEUES
from core.services.queues.entries import Content, read_payload
from core.services.queues.states import entry_ms, moment_of

_INDEXED_AT_ONCE = 500
_ALIKE_FROM = 200
"""Letters of a group that are compared for what they share: the newest ones."""

MOST_GROUPS = 50
"""Groups of a queue that one look reads: where every error differs, there are as many as letters."""

_PUT_OFF_LOOKED_AT = 1000

Trial = Literal["none", "running", "worked", "failed"]


@dataclass(frozen=True, slots=True)
class Group:
    """Dead letters of one queue with the same error. `error` is of one of them; numbers in it may differ."""

    queue: str
    id: str
    reason: str
    task: str
    error: str
    count: int
    first: datetime
    last: datetime
    trial: Trial


@dataclass(frozen=True, slots=True)
class Shared:
    """What the newest letters of a group have in common, each None where they differ; `looked_at` is how many."""

    looked_at: int
    link_id: int | None
    links: int
    host: str | None
    deliveries: int | None
    attempts: int | None
    newest: "Letter | None"


@dataclass(frozen=True, slots=True)
class Letter:
    """An entry that was set aside. `content` is the click or task in it."""

    queue: str
    id: str
    reason: str
    error: str
    traceback: str
    entry: str
    deliveries: int
    attempts: int | None
    host: str
    consumer: str
    taken: datetime | None
    died: datetime
    content: Content


def index_letters(redis: "Redis", queue: str) -> int:
    """Put letters that came since the last look into the index. Returns how many. Raises RedisError."""
    script, names = redis.register_script(_script()), index_keys(queue)
    total = 0
    while read := int(script(keys=names, args=[_INDEXED_AT_ONCE])):
        total += read
        if read < _INDEXED_AT_ONCE:
            break
    return total


def index_keys(queue: str) -> list[str]:
    """What the index script of a queue touches."""
    return [
        keys.dead(queue),
        keys.failures_read(queue),
        keys.failures(queue),
        keys.failure_groups(queue),
        keys.failure_abouts(queue),
        keys.DEAD_POSTBACKS if queue == "conversion" else keys.DEAD_CLICKS,
        keys.trials(queue),
    ]


def read_groups(redis: "Redis") -> list[Group]:
    """The groups with the newest letters, at most MOST_GROUPS of each queue, newest first. Raises RedisError."""
    groups: list[Group] = []
    for queue in QUEUES:
        entries = _tried(redis, queue)  # before the index: what fails in between is found there
        index_letters(redis, queue)
        names: Any = redis.zrevrange(keys.failure_groups(queue), 0, MOST_GROUPS - 1)
        groups += _groups_of(redis, queue, [name.decode() for name in names], entries)
    return sorted(groups, key=lambda group: group.last, reverse=True)


def count_groups(redis: "Redis") -> int:
    """How many groups there are in all queues. Raises RedisError."""
    pipe = redis.pipeline(transaction=False)
    for queue in QUEUES:
        pipe.zcard(keys.failure_groups(queue))
    return sum(pipe.execute())


def read_group(redis: "Redis", queue: str, group: str) -> Group | None:
    """One group as of now, None when it has no letters. Raises RedisError."""
    entries = _tried(redis, queue)
    index_letters(redis, queue)
    return next(iter(_groups_of(redis, queue, [group], entries)), None)


def trial_of(redis: "Redis", queue: str, group: str) -> Trial:
    """How the letter of a group that was tried last fared. Raises RedisError."""
    entries = _tried(redis, queue)
    index_letters(redis, queue)
    trials: Any = redis.hgetall(keys.trials(queue))
    return _trial(group, entries, trials)


def forget_trial(redis: "Redis", queue: str, group: str) -> None:
    """The letters of a group were put back: those that come from now on are tried anew. Raises RedisError."""
    redis.hdel(keys.trials(queue), f"try:{group}", f"failed:{group}")


def ids_of(redis: "Redis", queue: str, group: str, *, most: int) -> list[str]:
    """Ids of letters of a group, oldest first. Raises RedisError."""
    low, high = _range(group)
    members: Any = redis.zrangebylex(keys.failures(queue), low, high, start=0, num=most)
    return [member.decode().rpartition(" ")[2] for member in members]


def read_shared(redis: "Redis", queue: str, group: str) -> Shared:
    """What the newest letters of a group have in common. Raises RedisError."""
    index_letters(redis, queue)
    low, high = _range(group)
    members: Any = redis.zrevrangebylex(keys.failures(queue), high, low, start=0, num=_ALIKE_FROM)
    letters = read_letters(redis, queue, [member.decode().rpartition(" ")[2] for member in members])
    links = Counter(letter.content.link_id for letter in letters if letter.content.link_id)
    return Shared(
        looked_at=len(letters),
        link_id=next(iter(links)) if len(links) == 1 else None,
        links=len(links),
        host=_same([letter.host for letter in letters]),
        deliveries=_same([letter.deliveries for letter in letters]),
        attempts=_same([letter.attempts for letter in letters]),
        newest=letters[0] if letters else None,
    )


def read_letters(redis: "Redis", queue: str, ids: Sequence[str]) -> list[Letter]:
    """The letters with these ids that are still there, in that order. Raises RedisError."""
    pipe = redis.pipeline(transaction=False)
    for one in ids:
        pipe.xrange(keys.dead(queue), min=one, max=one)
    return [letter_of(queue, entry, fields) for answer in pipe.execute() for entry, fields in answer]


def letter_of(queue: str, entry: bytes, fields: Mapping[bytes, bytes]) -> Letter:
    """A dead letter from its fields; what is missing is empty."""

    def text(name: bytes) -> str:
        return fields.get(name, b"").decode("utf-8", "replace")

    payload = fields.get(keys.field_of(queue), b"")
    reason = text(b"reason") or "unknown"
    return Letter(
        queue=queue,
        id=entry.decode(),
        reason=reason,
        error=text(b"error"),
        traceback=text(b"traceback"),
        entry=text(b"entry"),
        deliveries=int(text(b"deliveries") or 0),
        attempts=int(text(b"attempts")) if b"attempts" in fields else None,
        host=text(b"host"),
        consumer=text(b"consumer"),
        taken=moment_of(int(text(b"taken_ms"))) if b"taken_ms" in fields else None,
        died=moment_of(int(text(b"dead_ms") or entry_ms(entry))),
        content=read_payload(queue, payload),
    )


def forget_before(redis: "Redis", *, oldest_ms: int) -> int:
    """Take letters older than that out of streams and index. Returns how many letters. Raises RedisError."""
    removed = 0
    for queue in QUEUES:
        index_letters(redis, queue)  # what was never looked at counts in the books all the same
        removed += int(redis.xtrim(keys.dead(queue), minid=str(oldest_ms), approximate=False))
        groups: Any = redis.zrange(keys.failure_groups(queue), 0, -1)
        for group in groups:
            name = group.decode()
            low, high = _range(name)
            redis.zremrangebylex(keys.failures(queue), low, f"({name} {oldest_ms}")
            if not redis.zlexcount(keys.failures(queue), low, high):
                redis.zrem(keys.failure_groups(queue), name)
                redis.hdel(keys.failure_abouts(queue), name)
    return removed


def _groups_of(redis: "Redis", queue: str, names: Sequence[str], entries: Mapping[str, bool]) -> list[Group]:
    if not names:
        return []
    abouts: Any = redis.hmget(keys.failure_abouts(queue), list(names))
    trials: Any = redis.hgetall(keys.trials(queue)) if entries else {}
    pipe = redis.pipeline(transaction=False)
    for name in names:
        low, high = _range(name)
        pipe.zlexcount(keys.failures(queue), low, high)
        pipe.zrangebylex(keys.failures(queue), low, high, start=0, num=1)
        pipe.zrevrangebylex(keys.failures(queue), high, low, start=0, num=1)
    answers = pipe.execute()
    groups = []
    for place, (name, about) in enumerate(zip(names, abouts, strict=True)):
        count, first, last = answers[3 * place : 3 * place + 3]
        if count and about is not None:
            said = json.loads(about.decode("utf-8", "replace"))
            groups.append(
                Group(
                    queue=queue,
                    id=name,
                    reason=said["reason"],
                    task=said["task"],
                    error=said["error"],
                    count=count,
                    first=_died(first[0]),
                    last=_died(last[0]),
                    trial=_trial(name, entries, trials),
                )
            )
    return groups


def _tried(redis: "Redis", queue: str) -> dict[str, bool]:
    """Groups that were tried, and whether the entry of the trial is still in the queue or put off."""
    trials: Any = redis.hgetall(keys.trials(queue))
    tried = {
        name.decode().removeprefix("try:"): entry.decode().partition(" ")
        for name, entry in trials.items()
        if name.startswith(b"try:")
    }
    pipe = redis.pipeline(transaction=False)
    for entry, _, _ in tried.values():
        pipe.xrange(keys.stream(queue), min=entry, max=entry)
    in_stream = dict(zip(tried, pipe.execute(), strict=True))
    put_off = _put_off(redis, queue) if any(task for _, _, task in tried.values()) else frozenset()
    return {group: bool(in_stream[group]) or task in put_off for group, (_, _, task) in tried.items()}


def _put_off(redis: "Redis", queue: str) -> frozenset[str]:
    messages: Any = redis.zrange(keys.later(queue), 0, _PUT_OFF_LOOKED_AT - 1)
    contents = (read_payload(queue, message) for message in messages)
    return frozenset(content.task.id for content in contents if content.task)


def _trial(group: str, entries: Mapping[str, bool], trials: Mapping[bytes, bytes]) -> Trial:
    if group not in entries:
        return "none"
    if f"failed:{group}".encode() in trials:
        return "failed"
    return "running" if entries[group] else "worked"


def _range(group: str) -> tuple[str, str]:
    return f"[{group} ", f"({group}!"


def _died(member: bytes) -> datetime:
    return moment_of(entry_ms(member.rpartition(b" ")[2]))


def _same(values: Sequence[Any]) -> Any:
    return values[0] if values and all(value == values[0] for value in values) else None


@cache
def _script() -> str:
    return files("core.services.queues").joinpath("index_letters.lua").read_text(encoding="utf-8")
