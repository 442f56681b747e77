"""What a storm works through: clicks, postbacks and tasks without a pause, and exact books of all of it.

Sent like a tracker sends: where Redis did not say whether it took something, it is sent again. Each call also turns a
counter within Redis, so that afterwards it is known what was taken twice.
"""

import random
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from threading import Event, Thread
from typing import Any

import msgspec
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from core.contracts import click_event, keys, postback_event, task_message
from core.contracts.click_event import GONE, PAUSED, REDIRECT, ClickEvent
from core.contracts.postback_event import PostbackEvent
from core.contracts.task_message import TaskMessage
from tests.core.db.samples import click_id

PEOPLE = (
    *(
        f"Mozilla/5.0 (X11; Linux x86_64; rv:{number}.0) Gecko/20100101 Firefox/{number}.0"
        for number in range(110, 130)
    ),
    "Mozilla/5.0 " + "x" * 20_000,
)
ROBOTS = ("curl/8.5.0", "", "Barracuda Sentinel (EE)")
LINKS = 40
SOURCE = 1
VISITORS = 400

_TURN = "tests:turn"
_PAUSE_S = 0.03
_LARGEST_GROUP = 40
_BURST = 4000
_LATEST_S = 5 * 3600
_LIMIT_S = 60.0

Letter = tuple[str, str, bytes]
"""A dead letter: its queue, its reason, and the payload or, where it is a message that can be read, its task's id."""


@dataclass
class Books:
    """Everything that was put in, by who did it."""

    clicks: dict[bytes, ClickEvent] = field(default_factory=dict)
    accepted: Counter[str] = field(default_factory=Counter)
    """What the commit script must have counted: clicks by hour, the poison and what was taken twice included."""
    twice: int = 0
    """Clicks that lay in the stream a second time, of which `unknown` because nobody said that they were taken."""
    unknown: int = 0
    postbacks: dict[bytes, PostbackEvent] = field(default_factory=dict)
    received: Counter[str] = field(default_factory=Counter)
    """As `accepted`, of postbacks."""
    notes: int = 0
    poison: Counter[Letter] = field(default_factory=Counter)


class Load:
    """`with load:` clicks, postbacks and tasks flow; `books` are final after the block. All by one thread."""

    def __init__(self, redis_url: str, dice: random.Random) -> None:
        self.books = Books()
        self._dice = dice
        self._client = redis.Redis.from_url(redis_url, retry=Retry(NoBackoff(), 0), socket_timeout=_LIMIT_S)
        source = files("core.contracts").joinpath("commit_clicks.lua")
        self._commit = self._client.register_script(source.read_text(encoding="utf-8"))
        self._turn = 0
        self._over = Event()
        self._thread = Thread(target=self._run, name="Load")
        self._error: BaseException | None = None
        poisons = (self._poison_click, self._poison_task)
        self._deck: tuple[tuple[Callable[[], None], int], ...] = (
            (self._group, 60),
            (self._late_group, 5),
            (self._group_again, 3),
            (self._burst, 1),
            (self._postbacks, 15),
            (self._postbacks_again, 2),
            (self._poison_postback, 1),
            (self._notes, 20),
            (self._stubborn, 2),
            *((poison, 2) for poison in poisons),
        )

    def __enter__(self) -> "Load":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._client.close()
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        calls, shares = zip(*self._deck, strict=True)
        try:
            while not self._over.wait(_PAUSE_S):
                self._dice.choices(calls, shares)[0]()
        except BaseException as error:  # told by the thread that waits for this one
            self._error = error

    # Clicks.

    def _group(self) -> None:
        self._send(self._event() for _ in range(self._dice.randint(1, _LARGEST_GROUP)))

    def _late_group(self) -> None:
        """What waited in a tracker's spool."""
        late = self._dice.uniform(60, _LATEST_S)
        self._send(self._event(late) for _ in range(self._dice.randint(1, _LARGEST_GROUP)))

    def _burst(self) -> None:
        self._send(self._event() for _ in range(self._dice.randint(_BURST // 4, _BURST)))

    def _group_again(self) -> None:
        """A spool is replayed that was in Redis already."""
        held = list(self.books.clicks.values())
        self._send(self._dice.choices(held, k=_LARGEST_GROUP) if held else ())

    def _event(self, late: float = 0.0) -> ClickEvent:
        dice = self._dice
        visitor = dice.randrange(VISITORS)
        robot = dice.random() < 0.12
        return ClickEvent(
            id=click_id(datetime.now(UTC) - timedelta(seconds=late), dice.getrandbits(62)),
            link_id=min(int(dice.paretovariate(0.7)), LINKS),
            outcome=dice.choices((REDIRECT, PAUSED, GONE), (90, 5, 5))[0],
            method="HEAD" if dice.random() < 0.02 else "GET",
            ip=f"203.0.{visitor // 250}.{visitor % 250}",
            user_agent=dice.choice(ROBOTS) if robot else PEOPLE[visitor % len(PEOPLE)],
            query=f"utm_source=s{dice.randrange(9)}",
            referrer=f"https://site{dice.randrange(30)}.example/p",
            language="pt-BR",
        )

    def _send(self, events: Iterable[ClickEvent]) -> None:
        group = list(events)
        times = self._put_clicks([(click_event.encode(event), event.unix_ms) for event in group])
        fresh = {event.id: event for event in group if event.id not in self.books.clicks}
        self.books.clicks.update(fresh)
        self.books.twice += len(group) * times - len(fresh)

    def _poison_click(self) -> None:
        now = datetime.now(UTC)
        tail = self._dice.getrandbits(62)
        ancient = click_id(datetime(1970, 1, 2, tzinfo=UTC), tail)
        ahead = click_id(datetime(2100, 1, 1, tzinfo=UTC), tail)
        payload, reason, ms = self._dice.choice(
            (
                (b"\xc1 garbage %d" % tail, "poison", int(now.timestamp() * 1000)),
                (
                    click_event.encode(ClickEvent(id=ancient, link_id=1)),
                    "clock",
                    click_event.unix_ms(ancient),
                ),
                (click_event.encode(ClickEvent(id=ahead, link_id=1)), "clock", click_event.unix_ms(ahead)),
            )
        )
        self.books.poison["track", reason, payload] += self._put_clicks([(payload, ms)])

    def _put_clicks(self, clicks: list[tuple[bytes, int]]) -> int:
        times = self._put_events("track", keys.ACCEPTED, self.books.accepted, clicks)
        self.books.unknown += (times - 1) * len(clicks)
        return times

    def _put_events(
        self, queue: str, name: str, counted: Counter[str], events: list[tuple[bytes, int]]
    ) -> int:
        """By the trackers' own commit script; how often they were taken."""
        if not events:
            return 1
        hours = Counter(click_event.hour_name(ms) for _, ms in events)
        words: list[Any] = [len(hours)]
        for hour, count in hours.items():
            words += (hour, count)
        words += [payload for payload, _ in events]
        names = [keys.stream(queue), name]
        times = self._put(lambda pipe: self._commit(keys=names, args=words, client=pipe))
        for _ in range(times):
            counted.update(hours)
        return times

    # Postbacks.

    def _postbacks(self) -> None:
        """For clicks that were sent, stored or not; each transaction several times."""
        clicks = list(self.books.clicks)
        self._send_postbacks(self._postback(clicks) for _ in range(self._dice.randint(1, _LARGEST_GROUP)))

    def _postbacks_again(self) -> None:
        held = list(self.books.postbacks.values())
        self._send_postbacks(self._dice.choices(held, k=_LARGEST_GROUP) if held else ())

    def _postback(self, clicks: list[bytes]) -> PostbackEvent:
        dice = self._dice
        click = uuid.UUID(bytes=dice.choice(clicks[-200:])) if clicks and dice.random() < 0.9 else ""
        return PostbackEvent(
            id=click_id(datetime.now(UTC), dice.getrandbits(62)),
            source_id=SOURCE,
            query=f"subid={click}&tid=T{dice.randrange(3)}&payout=5&status={dice.choice(('lead', 'sale', 'trash'))}",
            ip="203.0.113.7",
        )

    def _send_postbacks(self, events: Iterable[PostbackEvent]) -> None:
        group = list(events)
        self._put_postbacks([(postback_event.encode(one), click_event.unix_ms(one.id)) for one in group])
        self.books.postbacks.update({event.id: event for event in group})

    def _poison_postback(self) -> None:
        payload = b"\xc1 garbage %d" % self._dice.getrandbits(62)
        now_ms = int(datetime.now(UTC).timestamp() * 1000)
        self.books.poison["conversion", "poison", payload] += self._put_postbacks([(payload, now_ms)])

    def _put_postbacks(self, postbacks: list[tuple[bytes, int]]) -> int:
        return self._put_events("conversion", keys.RECEIVED, self.books.received, postbacks)

    # Tasks.

    def _notes(self) -> None:
        for _ in range(self._dice.randint(1, 5)):
            seconds = self._dice.uniform(0.05, 0.4) if self._dice.random() < 0.1 else 0.0
            queue = self._dice.choice(("publish", "system"))
            self._put_note("storm.note", queue, seconds)

    def _stubborn(self) -> None:
        self._put_note("storm.stubborn", "system")

    def _put_note(self, name: str, queue: str, *args: float) -> None:
        number = self.books.notes = self.books.notes + 1
        message = TaskMessage(id=f"note {number}", task=name, args=(number, *args))
        self._put_task(queue, task_message.encode(message))

    def _poison_task(self) -> None:
        identity = f"poison {self._dice.getrandbits(62)}"
        unknown = task_message.encode(TaskMessage(id=identity, task="no.such.task"))
        newer = msgspec.msgpack.encode(TaskMessage(id=identity, task="storm.note", version=99))
        fails = task_message.encode(TaskMessage(id=identity, task="storm.fail"))
        garbage = b"\xc1" + identity.encode()
        queue = self._dice.choice(("publish", "system"))
        payload, reason, name = self._dice.choice(
            (
                (garbage, "poison", garbage),
                (unknown, "unknown", identity.encode()),
                (newer, "newer", identity.encode()),
                (fails, "failed", identity.encode()),
            )
        )
        self.books.poison[queue, reason, name] += self._put_task(queue, payload)

    def _put_task(self, queue: str, payload: bytes) -> int:
        return self._put(lambda pipe: pipe.xadd(keys.stream(queue), {keys.TASK_FIELD: payload}))

    # Redis.

    def _put(self, add: Callable[["redis.client.Pipeline"], object]) -> int:
        """Add until Redis says that it did; how often it did."""
        times = 0
        while True:
            with self._client.pipeline(transaction=True) as pipe, suppress(redis.RedisError):
                add(pipe)
                pipe.incr(_TURN)
                pipe.execute()
                self._turn += 1
                return times + 1
            taken = self._ask() - self._turn
            self._turn += taken
            times += taken

    def _ask(self) -> int:
        """How often the counter was turned, once Redis answers. Raises when it does not within a minute."""
        end = time.monotonic() + _LIMIT_S
        while True:
            try:
                return int(self._client.get(_TURN) or 0)
            except redis.RedisError:
                if time.monotonic() > end:
                    raise
            time.sleep(0.02)
