"""The pages of the queues: what they show, to whom, and when Redis is away."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
import redis
from flask import Flask
from sqlalchemy import Engine, insert
from sqlalchemy.orm import Session

from core.config import Settings
from core.contracts import keys
from core.db.models import User
from core.db.tracking import Books
from core.services import accounts
from core.services.redis_client import make_redis
from tasks.schedule import claim_due
from tasks.streams import StreamStorage
from tests.admin_flask.browser import Browser
from tests.admin_flask.conftest import MORNING, MakeApp
from tests.core.services.queues.conftest import Bury, click, task

Sit = Callable[..., Browser]
PAGES = ["/queues", "/queues/live", "/queues/entries", "/queues/books", "/queues/schedule", "/queues/alerts"]
ROLES = [("admin", 200), ("support", 200), ("marketer", 403), ("viewer", 403)]


@pytest.fixture
def without_redis(
    settings: Settings, make_app: MakeApp, db: Session, person: Callable[..., User], tmp_path: object
) -> Browser:
    """An admin's browser at a manager whose Redis is away."""
    app: Flask = make_app(settings, redis=make_redis(f"unix://{tmp_path}/none.sock"))
    browser = Browser(app, settings.admin_url)
    token = accounts.open_session(
        db, user=person("admin"), now=MORNING, ip="127.0.0.1", agent="Firefox", keep=False
    )
    db.commit()
    browser.client.set_cookie("rastro_sid", token, domain="localhost")
    return browser


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(("role", "status"), ROLES)
def test_it_shows_them_to_admins_and_support(sit_down: Sit, path: str, role: str, status: int) -> None:
    assert sit_down(role).get(path).status_code == status


@pytest.mark.parametrize("path", PAGES)
def test_it_asks_strangers_to_sign_in(browser: Browser, path: str) -> None:
    assert browser.get(path).status_code == 303


def test_it_is_in_the_navigation_of_who_may_look(sit_down: Sit) -> None:
    assert 'href="/queues"' in sit_down("support").get("/account").text
    assert 'href="/queues"' not in sit_down("marketer").get("/account").text


def test_it_shows_empty_queues(sit_down: Sit) -> None:
    page = sit_down().get("/queues").text
    assert "No worker runs." in page
    assert "Nothing failed in the last seven days." in page
    assert "Every click is accounted for" in page


@pytest.mark.parametrize("path", PAGES)
def test_it_says_that_redis_is_away_and_stays_usable(without_redis: Browser, path: str) -> None:
    answer = without_redis.get(path)
    assert answer.status_code == 200
    if path not in ("/queues/schedule", "/queues/alerts"):
        assert "Redis does not answer, so the queues can not be read." in answer.text


def test_it_asks_again_only_for_the_part_that_changes(sit_down: Sit) -> None:
    browser = sit_down()
    part = browser.get("/queues/live?span=15m", htmx=True).text
    assert "<html" not in part
    assert 'hx-get="/queues/live?span=15m"' in part
    assert 'hx-trigger="every 5s, look"' in part


def test_it_shows_the_sum_and_the_figures(
    sit_down: Sit, db: Session, valkey: redis.Redis, storage: StreamStorage, bury: Bury
) -> None:
    storage.add("track", [click(at=MORNING)] * 3)
    db.execute(insert(Books).values(hour=MORNING, shard=0, stored=1200, answered=1204))
    db.commit()
    bury("system", task("export"))
    valkey.hset(keys.ACCEPTED, "2026112712", 1203)
    minute = int(MORNING.timestamp()) // 60
    valkey.hset(keys.stats(minute - 1), "track:done", 600)
    page = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", sit_down().get("/queues").text))
    assert "Accepted 1,203 = stored 1,200 + waiting 3 + running 0 + set aside 0" in page
    assert "Done per minute 600" in page
    assert "Failed, 7 days 1" in page


def test_it_says_that_a_click_is_missing(sit_down: Sit, db: Session, valkey: redis.Redis) -> None:
    hour = MORNING - timedelta(hours=5)
    db.execute(insert(Books).values(hour=hour, shard=0, stored=8, accepted=10, answered=10))
    db.commit()
    page = sit_down().get("/queues").text
    assert "The books do not balance" in page
    books = sit_down(user=None, role="support").get("/queues/books").text
    assert "2 clicks are missing. Look at the hours below." in books
    assert "2 missing" in books


def test_it_folds_away_what_balanced_before_the_last_day(sit_down: Sit, db: Session) -> None:
    hours = {hours: MORNING - timedelta(hours=hours) for hours in (5, 30, 40)}
    numbers = {5: 1111, 30: 2222, 40: 3333}
    for back, hour in hours.items():
        found = numbers[back]
        db.execute(
            insert(Books).values(
                hour=hour, shard=0, stored=found - (back == 40), accepted=found, answered=found
            )
        )
    db.commit()
    shown, _, folded = sit_down().get("/queues/books").text.partition('<details class="q-silent"')
    assert "1,111" in shown and "3,333" in shown and "2,222" not in shown
    assert "1 earlier hour, balanced" in folded and "2,222" in folded


def test_it_groups_failures_and_opens_one(sit_down: Sit, bury: Bury) -> None:
    bury("track", click(link_id=9), click(link_id=9), error=ValueError("query too long"))
    bury("system", task("export"))
    browser = sit_down()
    page = browser.get("/queues").text
    assert "Retry all 2 with this error" in page
    opened = re.search(r'href="(/queues\?span=1h&amp;open=track\.[0-9a-f]+)#failed"', page)
    assert opened is not None
    page = browser.get(opened[1].replace("&amp;", "&")).text
    assert "query too long" in page and "link 9" in page
    assert "Discard all 2" in page


def test_it_lists_failures_of_silenced_tasks_apart(sit_down: Sit, bury: Bury) -> None:
    bury("system", task("export"))
    browser = sit_down()
    browser.post("/queues/silence", {"task": "export"})
    page = browser.get("/queues").text
    assert "1 kind of error of silenced tasks" in page
    assert "Nothing but what is silenced." in page
    assert "export" in browser.get("/queues/alerts").text


def test_it_gives_support_no_button(sit_down: Sit, bury: Bury, engine: Engine) -> None:
    claim_due(engine, now=MORNING)
    (letter_id,) = bury("track", click())
    support = sit_down("support")
    for path in (
        "/queues",
        "/queues/entries",
        f"/queues/dead/track/{letter_id}",
        "/queues/schedule",
        "/queues/alerts",
    ):
        main = support.get(path).text.partition('<main class="rs-main"')[2].partition("</main>")[0]
        assert 'method="post"' not in main, path


@pytest.mark.parametrize("state", ["waiting", "running", "later", "dead"])
def test_it_lists_entries_of_each_state(
    sit_down: Sit, storage: StreamStorage, bury: Bury, state: str
) -> None:
    bury("system", task("a.dead.one"))
    storage.add("system", [task("a.running.one"), task("a.later.one"), task("a.waiting.one")])
    (lot,) = storage.take(["system"], "w.0.00", most=2)
    storage.retry(lot, lot.ids[1], message=task("a.later.one"), due_ms=int(MORNING.timestamp() * 1000))
    page = sit_down().get(f"/queues/entries?state={state}").text
    assert set(re.findall(r"a\.\w+\.one", page)) == {f"a.{state}.one"}


def test_it_searches_entries(sit_down: Sit, bury: Bury) -> None:
    bury("track", click(link_id=9, path="/bf-tv"), click(link_id=10, path="/bf-sofa"))
    browser = sit_down()
    for words in ("link:9", "bf-tv", "go.example.com/bf-tv value"):
        page = browser.get("/queues/entries", query_string={"q": words}).text
        assert "go.example.com/bf-tv" in page and "bf-sofa" not in page
    assert "No entry matches “nowhere”." in browser.get("/queues/entries?q=nowhere").text


@pytest.mark.parametrize("query", ["state=gone", "queue=other"])
def test_it_knows_no_other_states_and_queues(sit_down: Sit, query: str) -> None:
    assert sit_down().get(f"/queues/entries?{query}").status_code == 404


@pytest.mark.parametrize(("role", "shown"), [("admin", "198.51.100.77"), ("support", "198.51.100.0")])
def test_it_shows_a_click_with_the_address_that_the_role_may_see(
    sit_down: Sit, bury: Bury, role: str, shown: str
) -> None:
    data = click(ip="198.51.100.77", query="email=ana@example.com", link_id=404)
    error = ValueError("bad visitor 198.51.100.77 with ?email=ana@example.com")
    (letter_id,) = bury("track", data, error=error)
    page = sit_down(role).get(f"/queues/dead/track/{letter_id}").text
    assert shown in page
    assert "404, which does not exist" in page
    assert ("198.51.100.77" in page) == (role == "admin")
    assert ("ana@example.com" in page) == (role == "admin")


def test_it_shows_a_task_with_its_arguments_and_traceback(sit_down: Sit, bury: Bury) -> None:
    (letter_id,) = bury("system", task("export.report", 44, "weekly"), error=KeyError("column"))
    page = sit_down().get(f"/queues/dead/system/{letter_id}").text
    for words in (
        "export.report",
        "44",
        "weekly",
        "KeyError",
        "It failed at its last attempt.",
        "delivered once",
    ):
        assert words in page


@pytest.mark.parametrize("reason", ["poison", "newer", "unknown", "deadly", "clock", "odd"])
def test_it_shows_letters_that_hold_garbage(sit_down: Sit, valkey: redis.Redis, reason: str) -> None:
    letter_id = valkey.xadd(
        keys.dead("track"), {"e": b"\xff\x00<b>", "reason": reason, "error": b"\xffX<script>"}
    )
    page = sit_down().get(f"/queues/dead/track/{letter_id.decode()}")
    assert page.status_code == 200
    assert "Nobody can read it" in page.text
    assert "X<script>" not in page.text


@pytest.mark.parametrize(
    "path", ["track/1-1", "other/1-1", "track/x", "track/1-1-1", "track/-", "track/1%201"]
)
def test_it_says_that_a_letter_is_gone(sit_down: Sit, path: str) -> None:
    answer = sit_down().get(f"/queues/dead/{path}")
    assert answer.status_code == 404
    assert "not set aside any more" in answer.text


def test_it_shows_what_runs_by_the_clock(sit_down: Sit, engine: Engine) -> None:
    assert "Nothing has run yet." in sit_down("support").get("/queues/schedule").text
    claim_due(engine, now=MORNING)
    page = sit_down().get("/queues/schedule").text
    assert "reconcile the books" in page
    assert "Puts on record whether every click is accounted for" in page
    assert page.count("Run now") >= 9
