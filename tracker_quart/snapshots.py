"""What the tracker knows of links, domains and sources: a bounded cache in front of Redis.

Entries hold the encoded bytes (half of what decoded objects take) and are decoded on use (0.3 us). An entry is fresh
for a while; a stale one is asked for again on its next use, and served as it is when Redis does not answer or has not
all snapshots. Whoever finds nothing gets Unavailable, never a wrong "unknown".
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache

import msgspec

from core.contracts import domain_snapshot, keys
from core.contracts.domain_snapshot import DomainSnapshot
from core.contracts.snapshot import NewerSchema
from core.observe import SNAPSHOT_READS, SNAPSHOTS_UNREADABLE, logger
from tracker_quart.compiled import NOBODYS, Compiled, compiled_of
from tracker_quart.contact import Breaker
from tracker_quart.pipeline import Pipeline, packed
from tracker_quart.source_table import table_of

FRESH_S = 30.0
UNKNOWN_S = 5.0
UNHEARD_S = 1.0
"""How long an entry is fresh: found, not found, and while nobody tells us about changes."""

LIMIT = 100_000
UNKNOWN_LIMIT = 20_000
PATIENCE_S = 0.1
"""How long a visitor waits when a stale entry could be served instead."""

DEADLINE_S = 0.5
"""How long one round trip may take; a visitor whose link is not held waits that long for it."""

_MOST_KEYS = 200

Read = Callable[[Sequence[str]], Awaitable[list[bytes | None]]]

UNSAID = b""
"""In place of a snapshot that nobody could be asked for, while others were."""

log = logger(__name__)


class Unavailable(Exception):
    """Nothing is held for a key, and Redis does not say (or does not know yet) what stands there."""


class Entry(msgspec.Struct, gc=False):
    """What Redis held for a key; `framed` is None when nobody owns it. `ruled` is a link that has rules or a split,
    compiled on its first visit and kept as long as the entry: that costs more than all the rest of a redirect."""

    framed: bytes | None
    fresh_until: float
    epoch: int
    ruled: Compiled | None = None


class _Waiter(msgspec.Struct, eq=False):
    """Whom to tell, None once that was done, and the timer that tells them when Redis does not."""

    then: Callable[[Entry | None], None] | None
    limit: asyncio.TimerHandle | None = None


class Snapshots:
    """The cache. `held` is the quick way, without waiting; `ask` or `want` is what to do when it returns None."""

    def __init__(
        self,
        *,
        read: Read,
        breaker: Breaker,
        limit: int = LIMIT,
        unknown_limit: int = UNKNOWN_LIMIT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.listening = False
        """True while announcements of changes are heard."""
        self._read = read
        self._breaker = breaker
        self._clock = clock
        self._found = _Shelf(limit)
        self._unknown = _Shelf(unknown_limit)  # apart, so that random slugs push out no link
        self._epoch = 0
        self._wanted: dict[str, list[_Waiter]] = {}
        self._travelling: set[str] = set()
        self._doubted: set[str] = set()
        self._loader: asyncio.Task[None] | None = None
        self._hit, self._asked, self._stale = (
            SNAPSHOT_READS.labels(name) for name in ("cache", "redis", "stale")
        )

    def held(self, key: str) -> Entry | None:
        """What may be used for `key` right now, or None when Redis has to be asked first. Never waits."""
        entry = self._found.get(key)
        if entry is None:
            entry = self._unknown.get(key)
        if entry is None:
            return None
        if entry.epoch == self._epoch and self._clock() < entry.fresh_until:
            self._hit.inc()
            return entry
        if entry.framed is None or not self._breaker.failing:
            return None
        self._stale.inc()
        return entry

    def are_held(self, domain: Entry, link: Entry) -> bool:
        """True while both, found before, may be used as `held` would give them."""
        now, epoch = self._clock(), self._epoch
        if (
            link.epoch == epoch
            and domain.epoch == epoch
            and now < link.fresh_until
            and now < domain.fresh_until
        ):
            self._hit.inc(2)
            return True
        return False

    async def ask(self, key: str) -> Entry:
        """What Redis says, or what is held when it does not say in time. Raises Unavailable."""
        future: asyncio.Future[Entry | None] = asyncio.get_running_loop().create_future()
        self.want(key, lambda entry: None if future.done() else future.set_result(entry))
        entry = await future
        if entry is None:
            raise Unavailable
        return entry

    def want(self, key: str, then: Callable[[Entry | None], None]) -> None:
        """As `ask`, without a task: `then` is called with it, perhaps before this returns, or with None for what is
        unavailable. It must not raise."""
        fallback = self._found.get(key)
        if not self._breaker.allows:
            then(self._instead(key))
            return
        loop = asyncio.get_running_loop()
        waiter = _Waiter(then)
        waiter.limit = loop.call_later(
            DEADLINE_S if fallback is None else PATIENCE_S, self._tell, key, waiter, None
        )
        self._wanted.setdefault(key, []).append(waiter)
        if self._loader is None:
            self._loader = loop.create_task(self._load())

    def mark_stale(self, key: str) -> None:
        """`key` was changed: ask Redis on its next use."""
        for shelf in (self._found, self._unknown):
            entry = shelf.peek(key)
            if entry is not None:
                entry.fresh_until = 0.0
        if key in self._travelling:
            self._doubted.add(key)  # the reply on its way may be older than the change

    def mark_all_stale(self) -> None:
        """Changes may have been missed: ask Redis again for everything, each on its next use."""
        self._epoch += 1

    def __len__(self) -> int:
        return len(self._found) + len(self._unknown)

    def _instead(self, key: str) -> Entry | None:
        """What is held, where Redis does not say."""
        entry = self._found.get(key)
        if entry is not None:
            self._stale.inc()
        return entry

    def _tell(self, key: str, waiter: "_Waiter", entry: Entry | None) -> None:
        """Tell what Redis said, or that it did not; once."""
        then, waiter.then = waiter.then, None
        if then is None:
            return
        if waiter.limit is not None:
            waiter.limit.cancel()
        if entry is None:
            entry = self._instead(key)
        else:
            self._asked.inc()
        then(entry)

    async def _load(self) -> None:
        """Ask for all that is wanted, many keys a round trip; while one travels the next gather."""
        try:
            while self._wanted:
                names = list(self._wanted)[:_MOST_KEYS]
                entries = await self._round_trip(names)
                for name in names:
                    for waiter in self._wanted.pop(name):
                        self._tell(name, waiter, entries.get(name))
        finally:
            self._loader = None

    async def _round_trip(self, names: list[str]) -> dict[str, Entry | None]:
        """What Redis says of each name; nothing when it does not answer in time. Never fails."""
        if not self._breaker.allows:  # it failed since these were asked for: nobody waits for each in turn
            return {}
        epoch = self._epoch
        self._travelling.update(names)
        try:
            async with asyncio.timeout(DEADLINE_S):
                *replies, ready = await self._read([*names, keys.SNAPSHOTS_READY])
            entries = {
                name: self._taken(name, framed, epoch=epoch, ready=ready is not None)
                for name, framed in zip(names, replies, strict=True)
            }
        except Exception as error:  # whatever it was: those who wait must be told
            self._breaker.failed(error)
            return {}
        finally:
            self._travelling.clear()
            self._doubted.clear()
        self._breaker.worked()
        return entries

    def _taken(self, key: str, framed: bytes | None, *, epoch: int, ready: bool) -> Entry | None:
        """Put away what Redis said; None when it said nothing that can be used."""
        if framed == UNSAID or (framed is None and not ready):
            return None
        if framed is not None and not _is_readable(key, framed):
            older = self._found.peek(key)
            if older is not None:  # not asked for on every visit
                older.fresh_until, older.epoch = self._clock() + UNKNOWN_S, epoch
            return older
        lifetime = UNKNOWN_S if framed is None else FRESH_S
        if not self.listening:
            lifetime = UNHEARD_S
        until = 0.0 if key in self._doubted else self._clock() + lifetime
        entry = Entry(framed, until, epoch)
        older = self._found.peek(key)
        if older is not None and older.framed == framed:
            entry.ruled = older.ruled
        put, dropped = (self._unknown, self._found) if framed is None else (self._found, self._unknown)
        put.put(key, entry)
        dropped.drop(key)
        return entry


class _Shelf:
    """A bounded dictionary that forgets what was not used for longest. What it forgets is not fresh any more, whoever
    has it: nobody could be told of its changes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: OrderedDict[str, Entry] = OrderedDict()

    def get(self, key: str) -> Entry | None:
        entry = self._entries.get(key)
        if entry is not None:
            self._entries.move_to_end(key)
        return entry

    def peek(self, key: str) -> Entry | None:
        return self._entries.get(key)

    def put(self, key: str, entry: Entry) -> None:
        self.drop(key)
        self._entries[key] = entry
        if len(self._entries) > self._limit:
            _, forgotten = self._entries.popitem(last=False)
            forgotten.fresh_until = 0.0

    def drop(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            entry.fresh_until = 0.0

    def __len__(self) -> int:
        return len(self._entries)


def link_in(entry: Entry) -> Compiled:
    """The link that an entry holds, compiled; a tombstone for an unknown one."""
    if entry.ruled is not None:
        return entry.ruled
    if entry.framed is None:
        return NOBODYS
    compiled = compiled_of(entry.framed)
    if compiled.plan is not None:
        entry.ruled = compiled
    return compiled


def domain_in(entry: Entry) -> DomainSnapshot:
    """The domain that an entry holds; a tombstone for an unknown one."""
    return _NO_DOMAIN if entry.framed is None else _domain(entry.framed)


def reader(pipeline: Pipeline) -> Read:
    """How Snapshots reads from Redis: one MGET."""

    async def read(names: Sequence[str]) -> list[bytes | None]:
        replies: list[bytes | None] = await pipeline.ask(
            packed(b"MGET", *[name.encode("utf-8") for name in names])
        )
        return replies

    return read


_domain = lru_cache(maxsize=256)(domain_snapshot.decode)
_NO_DOMAIN = DomainSnapshot()
_LINK_PREFIX = keys.LINKS.removesuffix("*")


def _is_readable(key: str, framed: bytes) -> bool:
    """True when this release can use a snapshot. Looked at once, when it is put away."""
    try:
        targets = _targets(key, framed)
        if not (targets.isascii() and targets.isprintable()):
            raise msgspec.ValidationError("a destination can not stand in a header")
    except (NewerSchema, ValueError, ArithmeticError) as error:  # ValueError is what the decoder raises, too
        reason = "newer" if isinstance(error, NewerSchema) else "damaged"
        SNAPSHOTS_UNREADABLE.labels(reason).inc()
        log.warning("snapshot.unreadable", key=key, reason=reason, error=str(error))
        return False
    return True


def _targets(key: str, framed: bytes) -> str:
    """Every address that a snapshot may send visitors to."""
    if key == keys.SOURCES:
        table_of(framed)
        return ""
    return "".join(
        compiled_of(framed).link.targets if key.startswith(_LINK_PREFIX) else _domain(framed).targets
    )
