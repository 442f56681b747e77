"""Answers that need no link: a domain's own addresses, its files, and pages. Counts all answers by their outcome."""

from core.contracts import click_event
from core.contracts.domain_snapshot import DomainSnapshot
from core.domain.decision import FOUND, UNKNOWN
from core.observe import ANSWERED, Tally
from tracker_quart import pages
from tracker_quart.answers import Answer, redirect_to
from tracker_quart.event_stream import Event
from tracker_quart.pages import Pages
from tracker_quart.steps import Prepared
from tracker_quart.visit import Visit

ROOT, FILE = "root", "file"

_FILE_HEADERS = (("content-type", "application/json"), ("cache-control", "public, max-age=3600"))
_WITHOUT_A_LINK = (pages.UNAVAILABLE, pages.WRONG_HOST, pages.TOO_MANY, pages.BUSY, pages.UNCHECKED)
_PAGE_OF = {
    UNKNOWN: pages.NOT_FOUND,
    click_event.PAUSED: pages.PAUSED,
    click_event.GONE: pages.GONE,
    click_event.SCHEDULED: pages.SCHEDULED,
    click_event.EXPIRED: pages.EXPIRED,
    click_event.CAPPED: pages.CAPPED,
    click_event.LOCKED: pages.LOCKED,
}


class Replies:
    """`brand` stands on pages of domains without a name of their own."""

    def __init__(self, texts: Pages, *, brand: str) -> None:
        self._texts = texts
        self._brand = brand
        names = (*click_event.OUTCOMES, UNKNOWN, ROOT, FILE, *_WITHOUT_A_LINK)
        self.answered: dict[str, Tally] = {name: ANSWERED.labels(name) for name in names}

    def page(
        self,
        visit: Visit,
        outcome: str,
        domain: DomainSnapshot | None = None,
        click: Event | None = None,
        kept: bytes = b"",
    ) -> Prepared:
        """The page that says an outcome."""
        self.answered[outcome].inc()
        return Prepared(self.said(visit, _PAGE_OF.get(outcome, outcome), domain), click, outcome, kept)

    def said(self, visit: Visit, page: str, domain: DomainSnapshot | None) -> Answer:
        """A page under the domain's name. It is not counted."""
        brand = "" if domain is None else self.brand_of(domain)
        return self._texts.answer(page, accept_language=visit.language, brand=brand)

    def brand_of(self, domain: DomainSnapshot) -> str:
        """The name on a domain's pages."""
        return domain.brand or self._brand

    def unknown(self, visit: Visit, domain: DomainSnapshot) -> Prepared:
        """Nobody owns what was asked for: where the domain sends such visitors, else a page that says so."""
        if domain.not_found_url:
            return self.elsewhere(UNKNOWN, domain.not_found_url)
        return self.page(visit, UNKNOWN, domain)

    def root(self, visit: Visit, domain: DomainSnapshot) -> Prepared:
        """The bare host was asked for."""
        return self.elsewhere(ROOT, domain.root_url) if domain.root_url else self.unknown(visit, domain)

    def elsewhere(self, outcome: str, url: str) -> Prepared:
        """Where a domain sends visitors of no link."""
        self.answered[outcome].inc()
        return Prepared(redirect_to(url, FOUND), None, outcome)

    def file(self, visit: Visit, domain: DomainSnapshot, name: str) -> Prepared:
        """A file by which phones learn which apps open the domain's links. They follow no redirect."""
        files = {"apple-app-site-association": domain.apple_file, "assetlinks.json": domain.android_file}
        content = files.get(name)
        if content is None:
            return self.page(visit, UNKNOWN, domain)
        self.answered[FILE].inc()
        headers = (*_FILE_HEADERS, ("content-length", str(len(content))))
        return Prepared(Answer(200, headers, bytes(content)), None, FILE)
