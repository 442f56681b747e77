"""Leads the visitor of a link: the decision, the address with everything in it, the click, and the answer."""

from functools import partial

from core.contracts import click_event
from core.contracts.click_event import ClickEvent
from core.contracts.domain_snapshot import DomainSnapshot
from core.contracts.link_snapshot import LinkSnapshot
from core.domain.app_links import ANDROID, Way, intent_of, way_of
from core.domain.bots import door_verdict
from core.domain.decide import Targeted, decide
from core.domain.decision import UNKNOWN, Decision
from core.domain.destination import Resolved, is_plain, resolve, source_of
from core.domain.facts import CountryOf, Facts
from core.domain.ranges import Ranges
from tracker_quart.answers import Answer, lasting_redirect, redirect_to
from tracker_quart.app_page import AppPage
from tracker_quart.caps import capped_click
from tracker_quart.click_ids import ClickIds
from tracker_quart.compiled import Compiled
from tracker_quart.event_stream import Event
from tracker_quart.macros import MacroValues
from tracker_quart.replies import Replies
from tracker_quart.returning import name_of
from tracker_quart.steps import Counted, Prepared, Unsure
from tracker_quart.visit import Visit


class Guide:
    """`country_of` is asked only where a rule or a destination wants to know;
    `robot_networks` are the operator's ranges of robots."""

    def __init__(
        self,
        *,
        replies: Replies,
        ids: ClickIds,
        country_of: CountryOf,
        robot_networks: Ranges | None,
    ) -> None:
        self._replies = replies
        self._new_id = ids.new
        self._country_of = country_of
        self._robot_networks = robot_networks
        self._app_page = AppPage()
        self._redirected = replies.answered[click_event.REDIRECT]

    def lead(
        self, visit: Visit, domain: DomainSnapshot, compiled: Compiled, returning: bool | None = None
    ) -> Prepared | Counted | Unsure:
        """The answer and the click, or what has to be asked for first. `returning` says whether the visitor was here
        before, None while nobody knows."""
        door_bot = door_verdict(
            visit.method, visit.user_agent, visit.purpose, ip=visit.ip, networks=self._robot_networks
        )
        click_id = self._new_id()
        if compiled.answer is not None and not visit.query:  # as `decide` would, for nearly all links
            self._redirected.inc()
            event = _event(click_id, visit, compiled, click_event.REDIRECT, door_bot)
            return Prepared(compiled.answer, Event(click_id, click_event.encode(event)))
        link, plan = compiled.link, compiled.plan
        now_ms = click_event.unix_ms(click_id)
        if compiled.leads is not None and not visit.query:  # as `decide` would, too
            self._redirected.inc()
            led = compiled.leads(Facts(now_ms, visit, door_bot, False, self._country_of))
            event = _event(click_id, visit, compiled, click_event.REDIRECT, door_bot, led.rule, led.variant)
            answer = lasting_redirect(led.url, led.status, link.no_referrer)
            return Prepared(answer, Event(click_id, click_event.encode(event)))
        targeted = None
        if plan is not None:
            may_return = plan.asks_returning and returning is None and not door_bot and visit.ip != ""
            if may_return and decide(link, domain=domain, now_ms=now_ms).outcome == click_event.REDIRECT:
                return Unsure(name_of(visit, link), partial(self.lead, visit, domain, compiled))
            facts = Facts(now_ms, visit, door_bot, bool(returning), self._country_of)
            targeted = Targeted(plan, facts)
        decision = decide(link, domain=domain, now_ms=now_ms, targeted=targeted, steps=compiled.steps)
        if decision.outcome == UNKNOWN:
            return self._replies.unknown(visit, domain)
        source = source_of(visit.query, domain.source_param) if visit.query else ""
        if decision.outcome != click_event.REDIRECT:
            event = _event(click_id, visit, compiled, decision.outcome, door_bot, 0, 0, source, None)
            return self._held_back(
                visit, domain, link, decision, Event(click_id, click_event.encode(event)), b""
            )
        answer, event = self._filled(visit, domain, compiled, decision, click_id, door_bot, source)
        if decision.if_capped is not None:
            return self._counted(visit, domain, link, event, answer, decision.if_capped)
        self._redirected.inc()
        return Prepared(answer, Event(click_id, click_event.encode(event)))

    def _filled(
        self,
        visit: Visit,
        domain: DomainSnapshot,
        compiled: Compiled,
        decision: Decision,
        click_id: bytes,
        door_bot: str,
        source: str,
    ) -> tuple[Answer, ClickEvent]:
        """The redirect, with everything in its address that the visit brings, and its click."""
        link, url, variant = compiled.link, decision.url, decision.variant
        utm, app, answer = "", "", None
        if visit.query or link.click_id_param or not is_plain(url):
            url, utm = self._resolved(url, visit, domain, link, click_id, source)
        if link.apps is not None and not (door_bot or decision.rule):
            way = way_of(link.apps, visit.user_agent)
            if way is not None:
                app = way.system
                app_url, app_utm = self._resolved(way.url, visit, domain, link, click_id, source)
                if way.is_web:
                    url, variant, utm = app_url, 0, app_utm
                else:
                    url, answer = self._into_app(visit, domain, way, app_url, url)
        event = _event(
            click_id,
            visit,
            compiled,
            click_event.REDIRECT,
            door_bot,
            decision.rule,
            variant,
            source,
            utm,
            app,
        )
        if answer is None:
            redirect = lasting_redirect if url is decision.url else redirect_to
            answer = redirect(url, decision.status, link.no_referrer)
        return answer, event

    def _counted(
        self,
        visit: Visit,
        domain: DomainSnapshot,
        link: LinkSnapshot,
        event: ClickEvent,
        answer: Answer,
        over: Decision,
    ) -> Counted:
        """The answer once a cap's count is known: what was decided, or what is answered beyond the cap."""

        def then(is_led: bool) -> Prepared:
            if not is_led:
                return self._held_back(visit, domain, link, over, None, event.id)
            self._redirected.inc()
            return Prepared(answer, None, click_event.REDIRECT, event.id)

        return Counted(capped_click(event, cap=link.click_cap, over=over), then)

    def _held_back(
        self,
        visit: Visit,
        domain: DomainSnapshot,
        link: LinkSnapshot,
        decision: Decision,
        click: Event | None,
        kept: bytes,
    ) -> Prepared:
        """What a link answers in place of leading on: a fallback, or a page."""
        if not decision.url:
            return self._replies.page(visit, decision.outcome, domain, click, kept)
        self._replies.answered[decision.outcome].inc()
        answer = redirect_to(decision.url, decision.status, link.no_referrer)
        return Prepared(answer, click, decision.outcome, kept)

    def _into_app(
        self, visit: Visit, domain: DomainSnapshot, way: Way, app_url: str, web_url: str
    ) -> tuple[str, Answer | None]:
        """What opens an app that a web address does not: a location, and where it takes one the page that tries it."""
        if way.system == ANDROID:
            return intent_of(app_url, fallback=web_url), None
        page = self._app_page.answer(
            app_url=app_url,
            web_url=web_url,
            accept_language=visit.language,
            brand=self._replies.brand_of(domain),
        )
        return web_url, page

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


def _event(
    click_id: bytes,
    visit: Visit,
    compiled: Compiled,
    outcome: str,
    door_bot: str,
    rule: int = 0,
    variant: int = 0,
    source: str = "",
    utm: str | None = "",
    app: str = "",
) -> ClickEvent:
    """What is kept of a visit. In the order of ClickEvent's fields: their names would cost five times as much."""
    return ClickEvent(
        click_id,
        compiled.link.link_id,
        compiled.revision,
        outcome,
        door_bot,
        visit.method,
        visit.host,
        visit.path,
        visit.query,
        visit.ip,
        visit.user_agent,
        visit.referrer,
        visit.language,
        visit.purpose,
        rule,
        variant,
        source,
        utm,
        0,
        app,
    )
