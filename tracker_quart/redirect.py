"""From a visit to its answer: snapshot, decision, click, redirect. The one path that every redirect takes.

Works on plain values and knows nothing of HTTP servers. `prepare` never waits: with the snapshots at hand it goes all
the way to the answer and the click that must be kept before the answer may leave.
"""

import re
from collections.abc import Coroutine, Iterable
from functools import lru_cache, partial
from time import perf_counter
from typing import Any, Protocol

import msgspec

from core.contracts import keys
from core.contracts.domain_snapshot import DomainSnapshot
from core.domain.urls import LONGEST_SLUG, slug_key
from core.observe import REDIRECT_SECONDS
from tracker_quart import pages
from tracker_quart.access_log import AccessLog
from tracker_quart.answers import Answer
from tracker_quart.caps import Caps
from tracker_quart.compiled import Compiled
from tracker_quart.event_log import EventLog
from tracker_quart.guide import Guide
from tracker_quart.replies import Replies
from tracker_quart.returning import Visitors
from tracker_quart.snapshots import Entry, Snapshots, Unavailable, domain_in, link_in
from tracker_quart.steps import Counted, Found, Prepared, Step, Unsure, Wanted
from tracker_quart.visit import Visit, slug_of

_HOST = re.compile(r"[^\s/?#@*\\]{1,255}\Z")
_WELL_KNOWN = "/.well-known/"
_MOST_WAYS = 4096
"""How many ways from a host and a path to a link are known, some MB. To find one takes a tenth of a redirect's time."""


class Asker(Protocol):
    """Who waits for an answer."""

    def reply(self, answer: Answer) -> None:
        """Here it is."""

    def reply_later(self, answer: Coroutine[Any, Any, Answer]) -> None:
        """It has to be waited for."""

    def failed(self) -> None:
        """There will be none: called where the exception is handled, to log it and to say so."""


class _Way(msgspec.Struct, frozen=True, gc=False):
    """What a host and a path have led to."""

    domain_entry: Entry
    domain: DomainSnapshot
    link_entry: Entry
    compiled: Compiled


class Redirector:
    """Answers visits. `default_hosts` are hosts that mean the default domain; `visitors` knows who was here before;
    `access_log` is None where nobody wants one."""

    def __init__(
        self,
        *,
        snapshots: Snapshots,
        clicks: EventLog,
        caps: Caps,
        visitors: Visitors,
        guide: Guide,
        replies: Replies,
        default_hosts: Iterable[str],
        access_log: AccessLog | None = None,
    ) -> None:
        self._snapshots = snapshots
        self._clicks = clicks
        self._caps = caps
        self._visitors = visitors
        self._guide = guide
        self._replies = replies
        self._default_hosts = frozenset(default_hosts)
        self._ways: dict[tuple[str, str], _Way] = {}
        self._access_log = access_log

    async def redirect(self, visit: Visit) -> Answer:
        """The answer to a visit, after its click is kept."""
        began = perf_counter()
        if self._access_log is not None and self._access_log.is_due():
            answer = await self._noted(visit, self._access_log)
        else:
            answer = await self._answered(visit, self.prepare(visit))
        REDIRECT_SECONDS.observe(perf_counter() - began)
        return answer

    def begin(self, visit: Visit, asker: Asker) -> None:
        """As `redirect`, for nearly all visits without a task: `asker` gets the answer once its click is kept, perhaps
        before this returns. Times nothing: the asker knows when the request came."""
        if self._access_log is not None and self._access_log.is_due():
            asker.reply_later(self._noted(visit, self._access_log))
        else:
            self._go_on(visit, asker, self.prepare(visit))

    async def find(self, visit: Visit) -> Found | Answer | None:
        """The link that a visit asks for, which may be nobody's; None where the path can name none. An answer where the
        host is none of ours, or Redis does not say."""
        key, domain = self._domain_key(visit.host), None
        try:
            domain = None if key is None else domain_in(await self._entry(key))
            if domain is None or domain.is_tombstone:
                return self._replies.page(visit, pages.WRONG_HOST).answer
            key = _link_key(visit.path, domain.domain_id, domain.case_sensitive)
            return None if key is None else Found(domain, link_in(await self._entry(key)))
        except Unavailable:
            return self._replies.page(visit, pages.UNAVAILABLE, domain).answer

    async def follow(self, visit: Visit, found: Found, *, page: str = "") -> Answer:
        """The answer of a link that was found, after its click is kept; with `page`, that one in place of its own."""
        answer = await self._answered(visit, self._guide.lead(visit, found.domain, found.compiled))
        return self._replies.said(visit, page, found.domain) if page else answer

    def refuse(self, visit: Visit, found: Found, page: str) -> Answer:
        """A page in place of what the link would answer. No click is kept."""
        return self._replies.page(visit, page, found.domain).answer

    def prepare(self, visit: Visit) -> Step:
        """The answer, or what has to be asked for first."""
        way = self._ways.get((visit.host, visit.path))
        if way is not None and self._snapshots.are_held(way.domain_entry, way.link_entry):
            return self._guide.lead(visit, way.domain, way.compiled)
        key = self._domain_key(visit.host)
        if key is None:
            return self._replies.page(visit, pages.WRONG_HOST)
        entry = self._snapshots.held(key)
        if entry is None:
            return Wanted(key, lambda entry: self._at_domain(visit, entry))
        return self._at_domain(visit, entry)

    def _lead(self, visit: Visit, way: "_Way") -> Step:
        """Answer, and know the way for the next visitor."""
        if way.link_entry.framed is not None:
            if len(self._ways) >= _MOST_WAYS:
                self._ways.clear()
            self._ways[visit.host, visit.path] = way
        return self._guide.lead(visit, way.domain, way.compiled)

    def _at_domain(self, visit: Visit, entry: Entry) -> Step:
        domain = domain_in(entry)
        if domain.is_tombstone:
            return self._replies.page(visit, pages.WRONG_HOST)
        key = _link_key(visit.path, domain.domain_id, domain.case_sensitive)
        if key is None:
            return self._without_a_slug(visit, domain)
        found = self._snapshots.held(key)
        if found is None:
            return Wanted(key, lambda found: self._guide.lead(visit, domain, link_in(found)), domain)
        return self._lead(visit, _Way(entry, domain, found, link_in(found)))

    def _without_a_slug(self, visit: Visit, domain: DomainSnapshot) -> Prepared:
        if visit.path.startswith(_WELL_KNOWN):
            return self._replies.file(visit, domain, visit.path.removeprefix(_WELL_KNOWN))
        if visit.path == "/":
            return self._replies.root(visit, domain)
        return self._replies.unknown(visit, domain)

    def _domain_key(self, host: str) -> str | None:
        if host in self._default_hosts:
            return keys.DEFAULT_DOMAIN
        return keys.domain(host) if _HOST.match(host) else None

    async def _entry(self, key: str) -> Entry:
        return self._snapshots.held(key) or await self._snapshots.ask(key)

    def _go_on(self, visit: Visit, asker: Asker, step: Step) -> None:
        if isinstance(step, Prepared):
            if step.click is None:
                asker.reply(step.answer)
            else:
                self._clicks.keep(step.click, partial(asker.reply, step.answer))
        elif isinstance(step, Wanted):
            self._snapshots.want(step.key, partial(self._told, visit, asker, step))
        else:
            asker.reply_later(self._answered(visit, step))

    def _told(self, visit: Visit, asker: Asker, wanted: Wanted, entry: Entry | None) -> None:
        try:
            self._go_on(visit, asker, self._after(visit, wanted, entry))
        except Exception:
            asker.failed()

    def _after(self, visit: Visit, wanted: Wanted, entry: Entry | None) -> Step:
        if entry is None:
            return self._replies.page(visit, pages.UNAVAILABLE, wanted.domain)
        return wanted.then(entry)

    async def _answered(self, visit: Visit, step: Step) -> Answer:
        return (await self._finish(visit, step)).answer

    async def _noted(self, visit: Visit, access_log: AccessLog) -> Answer:
        """The answer, with a line about it in the access log."""
        began = perf_counter()
        done = await self._finish(visit, self.prepare(visit))
        access_log.note(
            visit,
            status=done.answer.status,
            outcome=done.outcome,
            seconds=perf_counter() - began,
            click_id=done.click.id if done.click is not None else done.kept,
        )
        return done.answer

    async def _finish(self, visit: Visit, step: Step) -> Prepared:
        """Ask for what is missing, and return when the click is kept."""
        entry: Entry | None
        while not isinstance(step, Prepared):
            match step:
                case Wanted():
                    try:
                        entry = await self._snapshots.ask(step.key)
                    except Unavailable:
                        entry = None
                    step = self._after(visit, step, entry)
                case Unsure():
                    step = step.then(await self._visitors.return_of(step.name))
                case Counted():
                    step = step.then(await self._caps.submit(step.click))
        if step.click is not None:
            await self._clicks.submit(step.click)
        return step


@lru_cache(maxsize=4096)
def _link_key(path: str, domain_id: int, case_sensitive: bool) -> str | None:
    """The name of the snapshot that a path of a domain asks for; None when it can not be a slug."""
    slug = slug_of(path)
    if slug is None or len(slug) > 4 * LONGEST_SLUG:  # not yet in NFC: one character may come as four
        return None
    return keys.link(domain_id, slug_key(slug, case_sensitive=case_sensitive))
