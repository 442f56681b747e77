"""The live test: a test click id goes out; the page shows what comes back for it, how it is read, what is missing."""

from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import unquote_to_bytes
from uuid import UUID

from flask import Response, abort, make_response, redirect, request, url_for

from admin_flask.access import acting, needs, polled
from admin_flask.held import db, held, moment
from admin_flask.htmx import page_or_block
from admin_flask.sources import words
from admin_flask.sources.blueprint import blueprint
from admin_flask.sources.shown import found
from admin_flask.sources.snippets import curl_of, example_of
from admin_flask.words import field_word, note_word
from core.contracts.postback_event import KINDS
from core.db.conversions import ConversionSource, Postback, SourceTest
from core.domain.presets import preset_of
from core.domain.reading import Reading, from_stored
from core.domain.sources import settings_of
from core.services import source_tests as service
from core.services.conversion_sources import tracker_base

PATIENCE = timedelta(hours=2)
"""How long the page asks by itself."""

_BLANK = "YOUR_TOKEN"
"""Stands for the token, which nobody but the network knows any more."""

_LONGEST_SHOWN = 2000


@dataclass(frozen=True, slots=True)
class Came:
    """A postback as the trail shows it; `elsewhere` where it came to the URL of another source."""

    row: Postback
    elsewhere: bool
    request: str
    kind: str
    reading: Reading | None
    missing: list[str]
    refusal: str


@blueprint.post("/sources/<row:source_id>/test")
@needs("sources.view")
def start_test(source_id: int) -> Response:
    """A new click id to look out for."""
    click_id = service.start_test(db.session(), source_id=found(source_id).id, actor=acting(), now=moment())
    return make_response(redirect(url_for("sources.test", source_id=source_id, click=click_id), 303))


@blueprint.get("/sources/<row:source_id>/test")
@needs("sources.view")
def test(source_id: int) -> Response:
    """The test that the address names, or the way to start one."""
    return _page(source_id)


@blueprint.get("/sources/<row:source_id>/test/live")
@needs("sources.view")
@polled
def live_test(source_id: int) -> Response:
    """The block `live` anew when something came since the page was made; else nothing (204)."""
    return _page(source_id, only_news=True)


def _page(source_id: int, *, only_news: bool = False) -> Response:
    source = found(source_id)
    running = _running(source_id)
    arrived = service.arrivals(db.session(), running) if running else service.Arrivals((), ())
    seen = "-".join(
        f"{row.id.hex[:12]}{row.id.hex[-6:]}{row.verdict}" for row in (*arrived.ours, *arrived.others)
    )
    if only_news and request.args.get("seen") == seen:
        return make_response("", 204)
    asks = running is not None and moment() - running.started_at < PATIENCE
    return page_or_block(
        "sources/test.html",
        "live",
        source=source,
        test=running,
        ways=_ways(source, running) if running else None,
        ours=[_came(row, source_id) for row in arrived.ours],
        others=[_came(row, source_id) for row in arrived.others],
        poll=url_for("sources.live_test", source_id=source_id, click=running.click_id, seen=seen)
        if running and asks
        else "",
        field_word=field_word,
        note_word=note_word,
        result_words=words.result_words,
    )


def _running(source_id: int) -> SourceTest | None:
    text = request.args.get("click", "")
    if not text:
        return None
    try:
        click_id = UUID(text)
    except ValueError:
        abort(404)
    return service.find_test(db.session(), source_id=source_id, click_id=click_id) or abort(404)


@dataclass(frozen=True, slots=True)
class Ways:
    """How a test's click id gets to the network: over a link of ours, in the URL itself, or from a terminal."""

    landings: list[service.Landing]
    url: str
    curl: str


def _ways(source: ConversionSource, running: SourceTest) -> Ways:
    settings, preset = settings_of(source.settings), preset_of(source.preset)
    base = tracker_base(db.session(), held().settings)
    click_id = str(running.click_id)
    return Ways(
        landings=service.landings(
            db.session(),
            campaigns=settings.campaigns,
            click_id=running.click_id,
            click_param=preset.click_param,
        ),
        url=example_of(base, _BLANK, preset, settings, click_id=click_id),
        curl=curl_of(base, _BLANK, preset, settings, click_id=click_id, signed=bool(source.signature_keys)),
    )


def _came(row: Postback, source_id: int) -> Came:
    reading = from_stored(row.reading)
    return Came(
        row=row,
        elsewhere=row.source_id is not None and row.source_id != source_id,
        request=_request(row),
        kind=KINDS[row.kind] if row.kind < len(KINDS) else "",
        reading=reading,
        missing=words.missing_words(reading) if reading and not row.refused else [],
        refusal=words.refusal_words(row.refused) if row.refused else "",
    )


def _request(row: Postback) -> str:
    """The request as it came, its percent-encoding taken off, so that a person can read it."""
    query = unquote_to_bytes(row.query).decode("utf-8", "replace")
    path = f"{row.method} /postback/{row.token_hint}{'?' if query else ''}{query}"
    body = row.body.decode("utf-8", "replace")
    return f"{path}\n\n{body}"[:_LONGEST_SHOWN] if body else path[:_LONGEST_SHOWN]
