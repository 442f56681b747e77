"""The door for postbacks and pixels: who sends, whether they may, what is kept of it, and what they are answered.

Works on plain values, as `redirect` does. **An answered postback is a kept postback**: the answer leaves once Redis, or
the disk, has it; where neither takes it, and while it is not known whose tokens exist, whoever sends is told to send it
again. What is refused is kept as well, with the reason: somebody will ask.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial

import msgspec

from core.contracts import keys, postback_event
from core.contracts.click_event import unix_ms
from core.contracts.postback_event import LARGEST, PIXEL, REPLAYED, TOKEN, PostbackEvent
from core.domain.bots import HEAD, PREFETCH, PREVIEW, SCANNER, door_verdict
from core.observe import POSTBACKS_IGNORED, POSTBACKS_REFUSED, POSTBACKS_TAKEN
from tracker_quart import postback_answers as answers
from tracker_quart import signatures
from tracker_quart.answers import Answer
from tracker_quart.click_ids import ClickIds
from tracker_quart.event_log import EventLog
from tracker_quart.event_stream import Event
from tracker_quart.hits import Hit, query_text
from tracker_quart.redirect import Asker
from tracker_quart.snapshots import Unavailable
from tracker_quart.source_table import Source, Table
from tracker_quart.sources import Sources
from tracker_quart.used_signatures import UsedSignatures

UNAVAILABLE = "unavailable"
"""Why nothing was kept, beside the REFUSALS of the door: nobody can say whose tokens exist, or nothing can be kept."""

UNKNOWN_A_SECOND = 20
"""Postbacks with an unknown token that a process keeps in one second; further ones are only counted."""

UNKNOWN_A_DAY = 500
"""The same for a day: strangers must not fill the inbox, nor the disk."""

MOST_OF_UNKNOWN = 512
"""Bytes of query and body together that are kept of such a one."""

MOST_HELD = 64 << 20
"""Bytes of postbacks that wait to be kept, at most."""

_DAY_S = 24 * 3600
_HEADER = 2048
_HINT = 16


class _Judged(msgspec.Struct, frozen=True, gc=False):
    """`signed` is the name of the signature that has to be claimed before the postback is taken, "" for none, and
    `lasts_s` how long it counts as used then."""

    source: Source | None
    refusal: str = ""
    signed: str = ""
    lasts_s: int = 0


class _Step(msgspec.Struct, frozen=True, gc=False):
    """`answer` may leave once `event`, where there is one, is kept; `otherwise` where it could not be."""

    answer: Answer
    otherwise: Answer
    event: Event | None = None


class Receiver:
    """Answers postbacks and pixels."""

    def __init__(
        self,
        *,
        sources: Sources,
        log: EventLog,
        used: UsedSignatures,
        ids: ClickIds,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sources = sources
        self._log = log
        self._used = used
        self._new_id = ids.new
        self._clock = clock
        self._held = 0
        self._tasks: set[asyncio.Task[Answer]] = set()
        self._second, self._unknown = 0, 0
        self._day, self._unknown_of_day = 0, 0
        self._taken = {kind: POSTBACKS_TAKEN.labels(kind) for kind in postback_event.KINDS[:3]}
        self._refused = {
            reason: POSTBACKS_REFUSED.labels(reason) for reason in (*postback_event.REFUSALS, UNAVAILABLE)
        }
        self._ignored = {
            reason: POSTBACKS_IGNORED.labels(reason) for reason in (HEAD, PREFETCH, PREVIEW, SCANNER)
        }

    async def receive(self, hit: Hit) -> Answer:
        """The answer to a postback, after it is kept."""
        table = self._sources.held()
        if table is None:
            try:
                table = await self._sources.ask()
            except Unavailable:
                self._refused[UNAVAILABLE].inc()
                return answers.not_now(hit)
        event_id = self._new_id()
        judged = self._judge(hit, table, now_ms=unix_ms(event_id))
        if judged.signed:
            # Who hangs up meanwhile must leave no signature claimed whose postback is not kept.
            task = asyncio.create_task(self._claimed(hit, event_id, judged))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return await asyncio.shield(task)
        answer, _ = await self._kept(self._step(hit, event_id, judged))
        return answer

    def begin(self, hit: Hit, asker: Asker) -> None:
        """As `receive`, for nearly all without a task: `asker` gets the answer once the postback is kept, perhaps
        before this returns."""
        table = self._sources.held()
        if table is None:
            asker.reply_later(self.receive(hit))
            return
        event_id = self._new_id()
        judged = self._judge(hit, table, now_ms=unix_ms(event_id))
        if judged.signed:
            asker.reply_later(self._claimed(hit, event_id, judged))
            return
        step = self._step(hit, event_id, judged)
        self._keep(step, lambda is_kept: asker.reply(step.answer if is_kept else step.otherwise))

    def _judge(self, hit: Hit, table: Table, *, now_ms: int) -> _Judged:
        """In this order: whose token, from where, how large, signed by whom and when."""
        source = table.source_of(hit.token, now_ms=now_ms)
        if source is None:
            return _Judged(None, TOKEN)
        address = hit.visit.address
        if source.networks is not None and (address is None or not source.networks.holds(address)):
            return _Judged(source, postback_event.ADDRESS)
        if hit.size > LARGEST:
            return _Judged(source, postback_event.TOO_LARGE)
        if source.signature is None:
            return _Judged(source)
        verdict = signatures.judge(source.signature, hit, now_ms=now_ms)
        if not verdict.mac or _ignored(hit):
            return _Judged(source, verdict.refusal)
        name, lasts_s = keys.signature(source.id, verdict.mac), max(1, 2 * source.signature.tolerance_s)
        return _Judged(source, verdict.refusal, name, lasts_s)

    def _step(self, hit: Hit, event_id: bytes, judged: _Judged) -> _Step:
        """What is answered and kept, now that it is known what the door makes of it. Counts it."""
        refusal = judged.refusal
        reply = "" if judged.source is None else judged.source.reply
        answer = answers.refused(hit, refusal) if refusal else answers.accepted(hit, reply)
        ignored = _ignored(hit)
        if ignored:
            self._ignored[ignored].inc()
            return _Step(answer, answer)
        if refusal:
            self._refused[refusal].inc()
            if refusal == TOKEN and not self._may_keep_unknown():
                return _Step(answer, answer)
        else:
            self._taken[hit.kind].inc()
        event = event_of(hit, event_id, source=judged.source, refusal=refusal, status=answer.status)
        otherwise = answer if refusal else answers.not_now(hit)
        return _Step(answer, otherwise, Event(event_id, postback_event.encode(event)))

    async def _claimed(self, hit: Hit, event_id: bytes, judged: _Judged) -> Answer:
        """The answer to a signed postback: its signature may be another's by now."""
        name, lasts_s = judged.signed, judged.lasts_s
        if not await self._used.claim(name, lasts_s=lasts_s):
            judged = _Judged(judged.source, REPLAYED)
            answer, _ = await self._kept(self._step(hit, event_id, judged))
            return answer
        answer, is_kept = await self._kept(self._step(hit, event_id, judged))
        if is_kept:
            self._used.settle(name, lasts_s=lasts_s)
        else:
            self._used.release(name)
        return answer

    async def _kept(self, step: _Step) -> tuple[Answer, bool]:
        """The answer, once what is to be kept is kept, and whether it was."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._keep(step, lambda is_kept: None if future.done() else future.set_result(is_kept))
        is_kept = await future
        return (step.answer if is_kept else step.otherwise), is_kept

    def _keep(self, step: _Step, then: Callable[[bool], None]) -> None:
        """Call `then` once the event is kept, with False where it could not be. `then` must not raise."""
        event = step.event
        if event is None:
            then(True)
            return
        size = len(event.data)
        if self._held + size > MOST_HELD:
            self._refused[UNAVAILABLE].inc()
            then(False)
            return
        self._held += size

        def done(is_kept: bool) -> None:
            self._held -= size
            then(is_kept)

        self._log.keep(event, partial(done, True), partial(done, False))

    def _may_keep_unknown(self) -> bool:
        second = int(self._clock())
        if second != self._second:
            self._second, self._unknown = second, 0
        day = second // _DAY_S
        if day != self._day:
            self._day, self._unknown_of_day = day, 0
        self._unknown += 1
        if self._unknown > UNKNOWN_A_SECOND or self._unknown_of_day >= UNKNOWN_A_DAY:
            return False
        self._unknown_of_day += 1
        return True


def _ignored(hit: Hit) -> str:
    """Why a request counts for nothing; "" for one that counts. Networks send from programs, so that their agents say
    nothing; a pixel is loaded by browsers, and by those that look at a page before a person does."""
    visit = hit.visit
    verdict = door_verdict(visit.method, visit.user_agent, visit.purpose)
    if verdict in (HEAD, PREFETCH) or (hit.kind == PIXEL and verdict in (PREVIEW, SCANNER)):
        return verdict
    return ""


def event_of(hit: Hit, event_id: bytes, *, source: Source | None, refusal: str, status: int) -> PostbackEvent:
    """What is kept of a postback."""
    visit = hit.visit
    most = MOST_OF_UNKNOWN if source is None else LARGEST
    query = hit.query[:most]
    wanted = () if source is None else source.wants
    return PostbackEvent(
        id=event_id,
        source_id=0 if source is None else source.id,
        kind=hit.kind,
        method=visit.method,
        host=visit.host,
        query=query_text(query),
        content_type=_text(hit.header(b"content-type") or b""),
        body=hit.body[: most - len(query)],
        headers=tuple(
            (name.decode("utf-8"), _text(value)) for name in wanted if (value := hit.header(name)) is not None
        ),
        ip=visit.ip,
        user_agent=visit.user_agent,
        referrer=visit.referrer,
        token_hint=_hint_of(hit.token),
        refused=refusal,
        status=status,
        size=hit.size if hit.size > most else 0,
    )


def _hint_of(token: str) -> str:
    """The ends of a token, by which people know it; of one too short to be ours the beginning alone."""
    text = token.replace("\0", "\ufffd")
    return f"{text[:5]}…{text[-4:]}" if len(text) >= _HINT else f"{text[:2]}…"


def _text(value: bytes) -> str:
    return value[:_HEADER].decode("utf-8", "replace").replace("\0", "\ufffd")
