"""One worker thread: takes lots from its lane and settles every entry of them, one way or another.

Done and acknowledged; put aside for a further attempt; buried with the dead letters; or left, uncharged, to whoever
comes next. What a server is to blame for is waited out with the lot in hand, for as long as it takes.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from huey.consumer import Worker

from core import error_reports, traces
from core.contracts import task_message
from core.contracts.task_message import TaskMessage
from core.observe import begin_request, end_request, logger
from tasks import metrics
from tasks.faults import is_nobodys, is_outage
from tasks.letters import DEADLY, FAILED, NEWER, POISON, UNKNOWN, dead_letter
from tasks.queues import Lane
from tasks.reader import Reader
from tasks.registry import Handler
from tasks.runner import TaskHuey
from tasks.streams import Lot, now_ms

log = logger(__name__)

DEATHS_ALONE = 5
"""An entry is taken for deadly after this many processes died while they held it alone."""

FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0
"""Seconds to wait for a server: doubled from the first to the longest."""

_LONGEST_DELAY = 3600.0


class Leaving(Exception):
    """The process shall stop while a server is away; what is held is left to others."""


class Deadly(Exception):
    """Too many processes died of this entry while they held it alone."""


class LaneWorker(Worker):  # type: ignore[misc]
    """Huey's worker for one lane. It ends only with its process: no error of a task or a server passes `loop`."""

    process_name = "LaneWorker"
    huey: TaskHuey

    def __init__(
        self, *, lane: Lane, consumer: str, on_end: Callable[[], None] = lambda: None, **options: Any
    ) -> None:
        """`consumer` names this thread, uniquely among all processes; `on_end` is called when the thread ends."""
        super().__init__(**options)
        self.lane = lane
        self.consumer = consumer
        largest = {queue: spec.largest for queue, spec in self.huey.batches.items()}
        self._reader = Reader(self.huey.storage, lane=lane, consumer=consumer, largest=largest)
        self._handlers: dict[str, Handler] = {}
        self._wait_s = FIRST_WAIT
        self._ran_s = 0.0  # run time that no settled entry carries yet
        self._on_end = on_end

    def loop(self, now: Any = None) -> None:
        """Take one lot and settle it; a second without any is enough for Huey to look whether it shall stop."""
        lot = None
        try:
            lot = self._insist(self.lane[-1], lambda: self.huey.dequeue(self._reader))
            if lot is not None:
                self._settle(lot)
        except Leaving:
            if lot is not None:
                self._leave(lot)
        except (
            Exception
        ):  # a fault of this program: the lease ends, the entries come again, and it is counted
            log.exception("worker.fault", consumer=self.consumer)
            self.stop_flag.wait(FIRST_WAIT)
        finally:
            if lot is not None:
                self.huey.storage.drop(lot)

    def shutdown(self) -> None:
        """The thread ends: let go of the consumer's names, where they hold nothing."""
        try:
            for queue in self.lane:
                self.huey.storage.forget(queue, self.consumer)
        except Exception as error:
            log.info("worker.name_left", consumer=self.consumer, reason=str(error))
        self._on_end()

    def _settle(self, lot: Lot) -> None:
        if lot.deliveries:
            metrics.REDELIVERED.labels(lot.queue).inc(len(lot))
            log.info("worker.redelivered", queue=lot.queue, entries=len(lot), deliveries=lot.deliveries)
        for place in sorted(lot.malformed):
            self._bury(lot, place, reason=POISON)
        places = [place for place in range(len(lot)) if place not in lot.malformed]
        if lot.queue in self.huey.batches:
            self._settle_batch(lot, places)
        else:
            for place in places:
                self._settle_task(lot, place)

    # A batch.

    def _settle_batch(self, lot: Lot, places: list[int]) -> None:
        handle = self._handler(lot.queue)
        parts = [places] if places else []
        while parts:
            part = parts.pop()
            with traces.span(
                f"batch {lot.queue}",
                kind=traces.CONSUMER,
                facts={"rastro.queue": lot.queue, "messaging.batch.message_count": len(part)},
            ):
                parts += self._settle_part(lot, part, handle)

    def _settle_part(self, lot: Lot, part: list[int], handle: Handler) -> list[list[int]]:
        """Settle these entries together. Returns its halves, the first one last, where its content was to blame."""
        payloads = [lot.payloads[place] for place in part]
        alone = part[0] if len(part) == 1 else None
        try:
            rejected = self._attempt(lot, alone, lambda: handle(payloads), is_nobodys)
        except Leaving:
            raise
        except Exception as error:
            traces.failed(error)
            if alone is None:
                log.warning("worker.halved", queue=lot.queue, entries=len(part), reason=repr(error))
                middle = len(part) // 2
                return [part[middle:], part[:middle]]
            self._bury_failed(lot, alone, error)
            return []
        for index, reason in rejected.items():
            self._bury(lot, part[index], reason=reason)
        self._acknowledge(lot, [place for index, place in enumerate(part) if index not in rejected])
        return []

    def _handler(self, queue: str) -> Handler:
        if queue not in self._handlers:
            self._handlers[queue] = self._insist(
                queue, lambda: self.huey.make_handler(queue, self.consumer), is_nobodys
            )
        return self._handlers[queue]

    # A task.

    def _settle_task(self, lot: Lot, place: int) -> None:
        try:
            message = task_message.decode(lot.payloads[place])
        except msgspec.DecodeError as error:
            self._bury(lot, place, reason=POISON, error=error)
            return
        if message.version > task_message.VERSION:
            self._bury(lot, place, reason=NEWER, message=message)
        elif message.task not in self.huey.specs:
            self._bury(lot, place, reason=UNKNOWN, message=message)
        else:
            lot.task = message.task
            begin_request(message.request, task=message.task, task_id=message.id)
            try:
                with traces.span(
                    f"task {message.task}",
                    kind=traces.CONSUMER,
                    parent=message.trace,
                    facts={
                        "rastro.queue": lot.queue,
                        "rastro.task_id": message.id,
                        "rastro.attempts": message.attempts,
                        "rastro.request": message.request,
                    },
                ):
                    self._run_task(lot, place, message)
            finally:
                end_request()

    def _run_task(self, lot: Lot, place: int, message: TaskMessage) -> None:
        try:
            self._attempt(lot, place, lambda: self.huey.run(message), is_outage)
        except Leaving:
            raise
        except Exception as error:
            traces.failed(error)
            if isinstance(error, Deadly) or message.attempts >= self.huey.specs[message.task].retries:
                self._bury_failed(lot, place, error, message)
            else:
                self._put_aside(lot, place, message, error)
        else:
            self._acknowledge(lot, [place])

    def _put_aside(self, lot: Lot, place: int, message: TaskMessage, error: Exception) -> None:
        delay = min(self.huey.specs[message.task].delay * 2**message.attempts, _LONGEST_DELAY)
        again = msgspec.structs.replace(message, attempts=message.attempts + 1)
        data, due = task_message.encode(again), now_ms() + int(delay * 1000)
        entry, ran_ms = lot.ids[place], self._ran_ms()
        self._acquit(lot)
        if self._insist(
            lot.queue,
            lambda: self.huey.storage.retry(lot, entry, message=data, due_ms=due, ran_ms=ran_ms),
        ):
            metrics.RETRIED.labels(lot.queue).inc()
        log.warning(
            "worker.put_aside",
            task=message.task,
            id=message.id,
            attempts=again.attempts,
            seconds=delay,
            reason=repr(error),
        )

    # What becomes of entries.

    def _acknowledge(self, lot: Lot, places: Sequence[int]) -> None:
        self._acquit(lot)  # first: a kill in between must leave no charge behind whose entry is gone
        ids = [lot.ids[place] for place in places]
        if ids:
            ran_ms = self._ran_ms()
            with traces.span("acknowledge", kind=traces.CLIENT, facts={"db.system.name": "redis"}):
                ours = self._insist(lot.queue, lambda: self.huey.storage.acknowledge(lot, ids, ran_ms=ran_ms))
            metrics.DONE.labels(lot.queue).inc(ours)
            if ours < len(ids):
                log.warning("worker.lease_lost", queue=lot.queue, entries=len(ids) - ours)

    def _bury_failed(
        self, lot: Lot, place: int, error: Exception, message: TaskMessage | None = None
    ) -> None:
        reason = DEADLY if isinstance(error, Deadly) else FAILED
        tags = {"task": message.task, "task_id": message.id} if message else {}
        error_reports.report(error, "worker.dead_letter", queue=lot.queue, **tags)
        self._bury(lot, place, reason=reason, error=error, message=message)

    def _bury(
        self,
        lot: Lot,
        place: int,
        *,
        reason: str,
        error: Exception | None = None,
        message: TaskMessage | None = None,
    ) -> None:
        now = now_ms()
        letter = dead_letter(lot, place, reason=reason, now_ms=now, error=error, message=message)
        entry, ran_ms = lot.ids[place], self._ran_ms()
        if self._insist(
            lot.queue,
            lambda: self.huey.storage.bury(lot, entry, letter=letter, now_ms=now, ran_ms=ran_ms),
        ):
            metrics.DEAD.labels(lot.queue, reason).inc()
            log.error(
                "worker.dead_letter", queue=lot.queue, entry=entry.decode(), reason=reason, error=repr(error)
            )

    def _leave(self, lot: Lot) -> None:
        try:
            self.huey.storage.release(lot)
        except Exception as error:  # Redis is away too: the lease ends by itself
            log.warning("worker.lot_left", queue=lot.queue, entries=len(lot), reason=str(error))

    # Whose fault.

    def _attempt(
        self,
        lot: Lot,
        alone: int | None,
        call: Callable[[], Any],
        is_excused: Callable[[BaseException], bool],
    ) -> Any:
        """Make the call for the entry at `alone`, or for several (None), until no server is to blame for its failing.

        An entry that comes back and stands alone is charged before and cleared after, so what stays on its account is
        the number of processes that died in between. Raises Deadly, Leaving, and what the call raises."""
        while True:
            if alone is not None and lot.deliveries:
                self._charge(lot, lot.ids[alone])
            begun = time.monotonic()
            try:
                result = call()
            except Exception as error:
                if not is_excused(error):
                    raise
                self._insist(lot.queue, lambda: self.huey.storage.clear(lot))
                self._wait(lot.queue, error)
            else:
                self._wait_s = FIRST_WAIT
                return result
            finally:
                ran = time.monotonic() - begun
                self._ran_s += ran
                metrics.SECONDS.labels(lot.queue).observe(ran)

    def _ran_ms(self) -> int:
        """Whole ms of run time since the last time that this was asked."""
        ms = int(self._ran_s * 1000)
        self._ran_s -= ms / 1000
        return ms

    def _charge(self, lot: Lot, entry: bytes) -> None:
        deaths = self._insist(lot.queue, lambda: self.huey.storage.suspect(lot, entry))
        if deaths >= DEATHS_ALONE:
            raise Deadly(f"{deaths} processes died while they held this entry alone")

    def _acquit(self, lot: Lot) -> None:
        if lot.alone is not None:
            self._insist(lot.queue, lambda: self.huey.storage.acquit(lot))

    def _insist(
        self, queue: str, call: Callable[[], Any], is_excused: Callable[[BaseException], bool] = is_outage
    ) -> Any:
        """Make the call until no server is to blame for its failing. Raises Leaving, and what the call raises."""
        waited = False
        while True:
            try:
                result = call()
            except Exception as error:
                if not is_excused(error):
                    raise
                self._wait(queue, error)
                waited = True
            else:
                if waited:  # else Redis works, and says nothing of the server that is waited for
                    self._wait_s = FIRST_WAIT
                return result

    def _wait(self, queue: str, error: Exception) -> None:
        metrics.WAITED.labels(queue).inc()
        reason = str(error).strip().partition("\n")[0]
        log.warning("worker.waits", queue=queue, seconds=self._wait_s, reason=reason)
        if self.stop_flag.wait(self._wait_s):
            raise Leaving
        self._wait_s = min(self._wait_s * 2, LONGEST_WAIT)
