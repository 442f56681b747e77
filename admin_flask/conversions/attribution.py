"""Credit conversions anew: choose which and how, see what would differ, then have it applied."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask import Response, abort, request, url_for
from flask_babel import gettext
from werkzeug.datastructures import MultiDict

from admin_flask import words
from admin_flask.access import acting, needs, zone
from admin_flask.conversions.blueprint import blueprint
from admin_flask.held import db, held, moment
from admin_flask.htmx import hx_redirect, page_or_block
from admin_flask.link_names import titles_of
from admin_flask.toasts import say
from core.domain.periods import midnight
from core.domain.sources import COUPON, CUSTOMER, FIRST, LAST, MODELS
from core.services import attribution_runs as service
from core.services.conversion_upload import upload_sources

DAYS = 30
_WAYS = {
    "customer": (CUSTOMER,),
    "coupon": (COUPON,),
    "customer_coupon": (CUSTOMER, COUPON),
    "coupon_customer": (COUPON, CUSTOMER),
}
"""Choice -> by what, the first that fits."""


@dataclass(frozen=True, slots=True)
class AskedRun:
    """What the form says; `error` why it can not be run. Days are those of the viewer's zone, both inclusive."""

    source: int | None
    first: date
    last: date
    model: str
    way: str
    error: str = ""

    def as_run(self, zone: ZoneInfo) -> service.Run | None:
        """The run, None without a source or with an error."""
        if self.source is None or self.error:
            return None
        start, end = midnight(self.first, zone), midnight(self.last + timedelta(days=1), zone)
        return service.Run(self.source, start, end, self.model, _WAYS[self.way])


@blueprint.get("/reattribute")
@needs("sources.edit")
def attribution() -> Response:
    """The form, and with a source what a run would change."""
    return _page(_asked(request.args, now=moment(), zone=zone()), started="started" in request.args)


@blueprint.post("/reattribute")
@needs("sources.edit")
def reattribute() -> Response:
    """Have the run applied by a worker, and follow it."""
    asked = _asked(request.form, now=moment(), zone=zone())
    run = asked.as_run(zone())
    if run is None:
        return _page(asked, status=422)
    try:
        service.ask_for(db.session(), run=run, actor=acting(), now=moment())
    except service.NoSuchSource:
        abort(404)
    say(gettext("It is being applied. What is left to change goes down to nothing."))
    return hx_redirect(url_for("conversions.attribution", started=1, **_query(asked)))


def _page(asked: AskedRun, *, started: bool = False, status: int = 200) -> Response:
    run = asked.as_run(zone())
    found = None
    if run:
        try:
            found = service.compare(db.session(), run=run)
        except service.NoSuchSource:
            abort(404)
    return page_or_block(
        "conversions/attribution.html",
        "result" if found and started else "main",
        status=status,
        asked=asked,
        query=_query(asked),
        sources=upload_sources(db.session()),
        ways=_ways(),
        models={LAST: gettext("The last click"), FIRST: gettext("The first click")},
        found=found,
        started=started,
        titles=_titles(found),
        currency=held().settings.report_currency,
        words=words,
    )


def _asked(args: "MultiDict[str, str] | Mapping[str, str]", *, now: datetime, zone: ZoneInfo) -> AskedRun:
    today = now.astimezone(zone).date()
    source, error = args.get("source", ""), ""
    try:
        first = date.fromisoformat(args.get("from") or (today - timedelta(days=DAYS - 1)).isoformat())
        last = date.fromisoformat(args.get("to") or today.isoformat())
    except ValueError:
        first, last, error = today, today, gettext("Choose both days.")
    if not 2000 <= first.year < 2200 or not 2000 <= last.year < 2200:
        first, last, error = today, today, gettext("Choose both days.")
    if last < first:
        error = gettext("The last day lies before the first. Swap them.")
    model, way = args.get("model", ""), args.get("way", "")
    return AskedRun(
        source=int(source) if source.isascii() and source.isdigit() and len(source) < 19 else None,
        first=first,
        last=last,
        model=model if model in MODELS else LAST,
        way=way if way in _WAYS else next(iter(_WAYS)),
        error=error,
    )


def _query(asked: AskedRun) -> dict[str, Any]:
    return {
        "source": str(asked.source or ""),
        "from": asked.first.isoformat(),
        "to": asked.last.isoformat(),
        "model": asked.model,
        "way": asked.way,
    }


def _ways() -> dict[str, str]:
    return {
        "customer": gettext("The customer's clicks"),
        "coupon": gettext("The coupon's link"),
        "customer_coupon": gettext("The customer's clicks, else the coupon's link"),
        "coupon_customer": gettext("The coupon's link, else the customer's clicks"),
    }


def _titles(found: service.Comparison | None) -> dict[int | None, str]:
    """What the links of a comparison are called."""
    ids = {one for flow in found.flows for one in (flow.before, flow.after) if one} if found else ()
    titles: dict[int | None, str] = {None: gettext("no link")}
    for link_id, title in titles_of(ids).items():
        titles[link_id] = title
    return titles
