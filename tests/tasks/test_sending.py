"""The sender against a real receiver: what is sent, what is tried again, and that nobody holds up anybody else."""

import hashlib
import hmac
import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, insert, select, update

from core.db.conversions import Webhook, WebhookDelivery
from core.domain.sending import SendingSettings
from tasks import sending
from tasks.sending import Sender
from tests.core.db.sending_rows import change_status, deliveries, make_due, make_source, make_webhook
from tests.faults.programs import until
from tests.tasks.receiver import HERE, Receiver, answer, hang, hang_up, never_end, receiving

NOW = datetime(2026, 11, 27, 12, 0, tzinfo=UTC)


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make_sender(engine: Engine, clean_database: None, clock: Clock) -> Iterator[Callable[..., Sender]]:
    made: list[Sender] = []

    def make(**more: Any) -> Sender:
        given = {"stopping": threading.Event(), "allowed": HERE, "clock": clock, "draw": lambda: 0.5, **more}
        made.append(Sender(engine, **given))
        return made[-1]

    yield make
    for sender in made:
        sender._pool.shutdown(wait=True)


def due(engine: Engine, count: int = 1, **webhook: Any) -> int:
    """A webhook with so many conversions to be told; the webhook's id."""
    with engine.begin() as connection:
        source = make_source(connection, name=f"Shop {webhook.get('url')}")
        webhook_id = make_webhook(connection, name=f"Hook {webhook.get('url')}", source_id=source, **webhook)
        make_due(connection, source_id=source, now=NOW, count=count)
    return webhook_id


def rows(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return deliveries(connection)


def hook(engine: Engine, webhook_id: int) -> Any:
    with engine.connect() as connection:
        return connection.execute(select(Webhook).where(Webhook.id == webhook_id)).one()


def test_it_calls_the_address_with_the_values_of_the_conversion(
    engine: Engine, make_sender: Callable[..., Sender], receiver: Receiver
) -> None:
    due(engine, url=f"{receiver.url}/in?o={{order}}&a={{amount}}&s={{status}}")
    make_sender().step()
    [sent] = receiver.sent
    [row] = rows(engine)
    assert (sent.method, sent.target.partition("?")[0], sent.body) == ("GET", "/in", "")
    assert sent.target.endswith("&a=129.90&s=approved")
    assert sent.headers["idempotency-key"] == f"rastro-delivery-{row.id}"
    assert sent.headers["x-rastro-delivery"] == str(row.id)
    assert "rastro-signature" not in sent.headers
    assert (row.state, row.attempts, row.response_status, row.response_body) == ("done", 1, 200, "OK")
    assert row.url.endswith(sent.target) and row.ms is not None and row.error == ""
    assert (row.next_try, row.leased_until, row.ended_at) == (None, None, NOW)


def test_it_posts_a_signed_body(
    engine: Engine, make_sender: Callable[..., Sender], receiver: Receiver
) -> None:
    settings = SendingSettings(method="POST", headers=(("Authorization", "Bearer k"), ("X-Order", "{order}")))
    due(
        engine,
        url=f"{receiver.url}/in",
        body='{"sum": "{amount}"}',
        settings=settings,
        secret="a secret of ours",
    )
    make_sender().step()
    [sent] = receiver.sent
    assert (sent.method, json.loads(sent.body)) == ("POST", {"sum": "129.90"})
    assert sent.headers["authorization"] == "Bearer k" and sent.headers["x-order"].startswith("AR-")
    assert sent.headers["content-type"] == "application/json; charset=utf-8"
    seconds = str(int(NOW.timestamp()))
    expected = hmac.new(b"a secret of ours", f"{seconds}.{sent.body}".encode(), hashlib.sha256).hexdigest()
    assert sent.headers["rastro-signature"] == f"t={seconds},v1={expected}"


def test_it_tries_again_later_and_later_under_the_same_key(
    engine: Engine, make_sender: Callable[..., Sender], receiver: Receiver, clock: Clock
) -> None:
    receiver.answers["/in"] = answer(500, b"broken")
    due(engine, url=f"{receiver.url}/in")
    sender = make_sender()
    waits = []
    for _ in range(6):
        sender.step()
        [row] = rows(engine)
        assert row.state == "waiting"
        waits.append((row.next_try - clock.now).total_seconds())
        clock.now = row.next_try
    assert waits == [30, 120, 600, 3600, 21600, 86400]
    sender.step()
    [row] = rows(engine)
    assert (row.state, row.attempts, row.next_try) == ("failed", 7, None)
    assert (row.response_status, row.response_body, row.error) == (500, "broken", "It answered 500.")
    assert len(row.tries) == 7
    assert len({sent.headers["idempotency-key"] for sent in receiver.sent}) == 1


def test_it_succeeds_when_the_receiver_is_well_again(
    engine: Engine, make_sender: Callable[..., Sender], receiver: Receiver, clock: Clock
) -> None:
    receiver.answers["/in"] = answer(503, Retry_After="400")
    webhook = due(engine, url=f"{receiver.url}/in")
    sender = make_sender()
    sender.step()
    [row] = rows(engine)
    assert row.next_try == NOW + timedelta(seconds=400)
    assert hook(engine, webhook).failures == 1
    del receiver.answers["/in"]
    clock.now = row.next_try
    sender.step()
    [row] = rows(engine)
    assert (row.state, [one["status"] for one in row.tries]) == ("done", [503, 200])
    assert hook(engine, webhook).failures == 0


@pytest.mark.parametrize(
    ("reply", "state", "error"),
    [
        (answer(204, b""), "done", ""),
        (answer(404), "waiting", "It answered 404."),
        (answer(410), "failed", "It answered 410."),
        (
            answer(302, Location="http://169.254.169.254/latest?x=1"),
            "waiting",
            "It answered 302, a redirect to http://169.254.169.254/latest: redirects are not followed.",
        ),
        (hang_up, "waiting", "127.0.0.1 can not be fetched: Remote end closed connection without response."),
        (never_end, "done", ""),
    ],
    ids=["no content", "not found", "gone", "redirect", "hangs up", "no end"],
)
def test_it_takes_what_a_receiver_answers(
    engine: Engine,
    make_sender: Callable[..., Sender],
    receiver: Receiver,
    reply: Any,
    state: str,
    error: str,
) -> None:
    receiver.answers["/in"] = reply
    due(engine, url=f"{receiver.url}/in")
    make_sender().step()
    [row] = rows(engine)
    assert (row.state, row.error) == (state, error)
    assert len(row.response_body) <= 2048
    assert len(receiver.sent) == 1


def test_it_writes_down_whatever_bytes_come(
    engine: Engine, make_sender: Callable[..., Sender], receiver: Receiver
) -> None:
    receiver.answers["/in"] = answer(302, b"\x00\xff\xed\xa0\x80", Location="/a\x00b\xe9")
    due(engine, url=f"{receiver.url}/in")
    make_sender().step()
    [row] = rows(engine)
    assert row.error == "It answered 302, a redirect to /a\ufffdb\xc3\xa9: redirects are not followed."
    assert row.response_body.startswith("\ufffd")
    assert row.tries[0]["error"] == row.error


def test_it_waits_no_longer_than_it_should(
    engine: Engine,
    make_sender: Callable[..., Sender],
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sending, "BOUNDS", sending.Bounds(size=1024, seconds=0.3, redirects=0))
    receiver.answers["/in"] = hang
    due(engine, url=f"{receiver.url}/in")
    make_sender().step()
    [row] = rows(engine)
    assert (row.state, row.error) == ("waiting", "127.0.0.1 did not answer in time.")


@pytest.mark.parametrize(
    ("url", "resolved"),
    [
        ("http://127.0.0.1:1/in", None),
        ("http://169.254.169.254/latest/meta-data", None),
        ("http://[::ffff:10.0.0.1]/", None),
        ("http://hooks.example/in", ["10.1.2.3"]),
        ("http://hooks.example/in", ["93.184.216.34", "::1"]),
    ],
)
def test_it_never_calls_a_private_address(
    engine: Engine, make_sender: Callable[..., Sender], url: str, resolved: list[str] | None
) -> None:
    due(engine, url=url)
    make_sender(allowed=(), resolve=lambda host, port: resolved or []).step()
    [row] = rows(engine)
    assert (row.state, row.response_status, row.attempts) == ("failed", None, 1)
    assert "private network" in row.error


def test_it_calls_the_address_that_it_has_checked(
    engine: Engine, make_sender: Callable[..., Sender], receiver: Receiver
) -> None:
    """A name that leads elsewhere the second time it is looked up (rebinding) is looked up once."""
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    port = receiver.server_address[1]
    due(engine, url=f"http://hooks.example:{port}/in")
    make_sender(resolve=resolve).step()
    assert (asked, receiver.sent[0].headers["host"]) == (["hooks.example"], f"hooks.example:{port}")


def test_one_that_hangs_does_not_hold_up_the_others(
    engine: Engine, make_sender: Callable[..., Sender], receiver: Receiver
) -> None:
    receiver.answers["/slow"] = hang
    due(engine, count=30, url=f"{receiver.url}/slow")
    due(engine, count=40, url=f"{receiver.url}/quick")
    stopping = threading.Event()
    sender = make_sender(stopping=stopping)
    thread = threading.Thread(target=sender.step)
    thread.start()
    until(lambda: receiver.paths().count("/quick") == 40)
    assert receiver.paths().count("/slow") == 8
    receiver.closing.set()
    stopping.set()
    thread.join(30)
    assert not thread.is_alive()


def test_a_test_is_sent_with_made_up_values_and_tried_once(
    engine: Engine, make_sender: Callable[..., Sender], receiver: Receiver
) -> None:
    receiver.answers["/in"] = answer(500, b"no")
    with engine.begin() as connection:
        webhook = make_webhook(connection, url=f"{receiver.url}/in?o={{order}}", is_active=False)
        connection.execute(insert(WebhookDelivery).values(webhook_id=webhook, kind="test", next_try=NOW))
    make_sender().step()
    [row] = rows(engine)
    assert (row.state, row.attempts, row.response_body) == ("failed", 1, "no")
    assert receiver.sent[0].target == "/in?o=TEST-1042"
    assert hook(engine, webhook).failures == 0


def test_it_tells_the_status_that_it_was_to_tell(
    engine: Engine, make_sender: Callable[..., Sender], receiver: Receiver
) -> None:
    due(engine, url=f"{receiver.url}/in?s={{status}}")
    with engine.begin() as connection:
        [row] = deliveries(connection)
        change_status(connection, row.conversion_id, "rejected")
    make_sender().step()
    assert receiver.sent[0].target == "/in?s=approved"


def test_it_switches_off_a_webhook_that_fails_on_and_on(
    engine: Engine, make_sender: Callable[..., Sender], receiver: Receiver, clock: Clock
) -> None:
    receiver.answers["/in"] = answer(500)
    webhook = due(engine, count=12, url=f"{receiver.url}/in")
    sender = make_sender()
    sender.step()
    assert (hook(engine, webhook).failures, len(receiver.sent)) == (8, 8)
    while (row := hook(engine, webhook)).is_active:
        assert len(receiver.sent) < 20
        clock.now = row.paused_until
        sender.step()
    assert (row.failures, row.disabled_at, len(receiver.sent)) == (20, clock.now, 20)
    assert [one.state for one in rows(engine)] == ["waiting"] * 12
    clock.now += timedelta(days=2)
    sender.step()
    assert len(receiver.sent) == 20
    del receiver.answers["/in"]
    with engine.begin() as connection:
        connection.execute(update(Webhook).values(is_active=True, failures=0, paused_until=None))
    sender.step()
    assert [one.state for one in rows(engine)] == ["done"] * 12


def test_it_stops_when_it_is_told_to_and_writes_down_what_was_on_its_way(
    engine: Engine, make_sender: Callable[..., Sender], receiver: Receiver
) -> None:
    arrived, go = threading.Event(), threading.Event()

    def slowly(handler: Any) -> None:
        arrived.set()
        go.wait(30)
        answer(200)(handler)

    receiver.answers["/in"] = slowly
    due(engine, count=20, url=f"{receiver.url}/in")
    sender = make_sender()
    sender.start()
    assert arrived.wait(30)
    threading.Timer(0.2, go.set).start()
    sender.stop()
    states = [row.state for row in rows(engine)]
    assert states.count("done") == len(receiver.sent) == 8
    assert states.count("waiting") == 12
    assert all(row.leased_until is None for row in rows(engine) if row.state == "done")


def test_what_it_could_not_write_down_is_written_when_the_database_is_back(
    engine: Engine, make_sender: Callable[..., Sender], receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    due(engine, url=f"{receiver.url}/in")
    sender = make_sender()
    whole = sending.settle

    def away(*args: object) -> list[int]:
        raise OSError("the database is away")

    monkeypatch.setattr(sending, "settle", away)
    with pytest.raises(OSError, match="away"):
        sender.step()
    monkeypatch.setattr(sending, "settle", whole)
    sender.step()
    assert [row.state for row in rows(engine)] == ["done"]
    assert len(receiver.sent) == 1
