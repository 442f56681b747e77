"""What the first page of the queues shows, asked again every few seconds: built from a fixed number of questions."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from flask import request, url_for
from flask_babel import gettext, ngettext
from redis import Redis, RedisError
from sqlalchemy.orm import Session

from admin_flask.access import me
from admin_flask.queues.chart import SPANS, chart_of
from admin_flask.queues.words import error_kind, error_title
from core.db.work import Alert, Schedule
from core.domain.books import Books
from core.observe import scrub
from core.services.alerts import BOOKS, LONG_WAIT, alert_settings, open_alerts, silence_key, silenced_tasks
from core.services.books import read_books
from core.services.queues.letters import Group, Shared, count_groups, read_groups, read_shared
from core.services.queues.samples import read_samples
from core.services.queues.states import (
    Job,
    Process,
    QueueState,
    Throughput,
    read_processes,
    read_queues,
    read_throughput,
)
from core.services.schedule import list_schedule

SUM_HOURS = 24
_MOST_FRAMES = 4
_FRAME = re.compile(r'^  File "(.*)", line (\d+), in (.*)$', re.MULTILINE)
_SLOW_S = 3.0


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of the chart that can be chosen."""

    label: str
    href: str
    is_here: bool


@dataclass(frozen=True, slots=True)
class Pool:
    """The processes of one pool."""

    name: str
    processes: Sequence[Process]

    @property
    def busy(self) -> int:
        return sum(bool(process.jobs) for process in self.processes)

    @property
    def queues(self) -> Sequence[str]:
        """What they take from, in order of priority."""
        return max((process.queues for process in self.processes), key=len)

    @property
    def rate(self) -> int:
        return sum(process.rate for process in self.processes)

    @property
    def rss_bytes(self) -> int:
        return sum(process.rss_bytes for process in self.processes)


@dataclass(frozen=True, slots=True)
class Failure:
    """A group of dead letters as the table shows it."""

    group: Group
    title: str
    kind: str
    silenced: bool
    silence_key: str
    href: str
    is_open: bool
    shared: Shared | None = None
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Live:
    """The page. `trouble` says that Redis does not answer; then there is nothing else."""

    poll: str
    spans: Sequence[Span]
    trouble: bool = False
    states: Sequence[QueueState] = ()
    hour: Throughput | None = None
    pools: Sequence[Pool] = ()
    books: Books | None = None
    chart: dict[str, Any] | None = None
    failures: Sequence[Failure] = ()
    more_failures: int = 0
    alerts: Sequence[Alert] = ()
    limit_s: int = 0
    next_run: Schedule | None = None

    @property
    def waiting(self) -> int:
        return sum(state.waiting for state in self.states)

    @property
    def running(self) -> int:
        return sum(state.running for state in self.states)

    @property
    def dead(self) -> int:
        return sum(state.dead for state in self.states)

    @property
    def rate(self) -> float:
        return sum(state.rate for state in self.states)

    @property
    def slowest(self) -> QueueState:
        """The queue whose oldest entry waits longest."""
        return max(self.states, key=lambda state: state.waits_s)

    @property
    def clears_s(self) -> float | None:
        """Seconds until every queue is empty; None when one does not move, or is paused."""
        times = [state.clears_s for state in self.states if state.waiting + state.running]
        known = [time for time in times if time is not None]
        return None if len(known) < len(times) else max(known, default=0.0)

    @property
    def processes(self) -> int:
        return sum(len(pool.processes) for pool in self.pools)

    @property
    def busy(self) -> int:
        return sum(pool.busy for pool in self.pools)

    @property
    def loud(self) -> list[Failure]:
        """Failures of tasks that are not silenced."""
        return [failure for failure in self.failures if not failure.silenced]

    @property
    def silent(self) -> list[Failure]:
        return [failure for failure in self.failures if failure.silenced]

    @property
    def paused(self) -> list[str]:
        return [state.name for state in self.states if state.paused]

    def summary(self) -> str:
        """How it goes, in one sentence."""
        if self.books is not None and self.books.state == "unbalanced":
            return gettext("The books do not balance: look at the hours.")
        if self.paused:
            return gettext("Paused: %(names)s. What arrives is kept.", names=", ".join(self.paused))
        if not self.processes:
            return gettext("No worker runs. What arrives is kept.")
        if self.slowest.waits_s > self.limit_s:
            return gettext("Behind. Nothing is lost.")
        if self.waiting:
            return gettext("Busy. Nothing is lost.")
        return gettext("All is done.")

    def is_slow(self, job: Job, now: datetime) -> bool:
        """True when a worker has been at one thing for longer than is usual."""
        return (now - job.since).total_seconds() > _SLOW_S

    def mark(self, process: Process, now: datetime) -> str:
        """How a process is drawn: idle, slow, or plainly busy ("")."""
        if not process.jobs:
            return "idle"
        return "slow" if any(self.is_slow(job, now) for job in process.jobs) else ""


def read_live(session: Session, redis: "Redis", *, now: datetime) -> Live:
    """Everything of the page. Where Redis does not answer the page says so and asks again."""
    span = request.args.get("span", "")
    span = span if span in SPANS else "1h"
    opened = request.args.get("open", "")
    poll = url_for("queues.live", span=span, open=opened or None)
    spans = _spans(span, opened)
    try:
        states = read_queues(redis, now=now)
        groups = read_groups(redis)
        return Live(
            poll=poll,
            spans=spans,
            states=states,
            hour=read_throughput(redis, now=now),
            pools=_pools(read_processes(redis)),
            books=read_books(session, redis, now=now, hours=SUM_HOURS),
            chart=chart_of(
                read_samples(redis, since=now - SPANS[span], now=now),
                states=states,
                span=SPANS[span],
                now=now,
            ),
            failures=_failures(redis, groups, opened, span, silenced_tasks(session)),
            more_failures=count_groups(redis) - len(groups),
            alerts=[alert for alert in open_alerts(session) if alert.kind in (LONG_WAIT, BOOKS)][:4],
            limit_s=alert_settings(session).long_wait_s,
            next_run=_next_run(list_schedule(session)),
        )
    except RedisError:
        return Live(poll=poll, spans=spans, trouble=True)


def shown_text(text: str) -> str:
    """A traceback or error as this person may see it: queries and addresses of visitors are the admin's alone."""
    return text if me().may("addresses.view") else str(scrub(None, "", {"exception": text})["exception"])


def trial_words(failure: Failure) -> str:
    """What is known of the letter that was tried."""
    return {
        "none": "",
        "running": gettext("One is being tried."),
        "worked": gettext("A trial of one worked."),
        "failed": gettext("A trial of one failed again."),
    }[failure.group.trial]


def count_words(count: int) -> str:
    """The button that retries a group."""
    return ngettext("Retry", "Retry all %(num)s with this error", count)


def _failures(
    redis: "Redis", groups: Sequence[Group], opened: str, span: str, silenced: set[str]
) -> list[Failure]:
    failures = []
    for group in groups:
        name = f"{group.queue}.{group.id}"
        is_open = name == opened
        shared = read_shared(redis, group.queue, group.id) if is_open else None
        error = shown_text(group.error)
        failures.append(
            Failure(
                group=group,
                title=error_title(error, group.reason),
                kind=error_kind(error),
                silenced=silence_key(group) in silenced,
                silence_key=silence_key(group),
                href=url_for("queues.index", span=span, open=None if is_open else name),
                is_open=is_open,
                shared=shared,
                trace=_last_frames(shared),
            )
        )
    return failures


def _last_frames(shared: Shared | None) -> str:
    """The innermost places of a traceback, one a line, and the error."""
    if shared is None or shared.newest is None or not shared.newest.traceback:
        return ""
    text = shown_text(shared.newest.traceback)
    places = [
        f"{'/'.join(path.split('/')[-3:])}:{line}  {function}"
        for path, line, function in _FRAME.findall(text)
    ]
    return "\n".join([*places[-_MOST_FRAMES:], text.rstrip().rpartition("\n")[2]])


def _pools(processes: Sequence[Process]) -> list[Pool]:
    return [Pool(name, list(rows)) for name, rows in groupby(processes, key=lambda process: process.pool)]


def _spans(chosen: str, opened: str) -> list[Span]:
    labels = {
        "15m": gettext("15 min"),
        "1h": gettext("1 hour"),
        "24h": gettext("24 hours"),
        "7d": gettext("7 days"),
    }
    return [
        Span(labels[name], url_for("queues.index", span=name, open=opened or None), name == chosen)
        for name in SPANS
    ]


def _next_run(entries: Sequence[Schedule]) -> Schedule | None:
    """The next run of an entry that does not run all the time."""
    seldom = [entry for entry in entries if entry.every_s > timedelta(minutes=1).total_seconds()]
    return min(seldom, key=lambda entry: entry.next_run, default=None)
