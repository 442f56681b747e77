"""Everything a tracker process is made of, put together, started and stopped in order."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from core.config import Settings
from core.observe import POSTBACKS_SPOOLED, SPOOLED, logger
from tracker_quart import nodes
from tracker_quart.access_log import access_log
from tracker_quart.books import Books
from tracker_quart.cap_stream import CapStream
from tracker_quart.caps import Caps
from tracker_quart.channels import POSTBACKS
from tracker_quart.click_ids import ClickIds
from tracker_quart.contact import NOT_ANSWERED, PAUSE_S, Breaker, cluster_of, end, make_client
from tracker_quart.countries import Lookup
from tracker_quart.event_log import EventLog
from tracker_quart.event_stream import Event, EventStream
from tracker_quart.guide import Guide
from tracker_quart.invalidation import Listener
from tracker_quart.keeping import PATIENCE_S, Keeping
from tracker_quart.opening import Opener
from tracker_quart.pages import Pages
from tracker_quart.passwords import Passwords
from tracker_quart.pipeline import Pipeline
from tracker_quart.receiving import Receiver
from tracker_quart.redirect import Redirector
from tracker_quart.replaying import Replay
from tracker_quart.replies import Replies
from tracker_quart.returning import Visitors, marker
from tracker_quart.snapshots import DEADLINE_S, Snapshots, reader
from tracker_quart.sources import Sources
from tracker_quart.spool import Spool, SpoolStuck
from tracker_quart.used_signatures import UsedSignatures

_ADOPT_EVERY_S = 5.0
_FIRST_CONTACT_S = 1.0

Send = Callable[[Sequence[Event]], Awaitable[None]]

log = logger(__name__)


class Service:
    """One tracker process, but for the server in front of it. Made and started inside a running loop."""

    def __init__(self, settings: Settings) -> None:
        self.draining = False
        self._outages = 0
        self._drain_limit = settings.drain_limit
        self._deadline: float | None = None
        self._client = make_client(settings.redis_url)
        self._reads = Breaker("snapshots")
        self._writes = Breaker("clicks")
        self._pipeline = Pipeline(self._client, patience=PATIENCE_S)
        cluster = cluster_of(settings.redis_url)
        if cluster is None:
            self._questions: Pipeline | nodes.Nodes = Pipeline(self._client, patience=DEADLINE_S)
            read, mark = reader(self._questions), marker(self._client)
        else:
            self._questions = nodes.Nodes(cluster, patience=DEADLINE_S)
            read, mark = nodes.reader(self._questions), nodes.marker(self._questions)
        self._replays = Replay(self._client)
        limit = settings.spool_max_mb << 20
        self._spool = Spool(settings.spool_dir, limit_bytes=limit)
        self._postback_spool = Spool(settings.postback_spool_dir, limit_bytes=limit, channel=POSTBACKS)
        self.books = Books(settings.spool_dir, self._client)
        keeping = Keeping(spool=self._spool, breaker=self._writes, answered=self.books.answered)
        self._clicks = EventLog(stream=EventStream(self._pipeline), keeping=keeping)
        self._caps = Caps(stream=CapStream(self._pipeline), keeping=keeping)
        self._postbacks = EventLog(
            stream=EventStream(self._pipeline, POSTBACKS),
            keeping=Keeping(
                spool=self._postback_spool, breaker=self._writes, answered=None, channel=POSTBACKS
            ),
        )
        self.snapshots = Snapshots(read=read, breaker=self._reads, limit=settings.snapshot_cache)
        sources = Snapshots(read=read, breaker=self._reads, limit=1)
        self._sources = Sources(sources)
        self._listener = Listener(make_client(settings.redis_url), self.snapshots, sources)
        replies = Replies(Pages(), brand=settings.org_name)
        self.redirector = Redirector(
            snapshots=self.snapshots,
            clicks=self._clicks,
            caps=self._caps,
            visitors=Visitors(mark=mark, breaker=Breaker("visitors")),
            guide=Guide(
                replies=replies,
                ids=ClickIds(),
                country_of=Lookup(settings.geoip_mmdb).of,
                robot_networks=settings.robot_networks,
            ),
            replies=replies,
            default_hosts=(_without_usual_port(host) for host in settings.default_hosts),
            access_log=access_log(settings.access_log_sample),
        )
        self._passwords = Passwords(self._client, breaker=Breaker("passwords"))
        self.opener = Opener(self.redirector, self._passwords)
        self.receiver = Receiver(
            sources=self._sources,
            log=self._postbacks,
            used=UsedSignatures(self._pipeline, self._writes),
            ids=ClickIds(),
        )
        self._tender: asyncio.Task[None] | None = None

    @property
    def has_met_redis(self) -> bool:
        """True from the first answer of Redis on; before it nothing can be redirected."""
        return self._reads.worked_once

    @property
    def redis_answers(self) -> bool:
        """What the latest reads and writes have shown."""
        return self.has_met_redis and not self._reads.failing and not self._writes.failing

    @property
    def spooled(self) -> int:
        """Clicks and postbacks on disk that wait for Redis."""
        return self._spool.waiting + self._postback_spool.waiting

    async def start(self) -> None:
        """Meet Redis, for a second at most, and begin to listen and to replay. Never fails for want of Redis."""
        await self._spool.prepare()
        await self._postback_spool.prepare()
        await self.books.open()
        await self._ping()
        if isinstance(self._questions, nodes.Nodes) and self.has_met_redis:
            await self._questions.meet()
        if self.has_met_redis:
            await self._sources.refresh()
        SPOOLED.set_function(lambda: self._spool.waiting)
        POSTBACKS_SPOOLED.set_function(lambda: self._postback_spool.waiting)
        self._listener.start()
        self._tender = asyncio.create_task(self._tend())

    def begin_drain(self, *, hold: float) -> None:
        """Say that this process will stop: not ready any more, and `stop` ends DRAIN_LIMIT after `hold` seconds."""
        self.draining = True
        self._deadline = time.monotonic() + hold + self._drain_limit

    async def stop(self) -> None:
        """Keep what was taken, and send what waits on disk until DRAIN_LIMIT is over. The rest is logged by id."""
        deadline = self._deadline or time.monotonic() + self._drain_limit
        await self._listener.stop()
        if self._tender is not None:
            await end(self._tender)
        await self._caps.close()
        self._passwords.close()
        await self._clicks.close()
        await self._postbacks.close()
        while self.spooled and (left := deadline - time.monotonic()) > 0:
            replaying = asyncio.create_task(self._replay())
            await asyncio.wait([replaying], timeout=left)
            await end(replaying)
            if not replaying.cancelled() and replaying.exception():
                await asyncio.sleep(min(PAUSE_S, max(0.0, deadline - time.monotonic())))
        await self._spool.close()
        await self._postback_spool.close()
        self._pipeline.close()
        self._questions.close()
        self._replays.close()
        await self.books.close()
        await self._client.aclose()

    def _follow(self) -> None:
        """Writes were refused, or not answered, and work again, perhaps at a server that took over: what only reads
        would stay with the other one, which may live on."""
        self._outages = self._writes.outages
        self._questions.leave()
        self._listener.leave()

    async def _tend(self) -> None:
        """While the process lives: notice that Redis is back, adopt what others left, replay what waits."""
        adopted = -_ADOPT_EVERY_S
        while True:
            try:
                if self._reads.failing or not self.has_met_redis:
                    await self._ping()
                if self._outages != self._writes.outages and not self._writes.failing:
                    self._follow()
                if time.monotonic() - adopted >= _ADOPT_EVERY_S:
                    adopted = time.monotonic()
                    await self._spool.adopt()
                    await self._postback_spool.adopt()
                    await self.books.publish()
                    await self._sources.refresh()
                if self.spooled and self._writes.allows:
                    await self._replay()
            except (SpoolStuck, *NOT_ANSWERED):
                pass  # the log has it already
            except Exception:  # a tender that dies would strand every click on disk
                log.exception("tender.failed")
            await asyncio.sleep(PAUSE_S)

    async def _ping(self) -> None:
        try:
            async with asyncio.timeout(_FIRST_CONTACT_S):
                await self._client.ping()
        except NOT_ANSWERED as error:
            self._reads.failed(error)
        else:
            self._reads.worked()

    async def _replay(self) -> None:
        """Send what waits, postbacks first: they are few. A file that is stuck keeps the other spool from nothing."""
        stuck: SpoolStuck | None = None
        for spool, send in (
            (self._postback_spool, self._replays.send_postbacks),
            (self._spool, self._replays.send),
        ):
            try:
                await spool.replay(partial(self._sent, send))
            except SpoolStuck as error:
                stuck = error
        if stuck is not None:
            raise stuck

    async def _sent(self, send: Send, events: Sequence[Event]) -> None:
        try:
            await send(events)
        except NOT_ANSWERED as error:  # here, so that Redis is not blamed for the disk
            self._writes.failed(error)
            raise
        self._writes.worked()
        if self._reads.failing:  # a replay may take minutes; until reads work no change is asked for
            await self._ping()


def _without_usual_port(host: str) -> str:
    """As `visit` reads it from a request."""
    return host.removesuffix(":80").removesuffix(":443")
