"""What lies in the queues: entries that wait, run, or wait for their time, read in small parts and made readable."""

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from redis import Redis, ResponseError

from core.contracts import click_event, keys, postback_event, task_message
from core.contracts.click_event import ClickEvent
from core.contracts.keys import GROUP, QUEUES
from core.contracts.postback_event import PostbackEvent
from core.contracts.task_message import TaskMessage
from core.services.queues.states import after_delivered, entry_ms, moment_of

WAITING, RUNNING, LATER, DEAD = "waiting", "running", "later", "dead"
STATES = (WAITING, RUNNING, LATER, DEAD)

MOST_LOOKED_AT = 10_000
"""Entries of a queue that a search looks at: a backlog of a million must cost no more than this."""

_PART, _PART_DEAD = 500, 200
"""Entries that a search reads at once; dead letters carry their tracebacks."""


@dataclass(frozen=True, slots=True)
class Content:
    """What an entry holds: a click, a postback, a task, or (neither) bytes that nobody can read."""

    click: ClickEvent | None = None
    postback: PostbackEvent | None = None
    task: TaskMessage | None = None
    size: int = 0

    @property
    def link_id(self) -> int | None:
        return self.click.link_id if self.click else None

    @property
    def click_id(self) -> str:
        """The click's id as people copy it; "" for anything else."""
        return str(uuid.UUID(bytes=self.click.id)) if self.click else ""

    @property
    def postback_id(self) -> str:
        """The postback's id as people copy it; "" for anything else."""
        return str(uuid.UUID(bytes=self.postback.id)) if self.postback else ""

    def words(self) -> str:
        """All that a search may find in it, in lower case."""
        if self.click:
            return f"{self.click_id} {self.click.host}/{self.click.path.lstrip('/')}".lower()
        if self.postback:
            return f"{self.postback_id} {self.postback.host} {self.postback.query}".lower()
        if self.task:
            return f"{self.task.id} {self.task.task} {' '.join(map(str, self.task.args))}".lower()
        return ""


@dataclass(frozen=True, slots=True)
class Row:
    """An entry in a table. `since` is when it was added; `due` when a put off one comes back; `consumer` and
    `deliveries` belong to one that runs; `error` and `reason` to a dead one."""

    queue: str
    id: str
    content: Content
    since: datetime | None
    due: datetime | None = None
    consumer: str = ""
    deliveries: int = 0
    reason: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """Rows, and whether there may be more than were looked at."""

    rows: list[Row]
    cut: bool


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for: words that must all be there, and a link (0: any)."""

    text: str = ""
    link_id: int = 0

    def __bool__(self) -> bool:
        return bool(self.text or self.link_id)

    def fits(self, row: Row) -> bool:
        """Whether a row is what is looked for."""
        if self.link_id and row.content.link_id != self.link_id:
            return False
        words = f"{row.content.words()} {row.error.lower()} {row.reason}"
        return all(word in words for word in self.text.lower().split())


def read_payload(queue: str, payload: bytes) -> Content:
    """Decode an entry's bytes; unreadable ones give an empty content with their size."""
    try:
        if queue == "track":
            return Content(click=click_event.decode(payload), size=len(payload))
        if queue == "conversion":
            return Content(postback=postback_event.decode(payload), size=len(payload))
        return Content(task=task_message.decode(payload), size=len(payload))
    except msgspec.DecodeError:
        return Content(size=len(payload))


def find_entries(
    redis: "Redis",
    *,
    state: str,
    queues: Sequence[str] = QUEUES,
    search: Search | None = None,
    most: int = 50,
) -> Found:
    """At most `most` entries in a state: dead ones newest first, others in the order they will be taken.
    Raises RedisError."""
    read: Callable[[Redis, str, int], Iterable[list[Row]]] = {
        WAITING: _waiting,
        RUNNING: _running,
        LATER: _later,
        DEAD: _dead,
    }[state]
    wanted = search or Search()
    size = (_PART_DEAD if state == DEAD else _PART) if wanted else most + 1
    rows: list[Row] = []
    cut = False
    for queue in queues:
        looked_at = 0
        of_queue: list[Row] = []
        for part in read(redis, queue, size):
            looked_at += len(part)
            of_queue += [row for row in part if wanted.fits(row)]
            if len(of_queue) > most or looked_at >= MOST_LOOKED_AT:
                cut = True
                break
        rows += of_queue
    if state == DEAD:
        rows.sort(key=lambda row: entry_ms(row.id), reverse=True)
    return Found(rows[:most], cut or len(rows) > most)


def _waiting(redis: "Redis", queue: str, size: int) -> Iterable[list[Row]]:
    """What was never delivered, then what is held while the queue is paused."""
    try:
        groups: Any = redis.xinfo_groups(keys.stream(queue))
    except ResponseError as error:
        groups = error
    yield from _pages(redis, queue, keys.stream(queue), after_delivered(groups), size)
    yield from _pages(redis, queue, keys.held(queue), b"-", size)


def _pages(redis: "Redis", queue: str, stream: str, start: bytes, size: int) -> Iterable[list[Row]]:
    while True:
        page: Any = redis.xrange(stream, min=start, count=size)
        if not page:
            return
        yield [_row(queue, entry, fields) for entry, fields in page]
        start = b"(" + page[-1][0]


def _running(redis: "Redis", queue: str, size: int) -> Iterable[list[Row]]:
    start = "-"
    while True:
        try:
            pending: Any = redis.xpending_range(keys.stream(queue), GROUP, min=start, max="+", count=size)
        except ResponseError:
            return
        if not pending:
            return
        pipe = redis.pipeline(transaction=False)
        for one in pending:
            pipe.xrange(keys.stream(queue), min=one["message_id"], max=one["message_id"])
        rows = []
        for one, found in zip(pending, pipe.execute(), strict=True):
            for entry, fields in found:
                row = _row(queue, entry, fields)
                rows.append(
                    Row(
                        queue=queue,
                        id=row.id,
                        content=row.content,
                        since=row.since,
                        consumer=one["consumer"].decode(),
                        deliveries=one["times_delivered"],
                    )
                )
        yield rows
        start = "(" + pending[-1]["message_id"].decode()


def _later(redis: "Redis", queue: str, size: int) -> Iterable[list[Row]]:
    place = 0
    while True:
        page: Any = redis.zrange(keys.later(queue), place, place + size - 1, withscores=True)
        if not page:
            return
        rows = []
        for message, due in page:
            content = read_payload(queue, message)
            since = moment_of(content.task.enqueued_ms) if content.task else None
            rows.append(Row(queue, "", content, since, due=moment_of(int(due))))
        yield rows
        place += size


def _dead(redis: "Redis", queue: str, size: int) -> Iterable[list[Row]]:
    end = "+"
    while True:
        page: Any = redis.xrevrange(keys.dead(queue), max=end, count=size)
        if not page:
            return
        rows = []
        for entry, fields in page:
            row = _row(queue, entry, fields)
            error, reason = (
                fields.get(name, b"").decode("utf-8", "replace") for name in (b"error", b"reason")
            )
            rows.append(Row(queue, row.id, row.content, row.since, reason=reason, error=error))
        yield rows
        end = "(" + page[-1][0].decode()


def _row(queue: str, entry: bytes, fields: Mapping[bytes, bytes] | None) -> Row:
    payload = (fields or {}).get(keys.field_of(queue), b"")
    return Row(queue, entry.decode(), read_payload(queue, payload), moment_of(entry_ms(entry)))
