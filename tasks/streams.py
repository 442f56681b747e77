"""Huey's storage on Redis Streams: an entry stays until whoever took it says that its work is done.

An entry that was taken is leased to a consumer (one name a worker thread). A heartbeat renews the lease; when the
process dies the lease ends and another consumer takes the entry, with the number of deliveries so far. All names come
from `core.contracts.keys`; steps that must not be torn apart are the Lua files beside this one.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, TypedDict, cast

import msgspec
import redis
from huey.storage import BaseStorage

from core.contracts import keys
from core.contracts.keys import GROUP, QUEUES
from core.services.redis_client import make_redis

_AT_ONCE = (
    1000  # Lua can not unpack more than some thousands of values, and nobody may wait long behind a script
)
_SCRIPTS = ("clear", "forget", "hold", "move_due", "reclaim", "release", "renew")
_COUNTING = ("acknowledge", "bury", "retry")
_SUSPECT_TTL_MS = keys.DEAD_TTL_MS


@dataclass(slots=True, eq=False)
class Lot:
    """Entries of one queue that one consumer holds. `deliveries` is how often they were delivered before; `malformed`
    are the places of entries without the field that belongs there, whose payload is all their fields as MessagePack.
    `since_ms` is when they were taken, `leased_ms` when their lease last began, `task` the name of the task that runs
    now ("" for a batch), `alone` the entry that stands under suspicion now."""

    queue: str
    consumer: str
    ids: list[bytes]
    payloads: list[bytes]
    malformed: set[int]
    deliveries: int
    since_ms: int
    leased_ms: int
    task: str = ""
    alone: bytes | None = None

    def __len__(self) -> int:
        return len(self.ids)


class Running(TypedDict):
    """What a process holds, as its heartbeat tells it."""

    queue: str
    task: str
    entries: int
    since_ms: int


def make_client(redis_url: str, *, connections: int = 50) -> "redis.Redis":
    """A client for workers. It never retries by itself (an XADD whose answer was lost would run twice), gives up on a
    silent server after five seconds, and leaves XREADGROUP's answer as it came, since batches are large."""
    client: Any = make_redis(
        redis_url,
        connect_timeout=2,
        timeout=5,
        health_check_interval=0,
        protocol=2,
        max_connections=connections,
    )
    client.set_response_callback("XREADGROUP", lambda answer, **_: answer)
    return cast("redis.Redis", client)


class StreamStorage(BaseStorage):  # type: ignore[misc]
    """At least once: everything that was added is delivered until it was acknowledged, retried or buried.

    Every method may raise redis.RedisError; none of them has then lost anything."""

    blocking = True
    priority = True

    def __init__(
        self, name: str, *, client: "redis.Redis", lease: float, clock: Callable[[], int] | None = None
    ) -> None:
        """`lease` is in seconds; it must be well above the longest time that a process may stand still. `clock` gives
        ms since 1970."""
        super().__init__(name)
        self.client = client
        self.lease = lease
        self._clock = clock or now_ms
        self._lease_ms = int(lease * 1000)
        self._held: set[Lot] = set()
        self._done = 0
        self._lock = threading.Lock()
        sources = {script: _source(script) for script in _SCRIPTS}
        sources |= {script: _source("count") + _source(script) for script in _COUNTING}
        self._scripts = {script: client.register_script(source) for script, source in sources.items()}

    # What Huey itself calls.

    def enqueue(self, data: bytes, priority: int | None = None) -> None:
        """Add a message to the queue that has this number in `QUEUES`."""
        self.add(QUEUES[priority or 0], [data])

    def peek_many(self, names: Iterable[str]) -> dict[str, bytes]:
        """Huey asks whether a task was revoked before each run; a message is discarded by deleting its entry."""
        return {}

    def delete_data(self, key: str) -> bool:
        """There are no revocations to delete."""
        return False

    def queue_size(self) -> int:
        """Entries that wait or run, of all queues."""
        return sum(self.client.xlen(keys.stream(queue)) for queue in QUEUES)

    def schedule_size(self) -> int:
        """Messages that wait for their time, of all queues."""
        return sum(self.client.zcard(keys.later(queue)) for queue in QUEUES)

    # Adding and taking.

    def add(self, queue: str, messages: Sequence[bytes]) -> None:
        """Add messages to a queue, in one round trip."""
        pipeline = self.client.pipeline(transaction=False)
        for message in messages:
            pipeline.xadd(keys.stream(queue), {keys.field_of(queue): message})
        pipeline.execute()

    def take(
        self, queues: Sequence[str], consumer: str, *, most: int, block_ms: int | None = None
    ) -> list[Lot]:
        """Take entries that were never delivered, at most `most` of each queue. Waits `block_ms` for the first one;
        None does not wait. Empty when there were none. The lots are held until `drop`."""
        answer = self._read(queues, consumer, most=min(most, _AT_ONCE), block_ms=block_ms)
        if len(queues) == 1 and answer:
            self._read_on(queues, consumer, answer[0][1], most=most)
        by_stream = {keys.stream(queue).encode(): queue for queue in queues}
        return [self._hold(by_stream[name], consumer, entries, 0) for name, entries in answer]

    def _read(
        self, queues: Sequence[str], consumer: str, *, most: int, block_ms: int | None = None
    ) -> list[Any]:
        wait = [] if block_ms is None else ["BLOCK", block_ms]
        streams = [keys.stream(queue) for queue in queues]
        command = ["XREADGROUP", "GROUP", GROUP, consumer, "COUNT", most, *wait, "STREAMS", *streams]
        command += [">"] * len(streams)
        answer = self._with_groups(queues, lambda: self.client.execute_command(*command))  # type: ignore[no-untyped-call]
        return answer or []

    def _read_on(self, queues: Sequence[str], consumer: str, entries: list[Any], *, most: int) -> None:
        """Add to a lot that may be larger than what is read at once: redirects wait behind each read."""
        full = len(entries) == _AT_ONCE
        while full and len(entries) < most:
            part = min(most - len(entries), _AT_ONCE)
            try:
                answer = self._read(queues, consumer, most=part)
            except redis.RedisError:  # what was read is ours, and is not left to its lease
                return
            full = bool(answer) and len(answer[0][1]) == part
            entries += answer[0][1] if answer else []

    def reclaim(self, queue: str, consumer: str, *, most: int) -> Lot | None:
        """Take over entries whose lease has ended, those delivered least often first (see reclaim.lua for how many).

        A look passes everything that is held, which may be some ten thousand entries: None, without a look, while one
        by any process that found nothing is less than a sixteenth of the lease ago."""
        names = [keys.stream(queue), keys.looked(queue)]
        args: list[Any] = [GROUP, consumer, self._lease_ms, most, max(self._lease_ms // 16, 1)]
        answer = self._with_groups([queue], lambda: self._scripts["reclaim"](keys=names, args=args))
        if not answer or not answer[1]:
            return None
        return self._hold(queue, consumer, answer[1], answer[0])

    def drop(self, lot: Lot) -> None:
        """Stop renewing the lease of a lot: it is done, or left to others."""
        with self._lock:
            self._held.discard(lot)

    # What became of an entry. Each is a no-op for entries that another consumer owns by now.

    def acknowledge(self, lot: Lot, ids: Sequence[bytes], *, ran_ms: int = 0) -> int:
        """The work of these entries of a lot (in rising order) is done, and took `ran_ms` together. Returns how many
        were still ours."""
        ours = 0
        for start in range(0, len(ids), _AT_ONCE):
            ours += self._count(
                "acknowledge", [], lot, 0 if start else ran_ms, *ids[start : start + _AT_ONCE]
            )
        with self._lock:
            self._done += ours
        return ours

    @property
    def done(self) -> int:
        """Entries that this process has acknowledged since it started."""
        return self._done

    def retry(self, lot: Lot, entry: bytes, *, message: bytes, due_ms: int, ran_ms: int = 0) -> bool:
        """Replace an entry by a message that is delivered at `due_ms`. False when the entry is not ours any more."""
        return bool(self._count("retry", [keys.later(lot.queue)], lot, ran_ms, entry, due_ms, message))

    def bury(
        self,
        lot: Lot,
        entry: bytes,
        *,
        letter: Mapping[str, bytes | str | int],
        now_ms: int,
        ran_ms: int = 0,
    ) -> bool:
        """Move an entry to the dead letters, as `letter`. False when the entry is not ours any more."""
        names = [keys.dead(lot.queue), keys.suspects(lot.queue)]
        pairs: list[Any] = [part for pair in letter.items() for part in pair]
        oldest = max(now_ms - keys.DEAD_TTL_MS, 0)
        buried = bool(self._count("bury", names, lot, ran_ms, entry, oldest, *pairs))
        if lot.alone == entry:
            lot.alone = None
        return buried

    def release(self, lot: Lot) -> int:
        """Give back what is left of a lot, free to take at once, and not counted as a delivery."""
        self.clear(lot)
        given = 0
        for start in range(0, len(lot.ids), _AT_ONCE):
            part = lot.ids[start : start + _AT_ONCE]
            charge = (lot.deliveries, self._lease_ms + 1)
            names = [keys.stream(lot.queue), keys.looked(lot.queue)]
            given += self._settle("release", names, lot, *charge, *part)
        self.drop(lot)
        return given

    def release_all(self) -> int:
        """Give back everything that this process holds."""
        with self._lock:
            held = list(self._held)
        return sum(self.release(lot) for lot in held)

    # Suspicion: an entry that is alone is charged in advance, and cleared if its process survives.

    def suspect(self, lot: Lot, entry: bytes) -> int:
        """Charge an entry that is about to be handled alone. Returns how many processes died of it before."""
        pipeline = self.client.pipeline(transaction=True)
        pipeline.hincrby(keys.suspects(lot.queue), entry, 1)
        pipeline.pexpire(keys.suspects(lot.queue), _SUSPECT_TTL_MS)
        charged = int(pipeline.execute()[0])
        lot.alone = entry
        return charged - 1

    def clear(self, lot: Lot) -> None:
        """Take back the charge of `suspect`: the process lives."""
        if lot.alone is not None:
            self._scripts["clear"](keys=[keys.suspects(lot.queue)], args=[lot.alone])
            lot.alone = None

    def acquit(self, lot: Lot) -> None:
        """Forget all charges of the entry that `suspect` charged: it was handled."""
        if lot.alone is not None:
            self.client.hdel(keys.suspects(lot.queue), lot.alone)
            lot.alone = None

    # Upkeep.

    def renew(self, *, after_ms: int = 0) -> int:
        """Start the leases anew that began `after_ms` ago or earlier. Returns how many of those entries are still ours.

        A busy pool holds ten times what it stores in a second: to renew what is young cost Redis more than to hand it
        out."""
        with self._lock:
            held = list(self._held)
        renewed = 0
        for lot in held:
            now = self._clock()
            if now - lot.leased_ms < after_ms:
                continue
            for start in range(0, len(lot.ids), _AT_ONCE):
                part = lot.ids[start : start + _AT_ONCE]
                renewed += self._settle("renew", [keys.stream(lot.queue)], lot, *part)
            lot.leased_ms = now
        return renewed

    def move_due(self, queue: str, *, now_ms: int, most: int = 1000) -> int:
        """Put messages whose time has come into their queue. Returns how many."""
        names = [keys.later(queue), keys.stream(queue)]
        return int(self._scripts["move_due"](keys=names, args=[now_ms, most, keys.field_of(queue)]))

    def paused(self) -> frozenset[str]:
        """Names of the queues that are paused."""
        names: Any = self.client.smembers(keys.PAUSED)
        return frozenset(name.decode() for name in names)

    def hold(self, queue: str, *, most: int = 1000) -> int:
        """Move what waits in a paused queue out of its stream, and back once it is not paused, oldest first; what was
        delivered stays. An entry that comes back is behind those that came meanwhile. Returns how many were moved."""
        names = [keys.stream(queue), keys.held(queue), keys.PAUSED]
        return int(self._scripts["hold"](keys=names, args=[GROUP, queue, most]))

    def running(self) -> list[Running]:
        """What the threads of this process hold now."""
        with self._lock:
            held = list(self._held)
        return [
            Running(queue=lot.queue, task=lot.task, entries=len(lot), since_ms=lot.since_ms) for lot in held
        ]

    def forget(self, queue: str, consumer: str) -> None:
        """Remove a consumer's name, unless it still holds entries."""
        self._with_groups([queue], lambda: self._run("forget", queue, consumer))

    def forget_idle(self, queue: str, *, idle_ms: int) -> int:
        """Remove the names of consumers that were silent for `idle_ms` and hold nothing. Returns how many."""
        rows = self._with_groups([queue], lambda: self.client.xinfo_consumers(keys.stream(queue), GROUP))
        silent = [row["name"].decode() for row in rows if row["idle"] > idle_ms and not row["pending"]]
        for consumer in silent:
            self.forget(queue, consumer)
        return len(silent)

    def _hold(self, queue: str, consumer: str, entries: list[Any], deliveries: int) -> Lot:
        field = keys.field_of(queue)
        payloads: list[bytes] = []
        malformed: set[int] = set()
        for place, (_, pairs) in enumerate(entries):
            if pairs and pairs[0] == field:
                payloads.append(pairs[1])
            else:
                payloads.append(msgspec.msgpack.encode(pairs))
                malformed.add(place)
        ids = [entry for entry, _ in entries]
        now = self._clock()
        lot = Lot(queue, consumer, ids, payloads, malformed, deliveries, since_ms=now, leased_ms=now)
        with self._lock:
            self._held.add(lot)
        return lot

    def _count(self, script: str, names: list[str], lot: Lot, ran_ms: int, *args: Any) -> int:
        """Run a script that settles entries and counts them for the minute."""
        names = [keys.stream(lot.queue), keys.stats(self._clock() // 60_000), *names]
        return self._settle(script, names, lot, lot.queue, ran_ms, keys.STATS_TTL_S, *args)

    def _settle(self, script: str, names: list[str], lot: Lot, *args: Any) -> int:
        """Run a script on entries that a lot holds; 0 where Redis was emptied and its group is gone with them."""
        try:
            return int(self._scripts[script](keys=names, args=[GROUP, lot.consumer, *args]))
        except redis.ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            return 0

    def _run(self, script: str, queue: str, *args: Any) -> Any:
        return self._scripts[script](keys=[keys.stream(queue)], args=[GROUP, *args])

    def _with_groups(self, queues: Sequence[str], call: Any) -> Any:
        """Make the call; where a group is missing (a new or emptied Redis), make it and call again."""
        try:
            return call()
        except redis.ResponseError as error:
            if not any(sign in str(error) for sign in ("NOGROUP", "no such key")):
                raise
        for queue in queues:
            try:
                self.client.xgroup_create(keys.stream(queue), GROUP, id="0", mkstream=True)
            except redis.ResponseError as error:
                if "BUSYGROUP" not in str(error):
                    raise
        return call()


def _source(script: str) -> str:
    return files("tasks").joinpath("lua", f"{script}.lua").read_text(encoding="utf-8")


def now_ms() -> int:
    """The time in ms since 1970, as entries and the sorted sets use it."""
    return time.time_ns() // 1_000_000
