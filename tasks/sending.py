"""The sender: works the table of what is sent on, beside the queues and never in their way.

One thread takes what is due and writes down what came of it; a few others do nothing but wait for receivers. A receiver
that is slow holds its own share of those alone, so that the others go on.
"""

import random
import re
import time
from collections.abc import Callable, Collection
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from datetime import UTC, datetime
from threading import Event

from sqlalchemy import Engine

from core.db.deliveries import LONGEST_ANSWER, Due, Outcome, claim, facts_of, settle, waiting
from core.domain.outgoing import SAMPLE, Facts, Request, build
from core.domain.sending import (
    DELIVERY,
    DONE,
    FAILED,
    KEY,
    SIGNATURE,
    TEST,
    WAITING,
    delivery_key,
    is_accepted,
    may_heal,
    retry_after_s,
    sign,
    wait_after,
)
from core.net import Bounds, FetchFailed, FetchRefused, Network, Reply, Resolver, fetch
from core.observe import logger
from tasks import metrics
from tasks.chores import Chore, ChoreThread

log = logger(__name__)

SLOTS = 16
"""How many attempts are on their way at a time, from one process."""

EACH = 8
"""How many of them to one webhook, whichever processes they are from."""

BOUNDS = Bounds(size=64 * 1024, seconds=10.0, redirects=0)
_AGENT = "Rastro/1 (outgoing postback)"
_COUNT_EVERY_S = 15.0
_ERRNO = re.compile(r"\[Errno -?\d+\] ")


class Sender:
    """Sends on what is due until `stopping` is set. `allowed` names private networks that receivers may be in; `clock`,
    `draw` (0 to 1) and `resolve` are for tests to hand in."""

    def __init__(
        self,
        engine: Engine,
        *,
        stopping: Event,
        allowed: Collection[Network] = (),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        draw: Callable[[], float] = random.random,
        resolve: Resolver | None = None,
    ) -> None:
        self._engine = engine
        self._stopping = stopping
        self._allowed = tuple(allowed)
        self._clock = clock
        self._draw = draw
        self._resolve = resolve
        self._pool = ThreadPoolExecutor(SLOTS, thread_name_prefix="send")
        self._on_their_way: set[Future[Outcome]] = set()
        self._unwritten: list[Outcome] = []
        self._thread = ChoreThread(
            "Sending on",
            [
                Chore("send on", self.step, every=1.0, longest=10.0),
                Chore("count what is to be sent", self._count, every=_COUNT_EVERY_S),
            ],
        )

    def start(self) -> None:
        """Begin, on a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing more and write down what is on its way: no longer than an attempt may take, and then some. What
        is not written down is sent again by another process, under the same delivery id."""
        self._stopping.set()
        self._thread.stop()
        wait(self._on_their_way, timeout=BOUNDS.seconds + 1)
        try:
            self._write()
        except Exception as error:
            log.warning("sending.not_written", reason=str(error), deliveries=len(self._unwritten))
        self._pool.shutdown(wait=False, cancel_futures=True)

    def step(self) -> None:
        """Send until nothing is due and nothing is on its way. Raises SQLAlchemyError; what was sent until then is
        written down by the next call."""
        while True:
            self._write()
            taken = 0 if self._stopping.is_set() else self._take()
            if not self._on_their_way or (self._stopping.is_set() and not taken):
                return
            wait(self._on_their_way, timeout=1.0, return_when=FIRST_COMPLETED)

    def _take(self) -> int:
        """Lease what is due and hand it to the threads. How many."""
        with self._engine.begin() as connection:
            due = claim(connection, now=self._clock(), most=SLOTS - len(self._on_their_way), each=EACH)
            facts = facts_of(connection, [one.conversion_id for one in due if one.conversion_id is not None])
        for one in due:
            known = SAMPLE if one.conversion_id is None else facts.get(one.conversion_id)
            self._on_their_way.add(self._pool.submit(self._attempt, one, known))
        return len(due)

    def _write(self) -> None:
        """Write down what has come of those that are over."""
        over = {future for future in self._on_their_way if future.done()}
        self._on_their_way -= over
        self._unwritten += [future.result() for future in over]
        if not self._unwritten:
            return
        with self._engine.begin() as connection:
            off = settle(connection, self._unwritten)
        for webhook_id in off:
            log.warning("sending.switched_off", webhook=webhook_id)
        self._unwritten = []

    def _count(self) -> None:
        with self._engine.connect() as connection:
            metrics.SENDING_WAITING.set(waiting(connection))

    def _attempt(self, due: Due, facts: Facts | None) -> Outcome:
        """One attempt, whatever comes of it. Runs on a thread of the pool and touches nothing but the network."""
        began = time.monotonic()
        request = Request(due.settings.method, due.url, (), "")
        reply: Reply | None = None
        heals = False
        try:
            if facts is None:
                raise FetchRefused("gone", "The conversion is gone.")
            told = replace(facts, values={**facts.values, "status": due.status}) if due.status else facts
            request = build(url=due.url, body=due.body, settings=due.settings, facts=told)
            reply = fetch(
                request.url,
                method=request.method,
                body=request.body.encode() if request.method == "POST" else None,
                headers=self._headers(due, request),
                bounds=BOUNDS,
                allowed=self._allowed,
                resolve=self._resolve,
            )
            error, heals = _refusal(reply), may_heal(reply.status)
        except FetchRefused as refused:
            error = str(refused)
        except FetchFailed as failed:
            error, heals = f"{_ERRNO.sub('', str(failed)).rstrip('.')}.", True
        except Exception as broken:
            log.exception("sending.broken", delivery=due.id)
            error = f"It could not be made: {type(broken).__name__}."
        seconds = time.monotonic() - began
        return self._outcome(due, request, reply, error=error, heals=heals, seconds=seconds)

    def _headers(self, due: Due, request: Request) -> dict[str, str]:
        headers = {
            "User-Agent": _AGENT,
            **dict(request.headers),
            DELIVERY: str(due.id),
            KEY: delivery_key(due.id),
        }
        if due.secret:
            headers[SIGNATURE] = sign(due.secret, request.covered, now=self._clock())
        return headers

    def _outcome(
        self, due: Due, request: Request, reply: Reply | None, *, error: str, heals: bool, seconds: float
    ) -> Outcome:
        at = self._clock()
        state, next_try = (FAILED, None) if error else (DONE, None)
        asked = retry_after_s(reply.headers.get("retry-after", ""), now=at) if error and reply else 0.0
        if error and heals and due.kind != TEST:
            pause = wait_after(due.attempts + 1, jitter=self._draw(), retry_after_s=asked)
            state, next_try = (WAITING, at + pause) if pause else (FAILED, None)
        metrics.SENT.labels({DONE: "done", WAITING: "retried"}.get(state, "failed")).inc()
        metrics.SENDING_SECONDS.observe(seconds)
        return Outcome(
            due=due,
            state=state,
            at=at,
            request=request,
            status=reply.status if reply else None,
            answer=reply.body[:LONGEST_ANSWER].decode("utf-8", "replace") if reply else "",
            error=error,
            ms=round(seconds * 1000),
            next_try=next_try,
            retry_after_s=asked,
        )


def _refusal(reply: Reply) -> str:
    """What is wrong with an answer, in words; "" for one that accepts."""
    if is_accepted(reply.status):
        return ""
    where = reply.headers.get("location", "").partition("?")[0][:200]
    if 300 <= reply.status < 400 and where:
        return f"It answered {reply.status}, a redirect to {where}: redirects are not followed."
    return f"It answered {reply.status}."
