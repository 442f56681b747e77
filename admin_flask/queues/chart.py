"""The chart of the queues as the browser draws it: plain lists, texts in the reader's language."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from babel.dates import format_date, format_time
from flask_babel import get_locale, gettext

from admin_flask.access import zone
from core.contracts.keys import SAMPLE_EVERY_S
from core.services.queues.samples import Sample
from core.services.queues.states import QueueState

SPANS = {
    "15m": timedelta(minutes=15),
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
}

ORDER = ("track", "conversion", "system", "publish")
"""Queues from the lowest layer of the chart to the highest; a queue keeps its colour."""

_DAY_S = 24 * 3600
_LABEL_EVERY_S = {SPANS["15m"]: 300, SPANS["1h"]: 900, SPANS["24h"]: 6 * 3600, SPANS["7d"]: _DAY_S}
_MOST_POINTS = 240


def chart_of(
    samples: Sequence[Sample], *, states: Sequence[QueueState], span: timedelta, now: datetime
) -> dict[str, Any]:
    """Depth and throughput of each queue and the number of processes, thinned to what can be seen. Stretches without a
    sample stay empty. `states` are the last point."""
    step = max(span.total_seconds() / _MOST_POINTS, SAMPLE_EVERY_S)
    slots = int(span.total_seconds() // step)
    first = now - span
    depth: dict[str, list[int | None]] = {queue: [None] * (slots + 1) for queue in ORDER}
    done: dict[str, list[int | None]] = {queue: [None] * (slots + 1) for queue in ORDER}
    processes: list[int | None] = [None] * (slots + 1)
    for sample in samples:
        slot = int((sample.at - first).total_seconds() // step)
        if 0 <= slot < slots:
            for queue in ORDER:
                depth[queue][slot] = max(depth[queue][slot] or 0, sample.depth[queue])  # a peak must be seen
                done[queue][slot] = max(done[queue][slot] or 0, sample.done[queue])
            processes[slot] = sample.processes
    by_name = {state.name: state for state in states}
    for queue in ORDER:
        depth[queue][slots] = by_name[queue].waiting + by_name[queue].running
    titles = [
        _title(first + timedelta(seconds=step * slot), span, seconds=step < 60) for slot in range(slots)
    ]
    return {
        "titles": [*titles, gettext("now")],
        "labels": _labels(first, step, slots, span),
        "queues": list(ORDER),
        "depth": [depth[queue] for queue in ORDER],
        "done": [done[queue] for queue in ORDER],
        "processes": processes,
        "names": {"processes": gettext("processes"), "total": gettext("together")},
    }


def _labels(first: datetime, step: float, slots: int, span: timedelta) -> list[str]:
    """A time where a round part of the span begins."""
    every = _LABEL_EVERY_S[span]
    labels, before = [], (-1, -1)
    for slot in range(slots + 1):
        here = (first + timedelta(seconds=step * slot)).astimezone(zone())
        part = here.toordinal(), (here.hour * 3600 + here.minute * 60 + here.second) // every
        fits = 0 < slot < slots * 0.97  # one at the very edge would be cut
        text = _weekday(here) if every == _DAY_S else _time(here)
        labels.append(text if fits and part != before else "")
        before = part
    return labels


def _title(at: datetime, span: timedelta, *, seconds: bool) -> str:
    time = _time(at, seconds=seconds)
    return f"{_weekday(at)} {time}" if span.days > 1 else time


def _weekday(at: datetime) -> str:
    return format_date(at.astimezone(zone()), "EEE d", locale=get_locale() or "en")


def _time(at: datetime, *, seconds: bool = False) -> str:
    pattern = "HH:mm:ss" if seconds else "HH:mm"
    return format_time(at.astimezone(zone()), pattern, locale=get_locale() or "en")
