"""What admins do with queues, and nobody else."""

from collections.abc import Callable

import pytest
import redis
from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from admin_flask.queues import acting
from core.contracts import keys
from core.db.models import AuditLog
from core.db.work import AlertSettings, Outbox
from core.services.queues.letters import read_groups
from tasks.schedule import claim_due
from tasks.streams import StreamStorage
from tests.admin_flask.browser import Browser
from tests.admin_flask.conftest import MORNING
from tests.core.services.queues.conftest import Bury, click, task

Sit = Callable[..., Browser]
HERE = {"Referer": "http://localhost:8000/queues/entries?state=dead"}
POSTS = [
    "/queues/letters",
    "/queues/groups/track/abc/retry",
    "/queues/groups/track/abc/discard",
    "/queues/pause/track",
    "/queues/resume/track",
    "/queues/silence",
    "/queues/unsilence",
    "/queues/schedule/prune%20sessions/run",
    "/queues/alerts",
]


@pytest.mark.parametrize("path", POSTS)
@pytest.mark.parametrize("role", ["support", "marketer", "viewer"])
def test_it_lets_nobody_but_admins(sit_down: Sit, path: str, role: str) -> None:
    assert sit_down(role).post(path).status_code == 403


@pytest.mark.parametrize("path", POSTS)
def test_it_wants_the_token_of_the_page(sit_down: Sit, path: str) -> None:
    assert sit_down().post(path, token=False).status_code == 419


@pytest.mark.parametrize("path", POSTS[:-1])
def test_it_does_nothing_when_it_is_only_looked_at(sit_down: Sit, path: str) -> None:
    assert sit_down().get(path).status_code == 405


def actions(db: Session) -> list[tuple[str, str]]:
    rows = db.scalars(select(AuditLog).where(AuditLog.actor.like("user:%")).order_by(AuditLog.id))
    return [(row.action, row.subject) for row in rows]


@pytest.mark.parametrize(("do", "waiting"), [("retry", 2), ("discard", 0)])
def test_it_retries_and_discards_a_selection(
    sit_down: Sit, db: Session, valkey: redis.Redis, bury: Bury, do: str, waiting: int
) -> None:
    tracks = bury("track", click(), click())
    (system,) = bury("system", task("export"))
    ticked = [f"track/{tracks[0]}", f"system/{system}"]
    browser = sit_down()
    answer = browser.post("/queues/letters", {"letter": ticked, "do": do}, headers=HERE)
    assert (answer.status_code, answer.location) == (303, "/queues/entries?state=dead")
    words = "put back" if do == "retry" else "discarded"
    assert f"2 entries were {words}." in browser.follow(answer).text
    assert sum(valkey.xlen(keys.stream(queue)) for queue in ("track", "system")) == waiting
    assert valkey.xlen(keys.dead("track")) == 1
    assert sorted(actions(db)) == [(f"queue.{do}", "queue:system"), (f"queue.{do}", "queue:track")]


def test_it_says_that_somebody_was_faster(sit_down: Sit, bury: Bury, valkey: redis.Redis) -> None:
    (letter_id,) = bury("track", click())
    form: dict[str, object] = {"letter": f"track/{letter_id}", "do": "retry"}
    browser = sit_down()
    browser.post("/queues/letters", form, headers=HERE)
    page = browser.follow(browser.post("/queues/letters", form, headers=HERE)).text
    assert "somebody was faster" in page
    assert valkey.xlen(keys.stream("track")) == 1


@pytest.mark.parametrize("letter", ["other/1-1", "track/x", "track", ""])
def test_it_refuses_what_is_no_letter(sit_down: Sit, letter: str) -> None:
    assert sit_down().post("/queues/letters", {"letter": letter, "do": "retry"}).status_code == 400


def test_it_leaves_the_page_of_a_letter_that_is_gone(sit_down: Sit, bury: Bury) -> None:
    (letter_id,) = bury("track", click())
    headers = {"Referer": f"http://localhost:8000/queues/dead/track/{letter_id}"}
    answer = sit_down().post(
        "/queues/letters", {"letter": f"track/{letter_id}", "do": "retry"}, headers=headers
    )
    assert answer.location == "/queues/entries"


def test_it_retries_all_with_the_same_error(
    sit_down: Sit, valkey: redis.Redis, bury: Bury, storage: StreamStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    bury("track", click(), click(), click())

    def worker(_: float) -> None:
        for lot in storage.take(["track"], "w.0.00", most=100):
            storage.acknowledge(lot, lot.ids)

    monkeypatch.setattr(acting, "sleep", worker)
    (group,) = read_groups(valkey)
    browser = sit_down()
    answer = browser.post(f"/queues/groups/track/{group.id}/retry", headers=HERE)
    assert "The trial worked. 3 entries were put back." in browser.follow(answer).text
    assert valkey.xlen(keys.dead("track")) == 0


def test_it_says_that_the_trial_failed(
    sit_down: Sit, valkey: redis.Redis, bury: Bury, monkeypatch: pytest.MonkeyPatch
) -> None:
    bury("system", task("export"), task("export"))
    monkeypatch.setattr(acting, "sleep", lambda _: bury("system"))
    (group,) = read_groups(valkey)
    browser = sit_down()
    answer = browser.post(f"/queues/groups/system/{group.id}/retry", headers=HERE)
    assert "The one that was tried failed again. All 2 are left as they were." in browser.follow(answer).text
    assert "A trial of one failed again." in browser.get("/queues").text


def test_it_tries_nothing_on_a_paused_queue(sit_down: Sit, valkey: redis.Redis, bury: Bury) -> None:
    bury("track", click())
    (group,) = read_groups(valkey)
    valkey.sadd(keys.PAUSED, "track")
    browser = sit_down()
    answer = browser.post(f"/queues/groups/track/{group.id}/retry", headers=HERE)
    assert "track is paused" in browser.follow(answer).text
    assert valkey.xlen(keys.dead("track")) == 1


def test_it_discards_all_with_the_same_error(sit_down: Sit, valkey: redis.Redis, bury: Bury) -> None:
    bury("track", click(), click())
    (group,) = read_groups(valkey)
    browser = sit_down()
    answer = browser.post(f"/queues/groups/track/{group.id}/discard", headers=HERE)
    assert "2 entries were discarded." in browser.follow(answer).text
    assert valkey.xlen(keys.stream("track")) + valkey.xlen(keys.dead("track")) == 0


@pytest.mark.parametrize("what", ["retry", "discard"])
def test_it_knows_no_groups_of_other_queues(sit_down: Sit, what: str) -> None:
    assert sit_down().post(f"/queues/groups/other/abc/{what}").status_code == 404


def test_it_pauses_a_queue_and_takes_it_back(sit_down: Sit, db: Session, valkey: redis.Redis) -> None:
    browser = sit_down()
    page = browser.follow(browser.post("/queues/pause/track", headers=HERE)).text
    assert "track is paused. What arrives is kept." in page
    assert 'action="/queues/resume/track"' in page
    assert valkey.smembers(keys.PAUSED) == {b"track"}
    assert "Paused: track." in browser.get("/queues").text
    browser.post("/queues/resume/track", headers=HERE)
    assert valkey.smembers(keys.PAUSED) == set()
    assert actions(db) == [("queue.pause", "queue:track"), ("queue.resume", "queue:track")]
    assert browser.post("/queues/pause/other").status_code == 404


def test_it_runs_an_entry_of_the_schedule_now(sit_down: Sit, engine: Engine, db: Session) -> None:
    claim_due(engine, now=MORNING)
    db.query(Outbox).delete()
    db.commit()
    browser = sit_down()
    page = browser.follow(browser.post("/queues/schedule/prune sessions/run")).text
    assert "“prune sessions” runs within seconds." in page
    assert [row.args for row in db.scalars(select(Outbox))] == [["prune sessions"]]
    page = browser.follow(browser.post("/queues/schedule/prune sessions/run")).text
    assert "waits for its run already" in page
    assert browser.post("/queues/schedule/drop everything/run").status_code == 404


def test_it_saves_whom_alerts_go_to(sit_down: Sit, db: Session) -> None:
    browser = sit_down()
    fields: dict[str, object] = {
        "emails": " Ops@Example.com ana@example.com",
        "webhook_url": "",
        "long_wait_s": "90",
    }
    assert "Saved." in browser.follow(browser.post("/queues/alerts", fields)).text
    row = db.scalars(select(AlertSettings)).one()
    assert (row.emails, row.long_wait_s) == ("ops@example.com, ana@example.com", 90)
    assert actions(db) == [("alerts.edit", "alerts")]


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("emails", "ops", "Type e-mail addresses"),
        ("webhook_url", "hooks.example", "must start with https://"),
        ("long_wait_s", "soon", "Type a number of seconds, such as 60."),
        ("long_wait_s", "0", "from 1 to 86,400"),
    ],
)
def test_it_shows_what_is_wrong_and_keeps_what_was_typed(
    sit_down: Sit, field: str, value: str, words: str
) -> None:
    fields: dict[str, object] = {"emails": "", "webhook_url": "", "long_wait_s": "60", field: value}
    answer = sit_down().post("/queues/alerts", fields)
    assert answer.status_code == 422
    assert words in answer.text
    assert f'value="{value}"' in answer.text
