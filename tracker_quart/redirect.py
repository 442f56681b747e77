"""From a visit to its answer: snapshot, decision, click, redirect. The one path that every redirect takes.

Works on plain values and knows nothing of HTTP servers. `prepare` never waits: with the snapshots at hand it goes all
the way to the answer and the click that must be kept before the answer may leave.
"""

import re
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import msgspec

from core.contracts import click_event, keys
from core.contracts.click_event import ClickEvent
from core.contracts.domain_snapshot import DomainSnapshot
from core.contracts.link_snapshot import LinkSnapshot
from core.domain.app_links import ANDROID, intent_of, way_of
from core.domain.bots import door_verdict
from core.domain.decide import FOUND, UNKNOWN, Targeted, decide
from core.domain.destination import Resolved, is_plain, resolve, source_of
from core.domain.facts import Facts
from core.domain.ranges import Ranges
from core.domain.urls import LONGEST_SLUG, slug_key
from core.observe import ANSWERED
from tracker_quart import pages
from tracker_quart.app_page import AppPage
from tracker_quart.click_ids import ClickIds
from tracker_quart.click_stream import Click
from tracker_quart.clicklog import ClickLog
from tracker_quart.macros import MacroValues
from tracker_quart.pages import Answer, Pages
from tracker_quart.returning import Visitors, name_of
from tracker_quart.snapshots import Entry, Snapshots, Unavailable, domain_in, link_in, plan_in, revision_in
from tracker_quart.visit import Visit, slug_of

_HOST = re.compile(r"[^\s/?#@*\\]{1,255}\Z")
_REDIRECT_HEADERS = (
    ("cache-control", "private, no-store"),
    ("x-robots-tag", "noindex"),
    ("content-length", "0"),
)
_NO_REFERRER = (*_REDIRECT_HEADERS, ("referrer-policy", "no-referrer"))
_FILE_HEADERS = (("content-type", "application/json"), ("cache-control", "public, max-age=3600"))
_WELL_KNOWN = "/.well-known/"
_ROOT, _FILE = "root", "file"
_PAGE_OF = {
    UNKNOWN: pages.NOT_FOUND,
    click_event.PAUSED: pages.PAUSED,
    click_event.GONE: pages.GONE,
    click_event.SCHEDULED: pages.SCHEDULED,
    click_event.EXPIRED: pages.EXPIRED,
}


class Prepared(msgspec.Struct, frozen=True, gc=False):
    """An answer. It may leave once `click`, where there is one, is kept."""

    answer: Answer
    click: Click | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """A snapshot is not at hand: ask for `key`, and go on with `then`. `domain` is known by then, or None."""

    key: str
    then: Callable[[Entry], "Step"]
    domain: DomainSnapshot | None = None


@dataclass(frozen=True, slots=True)
class Unsure:
    """A rule wants to know whether the visitor was here before: ask for `name`, and go on with `then`."""

    name: str
    then: Callable[[bool], "Step"]


Step = Prepared | Wanted | Unsure


class Redirector:
    """Answers visits. `default_hosts` are hosts that mean the default domain; `brand` names domains without a name;
    `country_of` gives an address's ISO code, and is asked only where a rule or a destination wants to know;
    `visitors` knows who was here before; `robot_networks` are the operator's ranges of robots."""

    def __init__(
        self,
        *,
        snapshots: Snapshots,
        clicks: ClickLog,
        texts: Pages,
        ids: ClickIds,
        default_hosts: Iterable[str],
        brand: str,
        country_of: Callable[[str], str],
        visitors: Visitors,
        robot_networks: Ranges | None = None,
    ) -> None:
        self._snapshots = snapshots
        self._clicks = clicks
        self._texts = texts
        self._app_page = AppPage()
        self._ids = ids
        self._default_hosts = frozenset(default_hosts)
        self._brand = brand
        self._country_of = country_of
        self._visitors = visitors
        self._robot_networks = robot_networks
        self._answered = {
            name: ANSWERED.labels(name)
            for name in (*click_event.OUTCOMES, UNKNOWN, _ROOT, _FILE, pages.UNAVAILABLE, pages.WRONG_HOST)
        }

    async def redirect(self, visit: Visit) -> Answer:
        """The answer to a visit, after its click is kept."""
        return await self._finish(visit, self.prepare(visit))

    def begin(self, visit: Visit, reply: Callable[[Answer], None]) -> Coroutine[Any, Any, Answer] | None:
        """As `redirect`, without a task where nothing has to be asked for: `reply` is called with the answer once its
        click is kept, perhaps before this returns. Where Redis has to be asked, what to wait for is returned instead.
        """
        step = self.prepare(visit)
        if not isinstance(step, Prepared):
            return self._finish(visit, step)
        if step.click is None:
            reply(step.answer)
        else:
            self._clicks.keep(step.click, partial(reply, step.answer))
        return None

    async def _finish(self, visit: Visit, step: Step) -> Answer:
        while not isinstance(step, Prepared):
            if isinstance(step, Unsure):
                step = step.then(await self._visitors.return_of(step.name))
                continue
            wanted = step
            try:
                step = wanted.then(await self._snapshots.ask(wanted.key))
            except Unavailable:
                step = self._page(visit, pages.UNAVAILABLE, wanted.domain)
        if step.click is not None:
            await self._clicks.submit(step.click)
        return step.answer

    def prepare(self, visit: Visit) -> Step:
        """The answer, or what has to be asked for first."""
        if visit.host in self._default_hosts:
            key = keys.DEFAULT_DOMAIN
        elif _HOST.match(visit.host):
            key = keys.domain(visit.host)
        else:
            return self._page(visit, pages.WRONG_HOST)
        entry = self._snapshots.held(key)
        if entry is None:
            return Wanted(key, lambda entry: self._at_domain(visit, entry))
        return self._at_domain(visit, entry)

    def _at_domain(self, visit: Visit, entry: Entry) -> Step:
        domain = domain_in(entry)
        if domain.is_tombstone:
            return self._page(visit, pages.WRONG_HOST)
        key = _link_key(visit.path, domain.domain_id, domain.case_sensitive)
        if key is None:
            if visit.path.startswith(_WELL_KNOWN):
                return self._well_known(visit, domain)
            if visit.path == "/" and domain.root_url:
                return self._elsewhere(_ROOT, domain.root_url)
            return self._unknown(visit, domain)
        found = self._snapshots.held(key)
        if found is None:
            return Wanted(key, lambda found: self._at_link(visit, domain, found), domain)
        return self._at_link(visit, domain, found)

    def _at_link(
        self, visit: Visit, domain: DomainSnapshot, entry: Entry, returning: bool | None = None
    ) -> Prepared | Unsure:
        link = link_in(entry)
        click_id = self._ids.new()
        now_ms = click_event.unix_ms(click_id)
        door_bot = door_verdict(
            method=visit.method,
            user_agent=visit.user_agent,
            purpose=visit.purpose,
            ip=visit.ip,
            networks=self._robot_networks,
        )
        plan = plan_in(entry)
        targeted = None
        if plan is not None:
            may_return = plan.asks_returning and returning is None and not door_bot and visit.ip != ""
            if may_return and decide(link, domain=domain, now_ms=now_ms).outcome == click_event.REDIRECT:
                return Unsure(name_of(visit, link), partial(self._at_link, visit, domain, entry))
            targeted = Targeted(plan, self._facts(visit, link, now_ms, door_bot, bool(returning)))
        decision = decide(link, domain=domain, now_ms=now_ms, targeted=targeted)
        if decision.outcome == UNKNOWN:
            return self._unknown(visit, domain)
        url, utm, source = decision.url, None, ""
        if visit.query:
            source = source_of(visit.query, domain.source_param)
        if decision.outcome == click_event.REDIRECT:
            if visit.query or link.click_id_param or not is_plain(url):
                url, utm = self._resolved(url, visit, domain, link, click_id, source)
            else:
                utm = ""
        way = page = None
        if link.apps is not None and not (door_bot or decision.rule):
            way = way_of(link.apps, visit.user_agent) if decision.outcome == click_event.REDIRECT else None
        if way is not None:
            app_url, app_utm = self._resolved(way.url, visit, domain, link, click_id, source)
            if way.is_web:
                decision, url, utm = replace(decision, variant=0), app_url, app_utm
            elif way.system == ANDROID:
                url = intent_of(app_url, fallback=url)
            else:
                page = self._app_page.answer(
                    app_url=app_url,
                    web_url=url,
                    accept_language=visit.language,
                    brand=domain.brand or self._brand,
                )
        event = ClickEvent(
            id=click_id,
            link_id=link.link_id,
            revision=revision_in(entry),
            outcome=decision.outcome,
            door_bot=door_bot,
            method=visit.method,
            host=visit.host,
            path=visit.path,
            query=visit.query,
            ip=visit.ip,
            user_agent=visit.user_agent,
            referrer=visit.referrer,
            language=visit.language,
            purpose=visit.purpose,
            rule=decision.rule,
            variant=decision.variant,
            source=source,
            landing_utm=utm,
            app="" if way is None else way.system,
        )
        click = Click(click_id, click_event.encode(event))
        if not url:
            return Prepared(self._page(visit, decision.outcome, domain).answer, click)
        self._answered[decision.outcome].inc()
        if page is not None:
            return Prepared(page, click)
        headers = _NO_REFERRER if link.no_referrer else _REDIRECT_HEADERS
        return Prepared(Answer(decision.status, (("location", url), *headers)), click)

    def _resolved(
        self,
        url: str,
        visit: Visit,
        domain: DomainSnapshot,
        link: LinkSnapshot,
        click_id: bytes,
        source: str,
    ) -> Resolved:
        """An address with everything in it that this click brings."""
        values = MacroValues(
            visit,
            domain=domain,
            link=link,
            click_id=click_id,
            source=source,
            country_of=self._country_of,
        )
        return resolve(
            url,
            query=visit.query,
            pass_query=link.pass_query,
            source_param=domain.source_param,
            click_id_param=link.click_id_param,
            value_of=values,
        )

    def _well_known(self, visit: Visit, domain: DomainSnapshot) -> Prepared:
        """The files by which phones learn which apps open the domain's links. They follow no redirect."""
        files = {"apple-app-site-association": domain.apple_file, "assetlinks.json": domain.android_file}
        content = files.get(visit.path.removeprefix(_WELL_KNOWN))
        if content is None:
            return self._page(visit, UNKNOWN, domain)
        self._answered[_FILE].inc()
        return Prepared(Answer(200, (*_FILE_HEADERS, ("content-length", str(len(content)))), bytes(content)))

    def _facts(self, visit: Visit, link: LinkSnapshot, now_ms: int, door_bot: str, returning: bool) -> Facts:
        return Facts(
            link_id=link.link_id,
            now_ms=now_ms,
            ip=visit.ip,
            user_agent=visit.user_agent,
            query=visit.query,
            referrer=visit.referrer,
            host=visit.host,
            language=visit.language,
            door_bot=door_bot,
            returning=returning,
            country_of=self._country_of,
        )

    def _unknown(self, visit: Visit, domain: DomainSnapshot) -> Prepared:
        """Nobody owns what was asked for: where the domain sends such visitors, else a page that says so."""
        if domain.not_found_url:
            return self._elsewhere(UNKNOWN, domain.not_found_url)
        return self._page(visit, UNKNOWN, domain)

    def _elsewhere(self, outcome: str, url: str) -> Prepared:
        self._answered[outcome].inc()
        return Prepared(Answer(FOUND, (("location", url), *_REDIRECT_HEADERS)))

    def _page(self, visit: Visit, outcome: str, domain: DomainSnapshot | None = None) -> Prepared:
        self._answered[outcome].inc()
        brand = "" if domain is None else domain.brand or self._brand
        kind = _PAGE_OF.get(outcome, outcome)
        return Prepared(self._texts.answer(kind, accept_language=visit.language, brand=brand))


@lru_cache(maxsize=4096)
def _link_key(path: str, domain_id: int, case_sensitive: bool) -> str | None:
    """The name of the snapshot that a path of a domain asks for; None when it can not be a slug."""
    slug = slug_of(path)
    if slug is None or len(slug) > 4 * LONGEST_SLUG:  # not yet in NFC: one character may come as four
        return None
    return keys.link(domain_id, slug_key(slug, case_sensitive=case_sensitive))
