"""Alerts: raised once, told once, cleared when it is over."""

import json
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import redis
from sqlalchemy import insert
from sqlalchemy.orm import Session

from core.contracts import keys
from core.db.tracking import Books as BooksRow
from core.net import FetchFailed, FetchRefused
from core.services import alerts, books
from core.services.actor import COMMAND
from core.services.mail import MailFailed
from core.services.postback_books import read_postback_books
from core.services.queues.acting import set_silenced
from core.services.queues.letters import read_groups
from tests.core.services.queues.conftest import Bury, bury, click, storage, task

__all__ = ["bury", "storage"]  # fixtures

NOW = datetime(2026, 11, 27, 12, 30, tzinfo=UTC)


class Box:
    """What was mailed and posted."""

    def __init__(self) -> None:
        self.mails: list[tuple[str, str, str]] = []
        self.posts: list[tuple[str, bytes]] = []
        self.broken = False

    def send(self, *, to: str, subject: str, text: str) -> None:
        if self.broken:
            raise MailFailed("no server")
        self.mails.append((to, subject, text))

    def post(self, url: str, body: bytes) -> None:
        if self.broken:
            raise FetchFailed("no server")
        self.posts.append((url, body))


@pytest.fixture
def box() -> Box:
    return Box()


def look(db: Session, valkey: redis.Redis, box: Box, *, now: datetime = NOW) -> tuple[int, int, int]:
    clicks = books.read_books(db, valkey, now=now, hours=24)
    postbacks = read_postback_books(db, valkey, now=now, hours=24).books
    found = alerts.look_around(db, valkey, books=clicks, postbacks=postbacks, now=now)
    raised, cleared = alerts.update_alerts(db, found, now=now)
    console = "https://admin.example/queues"
    return raised, cleared, alerts.tell_alerts(db, mailer=box, post=box.post, console_url=console, now=now)


def tell(db: Session, **settings: object) -> None:
    fields = {"emails": "ops@example.com", "webhook_url": "", "long_wait_s": 60, **settings}
    alerts.save_alert_settings(db, actor=COMMAND, now=NOW, **fields)  # type: ignore[arg-type]


def wait_for(valkey: redis.Redis, seconds: int) -> None:
    added = int((NOW - timedelta(seconds=seconds)).timestamp() * 1000)
    valkey.xadd(keys.stream("track"), {"e": click(at=NOW)}, id=f"{added}-0")


def test_it_tells_once_that_a_queue_waits_too_long_and_clears_it(
    db: Session, valkey: redis.Redis, box: Box
) -> None:
    tell(db, emails="ops@example.com, ana@example.com", webhook_url="https://hooks.example/x")
    wait_for(valkey, 61)
    assert look(db, valkey, box) == (1, 0, 1)
    assert look(db, valkey, box) == (0, 0, 0)
    assert [to for to, _, _ in box.mails] == ["ops@example.com", "ana@example.com"]
    assert "track: 1 entry waits, the oldest for 61 s" in box.mails[0][1]
    assert "https://admin.example/queues" in box.mails[0][2]
    ((url, body),) = box.posts
    assert (url, json.loads(body)["alerts"][0]["kind"]) == ("https://hooks.example/x", "long wait")
    valkey.delete(keys.stream("track"))
    assert look(db, valkey, box) == (0, 1, 0)
    wait_for(valkey, 61)
    assert look(db, valkey, box) == (1, 0, 1)


def test_it_says_nothing_of_short_waits_and_paused_queues(db: Session, valkey: redis.Redis, box: Box) -> None:
    tell(db)
    wait_for(valkey, 59)
    assert look(db, valkey, box)[0] == 0
    valkey.delete(keys.stream("track"))
    wait_for(valkey, 600)
    valkey.sadd(keys.PAUSED, "track")
    assert look(db, valkey, box)[0] == 0


def test_it_tells_of_failures_unless_their_task_is_silenced(
    db: Session, valkey: redis.Redis, box: Box, bury: Bury
) -> None:
    tell(db)
    bury("system", task("export"), task("export"))
    bury("track", click(at=NOW))
    set_silenced(db, task="track", silenced=True, actor=COMMAND, now=NOW)
    assert look(db, valkey, box) == (1, 0, 1)
    assert "2 entries of export set aside: ValueError" in box.mails[0][1]
    assert {alerts.silence_key(group) for group in read_groups(valkey)} == {"export", "track"}
    set_silenced(db, task="track", silenced=False, actor=COMMAND, now=NOW)
    assert look(db, valkey, box) == (1, 0, 1)


def test_it_tells_of_an_hour_that_does_not_balance(db: Session, valkey: redis.Redis, box: Box) -> None:
    tell(db)
    hour = NOW.replace(minute=0) - timedelta(hours=4)
    db.execute(insert(BooksRow).values(hour=hour, shard=0, accepted=5, answered=5, stored=3))
    db.commit()
    assert look(db, valkey, box) == (1, 0, 1)
    assert "the books of 2026-11-27 08:00 UTC do not balance: 2 clicks are missing" in box.mails[0][1]


def test_it_tells_of_postbacks_that_are_missing(db: Session, valkey: redis.Redis, box: Box) -> None:
    tell(db)
    valkey.hset(keys.RECEIVED, "2026112708", 2)
    assert look(db, valkey, box) == (1, 0, 1)
    assert "the books of 2026-11-27 08:00 UTC do not balance: 2 postbacks are missing" in box.mails[0][1]


def test_it_tells_again_what_nobody_could_be_told(db: Session, valkey: redis.Redis, box: Box) -> None:
    tell(db, webhook_url="https://hooks.example/x")
    wait_for(valkey, 61)
    box.broken = True
    assert look(db, valkey, box) == (1, 0, 0)
    box.broken = False
    assert look(db, valkey, box) == (0, 0, 1)


def test_it_keeps_alerts_until_somebody_is_to_be_told(db: Session, valkey: redis.Redis, box: Box) -> None:
    wait_for(valkey, 61)
    assert look(db, valkey, box) == (1, 0, 0)
    assert len(alerts.open_alerts(db)) == 1
    tell(db)
    assert look(db, valkey, box) == (0, 0, 1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("emails", "ops"),
        ("emails", ",".join(f"p{n}@example.com" for n in range(21))),
        ("webhook_url", "ftp://hooks.example"),
        ("webhook_url", "javascript:alert(1)"),
        ("long_wait_s", 0),
        ("long_wait_s", 86_401),
    ],
)
def test_it_refuses_settings_that_can_not_work(db: Session, field: str, value: object) -> None:
    with pytest.raises(alerts.AlertsRefused) as refused:
        tell(db, **{field: value})
    assert refused.value.field == field


def test_it_posts_into_no_private_network() -> None:
    heard: list[str] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(self.path)

    server = HTTPServer(("127.0.0.1", 0), Hook)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with pytest.raises(FetchRefused):
            alerts.post_json(f"http://127.0.0.1:{server.server_port}/hook", b"{}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert heard == []


def test_it_forgets_alerts_that_were_over_a_year_ago(db: Session, valkey: redis.Redis, box: Box) -> None:
    wait_for(valkey, 61)
    look(db, valkey, box)
    valkey.flushdb()
    look(db, valkey, box)
    assert alerts.prune_alerts(db, now=NOW + timedelta(days=364)) == 0
    assert alerts.prune_alerts(db, now=NOW + timedelta(days=366)) == 1
