"""The parts of the benchmarks that can be wrong without being slow."""

import random
import socketserver
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import redis

from core.contracts import click_event, keys, link_snapshot
from core.contracts.click_event import ClickEvent
from core.domain.bots import door_verdict
from core.domain.conditions import KINDS, RETURNING, check_condition
from core.domain.facts import Asked, Facts
from core.domain.networks import number_of
from core.domain.targeting import plan_of
from tests.bench import browsers, links, rates, visitors
from tests.bench.books import Books
from tests.bench.contestants import Contestant
from tests.bench.load import Load, Round, ask_each
from tests.bench.run import Entry, Finding

ANSWER = b"HTTP/1.1 302 Found\r\nlocation: https://www.example.com/\r\ncontent-length: 0\r\n\r\n"


class Always(socketserver.BaseRequestHandler):
    """Answers each request in `answers` bytes, whatever it asks."""

    def handle(self) -> None:
        server: Any = self.server
        waiting = b""
        while data := self.request.recv(65536):
            waiting += data
            *whole, waiting = waiting.split(b"\r\n\r\n")
            self.request.sendall(server.answer * len(whole))


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """A server that gives this answer; its port."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Always) as server:
        server.daemon_threads = True
        server.block_on_close = False
        server.answer = answer  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


def some(number: int, *, path: str = "/black-friday") -> list[bytes]:
    return visitors.make_requests(random.Random(1), host="go.example", paths=[path] * number)


def headers_of(request: bytes) -> dict[str, str]:
    lines = request.decode().split("\r\n")[1:-2]
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


def test_it_asks_as_many_visitors_who_differ() -> None:
    requests = some(1000)
    seen = [headers_of(request) for request in requests]
    assert all(len(headers) in (10, 11) for headers in seen)  # one without a referrer
    assert len({headers["x-forwarded-for"] for headers in seen}) > 990
    assert len({headers["user-agent"] for headers in seen}) > 150
    assert {headers["accept-language"] for headers in seen} == set(visitors.LANGUAGES)
    assert {headers.get("referer", "") for headers in seen} == set(visitors.REFERRERS)
    assert {request.split(b"\r\n")[0] for request in requests} == {b"GET /black-friday HTTP/1.1"}
    assert {headers["host"] for headers in seen} == {"go.example"}
    assert requests == some(1000)


def test_it_knows_some_200_agents_of_people() -> None:
    assert 190 <= len(set(browsers.AGENTS)) == len(browsers.AGENTS) <= 260
    assert [
        agent for agent in browsers.AGENTS if door_verdict(method="GET", user_agent=agent, purpose="")
    ] == []


def test_it_draws_links_by_zipf() -> None:
    drawn = visitors.zipf(random.Random(1), ranks=1000, number=50_000)
    times = Counter(drawn)
    assert min(drawn) == 0 and max(drawn) < 1000
    assert times[0] / times[1] == pytest.approx(2, rel=0.1)
    assert times[0] / times[9] == pytest.approx(10, rel=0.15)


def test_it_hands_wrk_the_same_bytes_that_others_send(tmp_path: Path) -> None:
    requests = some(3)
    load = Load.written(tmp_path / "requests", requests)
    assert load.requests == requests
    assert load.file.read_bytes().split(b"\0") == requests


def test_it_asks_every_kind_of_condition_and_no_visitor_matches_but_the_last_rule() -> None:
    asked = [condition for conditions in links.CONDITIONS for condition in conditions]
    assert {condition.kind for condition in asked} == set(KINDS) - {RETURNING}  # which asks Redis
    assert [check_condition(condition) for condition in asked] == asked
    plan = plan_of(links.RULED_LINK)
    assert plan is not None
    met = Counter()
    for headers in map(headers_of, some(2000)):
        facts = Facts(
            1_795_000_000_000,
            Asked(
                ip=headers["x-forwarded-for"],
                address=number_of(headers["x-forwarded-for"]),
                user_agent=headers["user-agent"],
                query="",
                referrer=headers.get("referer", ""),
                host=headers["host"],
                language=headers["accept-language"],
            ),
            country_of=lambda ip, address: "BR",
        )
        choice = plan.by_rule(facts)
        met[choice.rule if choice else 0] += 1
    assert set(met) == {0, 10}
    assert met[0] > met[10] > 0


def test_it_publishes_links_that_a_tracker_can_read(valkey: "redis.Redis[Any]") -> None:
    links.publish(valkey, many=1500)
    for name, target in (
        ("black-friday", links.TARGET),
        ("oferta-1499", "https://www.example.com/ofertas/1499?canal=bench"),
    ):
        framed = valkey.get(keys.link(1, name))
        assert isinstance(framed, bytes)
        assert link_snapshot.decode(framed).url == target
    assert valkey.exists(keys.DEFAULT_DOMAIN, keys.SNAPSHOTS_READY) == 2
    assert len(list(valkey.scan_iter(match=keys.LINKS, count=1000))) == 1502


@pytest.mark.parametrize(
    ("ordered", "share", "value"),
    [
        ([], 0.99, 0.0),
        ([7.0], 0.99, 7.0),
        (list(map(float, range(1, 101))), 0.99, 99.0),
        (list(map(float, range(1, 101))), 0.5, 50.0),
        (list(map(float, range(1, 101))), 1.0, 100.0),
        ([1.0, 2.0, 3.0], 0.5, 2.0),
    ],
)
def test_it_takes_percentiles(ordered: list[float], share: float, value: float) -> None:
    assert rates.percentile(ordered, share) == value


def test_it_offers_requests_at_random_moments_as_often_as_it_should() -> None:
    due = rates.arrivals(random.Random(1), per_second=1000, seconds=20)
    assert due == sorted(due)
    assert due[0] > 0 and due[-1] < 20
    assert len(due) == pytest.approx(20_000, rel=0.05)
    gaps = [later - earlier for earlier, later in pairwise(due)]
    assert sum(gap > 0.001 for gap in gaps) / len(gaps) == pytest.approx(
        0.368, abs=0.03
    )  # 1/e of all are longer


@pytest.mark.parametrize(
    ("answer", "whole"),
    [
        (ANSWER, True),
        (ANSWER[:-1], False),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 3\r\n\r\nab", False),
        (b"HTTP/1.1 302 Found\r\nContent-Length: 3\r\n\r\nabc", True),
    ],
)
def test_it_knows_where_an_answer_ends(answer: bytes, whole: bool) -> None:
    assert rates.is_whole(answer) is whole


@pytest.mark.parametrize(
    ("answer", "redirects"), [(ANSWER, True), (b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n", False)]
)
def test_it_times_every_request_that_was_due_and_counts_what_failed(
    tmp_path: Path, answer: bytes, redirects: bool
) -> None:
    if not rates.is_possible():
        return
    due = rates.arrivals(random.Random(1), per_second=2000, seconds=0.2)
    load = Load.written(tmp_path / "requests", some(10))
    with answering(answer) as port:
        result = rates.run_paced(port, load, due=due, connections=4)
    assert (result.answered, result.failed) == ((len(due), 0) if redirects else (0, len(due)))


def test_it_asks_for_each_once_and_says_when_one_is_no_redirect() -> None:
    with answering(ANSWER) as port:
        ask_each(port, some(120))
    with (
        answering(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n") as port,
        pytest.raises(ValueError, match="404"),
    ):
        ask_each(port, some(1))


def test_it_takes_the_middle_round_and_says_what_was_reached(tmp_path: Path) -> None:
    who = Contestant("ours", "go.example", 1, 1)
    entry = Entry("ours", who, Load((), tmp_path))
    entry.rounds = [Round(rate, 1.0, 2.0, 10, 0, 0.0) for rate in (30.0, 10.0, 20.0)]
    assert entry.middle.per_second == 20.0
    assert entry.answered == 30
    base = Entry("theirs", who, Load((), tmp_path))
    base.rounds = [Round(rate, 1.0, 2.0, 10, 0, 0.0) for rate in (60.0, 40.0, 20.0)]
    assert entry.against(base) == 0.5
    words = [Finding("x", "1", "2", reached).row()[-1] for reached in (True, False, None)]
    assert words == ["yes", "no", "not measured"]


def test_it_balances_answers_and_clicks(valkey: "redis.Redis[Any]") -> None:
    stream = keys.stream("track")
    books = Books(valkey)
    for number in (1, 2, 2):
        event = ClickEvent(id=number.to_bytes(16, "big"), link_id=1, host="go.example")
        valkey.xadd(stream, {keys.EVENT_FIELD: click_event.encode(event)})
    books.read()
    assert valkey.xlen(stream) == 0
    third = ClickEvent(id=(3).to_bytes(16, "big"), link_id=1, host="go.example")
    valkey.xadd(stream, {keys.EVENT_FIELD: click_event.encode(third)})
    books.saw("go.example", 3)
    with answering(metrics(redirects=3)) as port:
        tracker = Contestant("ours", "go.example", 1, 1, port)
        assert (
            books.balance(tracker)
            == "ours: 3 redirects answered, 3 distinct clicks in the stream, 1 sent twice."
        )
    with (
        answering(metrics(redirects=2)) as port,
        pytest.raises(ValueError, match="2 answered, 3 of them seen, 3 ids kept"),
    ):
        books.balance(Contestant("ours", "go.example", 1, 1, port))


def metrics(*, redirects: int) -> bytes:
    body = f'rastro_answered_total{{outcome="redirect"}} {redirects}.0\n'.encode()
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)
