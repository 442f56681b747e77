"""Where a worker thread looks next: its lane's queues by priority, starving none, and entries of dead workers."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from tasks.streams import Lot, StreamStorage

PATIENCE = 16
"""Lots that may be taken from other queues of a lane before a queue has its turn whatever its priority."""

_BLOCK_MS = 1000  # also how long an idle worker takes to notice that it shall stop
_LOOKS = 8  # times in a lease that each thread looks for what dead workers left: stored within lease + 25 %
_LOOK_S = 1.0  # how long a queue that was paused may still be begun


class Turns:
    """The order in which a lane's queues are looked at: by priority, but first those passed over for too long."""

    def __init__(self, queues: Sequence[str], *, patience: int = PATIENCE) -> None:
        self._queues = tuple(queues)
        self._patience = patience
        self._passed = dict.fromkeys(self._queues, 0)

    def order(self) -> list[str]:
        """Queues to look at, first one first."""
        late = [queue for queue in self._queues if self._passed[queue] >= self._patience]
        late.sort(key=lambda queue: -self._passed[queue])
        return late + [queue for queue in self._queues if queue not in late]

    def looked(self, queue: str) -> None:
        """The queue had its turn, whether it held anything or not."""
        self._passed[queue] = 0

    def took(self, queue: str) -> None:
        """A lot of this queue was taken; the lane's others were passed over once more."""
        for other in self._queues:
            self._passed[other] = 0 if other == queue else self._passed[other] + 1


class Reader:
    """Takes lots for one consumer, from one lane."""

    def __init__(
        self,
        storage: StreamStorage,
        *,
        lane: Sequence[str],
        consumer: str,
        largest: Mapping[str, int],
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`largest` says for each queue how many entries a lot may have; 1 where a queue is not named."""
        self.consumer = consumer
        self._storage = storage
        self._lane = tuple(lane)
        self._largest = largest
        self._turns = Turns(lane)
        self._clock = clock
        self._sleep = sleep
        self._paused: frozenset[str] = frozenset()
        self._look_at = clock()
        self._reclaim_at = dict.fromkeys(self._lane, clock())
        self._ready: deque[Lot] = deque()

    def take(self) -> Lot | None:
        """The next lot, or None after at most a second without any. Nothing of a paused queue. Raises redis.RedisError.

        Called again and again it finds what a dead worker left within three sixteenths of the lease after its end."""
        if self._ready:
            return self._ready.popleft()
        lane = self._open_lane()
        for queue in self._turns.order():
            lot = self._look(queue) if queue in lane else None
            if lot is not None:
                self._turns.took(queue)
                return lot
            self._turns.looked(queue)
        if not lane:
            self._sleep(_BLOCK_MS / 1000)
            return None
        most = self._most(lane[0]) if len(lane) == 1 else 1
        block_ms = self._block_ms(lane)
        self._ready.extend(self._storage.take(lane, self.consumer, most=most, block_ms=block_ms))
        return self._ready.popleft() if self._ready else None

    def _open_lane(self) -> list[str]:
        """The lane's queues that are not paused."""
        if self._clock() >= self._look_at:
            self._paused = self._storage.paused()
            self._look_at = self._clock() + _LOOK_S
        return [queue for queue in self._lane if queue not in self._paused]

    def _look(self, queue: str) -> Lot | None:
        """What a dead worker left, when it is time to look for that, else what is new; does not wait."""
        if self._clock() >= self._reclaim_at[queue]:
            lost = self._storage.reclaim(queue, self.consumer, most=self._most(queue))
            if lost is not None:
                return lost
            self._reclaim_at[queue] = self._clock() + self._storage.lease / _LOOKS
        if len(self._lane) == 1:
            return None  # the waiting read that follows sees the same
        lots = self._storage.take([queue], self.consumer, most=self._most(queue))
        return lots[0] if lots else None

    def _block_ms(self, queues: Sequence[str]) -> int:
        """A second, but no longer than until the next look for what dead workers left of these queues."""
        until_look = min(self._reclaim_at[queue] for queue in queues) - self._clock()
        return max(1, min(_BLOCK_MS, int(until_look * 1000)))

    def _most(self, queue: str) -> int:
        return self._largest.get(queue, 1)
