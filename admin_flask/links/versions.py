"""Versions of a link: the trail of who saved what, and two versions side by side when people meet."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from flask_babel import gettext

from admin_flask.access import zone
from admin_flask.filters import ago, when
from admin_flask.held import db, moment
from core.db.models import LinkHistory
from core.services.audit import names_of
from core.services.links import StaleVersion, fields_of, history_of

SHOWN = 6


@dataclass(frozen=True, slots=True)
class Saved:
    """The version that is saved now: its number, when, and by whom."""

    version: int
    at: datetime
    who: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that the two versions say differently, as texts. `mine` is None where this person did not touch it."""

    label: str
    theirs: str
    mine: str | None


@dataclass(frozen=True, slots=True)
class Conflict:
    """Somebody saved `version` while this person was typing."""

    version: int
    who: str
    when: str
    rows: list[Difference]


def trail_of(link_id: int) -> tuple[Saved | None, list[dict[str, str]]]:
    """The version saved last, and the last few as steps of a trail, the newest first."""
    history = history_of(db.session(), link_id=link_id, limit=SHOWN)
    names = names_of(db.session(), {row.actor for row in history})
    steps = [
        {
            "title": _deed(row),
            "text": names[row.actor],
            "time": ago(row.at),
            "mark": "key" if index == 0 else "",
        }
        for index, row in enumerate(history)
    ]
    last = history[0] if history else None
    return (Saved(last.version, last.at, names[last.actor]) if last else None), steps


def fields_at(link_id: int, version: int) -> dict[str, object] | None:
    """The fields of a version, None when it is not known (any more)."""
    for row in history_of(db.session(), link_id=link_id):
        if row.version == version:
            return dict(row.fields)
    return None


def conflict_of(
    stale: StaleVersion,
    *,
    mine: Mapping[str, object],
    base: Mapping[str, object] | None,
    campaigns: Mapping[object, str],
) -> Conflict:
    """Compare what was saved meanwhile with what this person typed on top of `base`."""
    theirs = fields_of(stale.current)

    def said(name: str, value: object) -> str:
        if name == "campaign_id":
            return campaigns.get(value, "")
        return ", ".join(map(str, value)) if isinstance(value, list) else str(value)

    rows = [
        Difference(
            label=label,
            theirs=said(name, theirs[name]),
            mine=said(name, mine[name]) if base is None or mine[name] != base.get(name) else None,
        )
        for name, label in labels().items()
        if name in mine and theirs[name] != mine[name]
    ]
    return Conflict(stale.current.version, stale.editor, _when(stale.at), rows)


def labels() -> dict[str, str]:
    """Fields as people read them, in the order of the form."""
    return {
        "url": gettext("Destination"),
        "domain": gettext("Domain"),
        "slug": gettext("Slug"),
        "title": gettext("Title"),
        "campaign_id": gettext("Campaign"),
        "tags": gettext("Tags"),
        "notes": gettext("Notes"),
        "state": gettext("State"),
        "rules": gettext("Rules"),
        "split": gettext("Split"),
        "starts_at": gettext("Start"),
        "expires_at": gettext("End"),
        "click_cap": gettext("Click limit"),
        "fallback_url": gettext("Fallback address"),
        "ios_url": gettext("App on iOS"),
        "android_url": gettext("App on Android"),
        "redirect_status": gettext("Status code"),
        "no_referrer": gettext("Referrer"),
        "pass_query": gettext("Passing the query on"),
        "click_id_param": gettext("Click id parameter"),
        "password": gettext("Password"),
    }


def _when(at: datetime) -> str:
    here = at.astimezone(zone())
    if here.date() == moment().astimezone(zone()).date():
        return gettext("at %(time)s", time=here.strftime("%H:%M"))
    return gettext("on %(day)s", day=when(at))


def _deed(row: LinkHistory) -> str:
    if row.action == "edit":
        names = [labels().get(name, name).lower() for name in row.changed]
        return gettext("Changed %(fields)s", fields=_listed(names))
    return {
        "create": gettext("Made"),
        "pause": gettext("Paused"),
        "resume": gettext("Resumed"),
        "archive": gettext("Archived"),
        "restore": gettext("Restored"),
        "delete": gettext("Deleted"),
    }.get(row.action, row.action)


def _listed(words: Sequence[str]) -> str:
    if len(words) < 2:
        return "".join(words)
    return gettext("%(first)s and %(last)s", first=", ".join(words[:-1]), last=words[-1])
