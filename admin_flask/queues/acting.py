"""What can be done with queues by one press. Retrying and discarding were asked about before, with the count."""

from collections.abc import Callable
from time import sleep
from typing import TypeVar

from flask import Response, abort, request, url_for
from flask_babel import gettext, ngettext
from redis import RedisError

from admin_flask.access import acting, needs
from admin_flask.addresses import came_from
from admin_flask.held import db, held, moment
from admin_flask.htmx import hx_redirect
from admin_flask.queues.blueprint import blueprint
from admin_flask.toasts import say
from core.contracts.keys import QUEUES
from core.services.queues import acting as service

_Done = TypeVar("_Done")

_MOST_SELECTED = 500


@blueprint.post("/letters")
@needs("queues.edit")
def letters() -> Response:
    """Retry or discard the letters that were ticked, or one from its own page (`do` says which)."""
    by_queue: dict[str, list[str]] = {}
    for name in request.form.getlist("letter")[:_MOST_SELECTED]:
        queue, _, letter_id = name.partition("/")
        if queue not in QUEUES or not letter_id.replace("-", "").isdecimal():
            abort(400)
        by_queue.setdefault(queue, []).append(letter_id)
    retry = request.form.get("do") == "retry"
    verb = service.retry_letters if retry else service.discard_letters
    done = _try(
        lambda: sum(
            verb(db.session(), held().redis, queue=queue, ids=ids, actor=acting(), now=moment())
            for queue, ids in by_queue.items()
        )
    )
    if done is not None:
        asked = sum(map(len, by_queue.values()))
        _say_done(done, asked=asked, retry=retry)
    here = came_from()
    return hx_redirect(url_for("queues.entries") if "/queues/dead/" in here else here)


@blueprint.post("/groups/<queue>/<group>/retry")
@needs("queues.edit")
def retry_group(queue: str, group: str) -> Response:
    """Try one letter of a group; the others follow only if it worked."""
    try:
        done = _try(
            lambda: service.retry_group(
                db.session(),
                held().redis,
                queue=queue,
                group=group,
                actor=acting(),
                now=moment(),
                sleep=sleep,
            )
        )
    except service.NoSuchQueue:
        abort(404)
    except service.QueuePaused:
        say(
            gettext("%(queue)s is paused: a trial would only wait. Resume it first.", queue=queue), tone="bad"
        )
        done = None
    if done is not None:
        _say_retried(done)
    return hx_redirect(came_from())


@blueprint.post("/groups/<queue>/<group>/discard")
@needs("queues.edit")
def discard_group(queue: str, group: str) -> Response:
    """Remove every letter of a group for good."""
    try:
        done = _try(
            lambda: service.discard_group(
                db.session(), held().redis, queue=queue, group=group, actor=acting(), now=moment()
            )
        )
    except service.NoSuchQueue:
        abort(404)
    if done is not None:
        _say_done(done, asked=done, retry=False)
    return hx_redirect(came_from())


@blueprint.post("/<any(pause, resume):what>/<queue>")
@needs("queues.edit")
def pause(what: str, queue: str) -> Response:
    """Workers begin nothing more of a queue, or begin again."""
    paused = what == "pause"
    try:
        done = _try(
            lambda: _paused(queue, paused=paused),
        )
    except service.NoSuchQueue:
        abort(404)
    if done:
        back = url_for("queues.pause", what="resume" if paused else "pause", queue=queue)
        if paused:
            say(gettext("%(queue)s is paused. What arrives is kept.", queue=queue), undo=back)
        else:
            say(gettext("%(queue)s goes on.", queue=queue), undo=back)
    return hx_redirect(came_from())


@blueprint.post("/<any(silence, unsilence):what>")
@needs("queues.edit")
def silence(what: str) -> Response:
    """Failures of a task raise no alert any more, or do again."""
    task = request.form.get("task", "").strip()[:200]
    if not task:
        abort(400)
    silenced = what == "silence"
    service.set_silenced(db.session(), task=task, silenced=silenced, actor=acting(), now=moment())
    if silenced:
        text = gettext("%(task)s is silenced: its failures are listed apart and raise no alert.", task=task)
    else:
        text = gettext("Failures of %(task)s raise alerts again.", task=task)
    say(
        text,
        undo=url_for("queues.silence", what="unsilence" if silenced else "silence"),
        fields={"task": task},
    )
    return hx_redirect(came_from())


def _paused(queue: str, *, paused: bool) -> bool:
    service.set_paused(db.session(), held().redis, queue=queue, paused=paused, actor=acting(), now=moment())
    return True


def _try(act: Callable[[], _Done]) -> _Done | None:
    """Do it; where Redis does not answer say so, and that nothing (more) was changed."""
    try:
        return act()
    except RedisError:
        say(gettext("Redis does not answer. Look whether it was done, then try again."), tone="bad")
        return None


def _say_done(done: int, *, asked: int, retry: bool) -> None:
    if not asked:
        say(gettext("Nothing was selected."), tone="bad")
    elif not done:
        say(gettext("Nothing was left to do: somebody was faster."), tone="bad")
    elif retry:
        say(ngettext("%(num)s entry was put back.", "%(num)s entries were put back.", done))
    else:
        say(ngettext("%(num)s entry was discarded.", "%(num)s entries were discarded.", done))


def _say_retried(done: service.GroupRetried) -> None:
    if done.trial == "worked":
        say(
            ngettext(
                "The trial worked. %(num)s entry was put back.",
                "The trial worked. %(num)s entries were put back.",
                done.put_back,
            )
        )
    elif done.trial == "failed":
        say(
            ngettext(
                "The one that was tried failed again. %(num)s is left as it was.",
                "The one that was tried failed again. All %(num)s are left as they were.",
                done.left,
            ),
            tone="bad",
        )
    elif done.trial == "running":
        say(gettext("One is being tried. When it has worked, press again for the others."))
    else:
        say(gettext("Nothing was left to do: somebody was faster."), tone="bad")
