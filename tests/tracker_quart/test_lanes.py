"""Both lanes give the same answers, byte for byte, and keep the same clicks."""

import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.contracts.link_snapshot import LinkSnapshot
from tests.tracker_quart.conftest import CHROME, TOKEN
from tests.tracker_quart.lanes import FROM_ONE, LAST, SIGNED, Lane, outcomes, two_lanes
from tests.tracker_quart.rig import wait_until

TARGETS = (
    "/sale",
    "/SALE",
    "/paused",
    "/gone",
    "/nobody",
    "/",
    "//sale",
    "/sale/",
    "/sale/more",
    "/s%61le",
    "/%2Fsale",
    "/sale%2Fx",
    "/sale%00",
    "/sale%0Ax",
    "/promo%C3%A7%C3%A3o",
    "/%FF%FE",
    "/%zz",
    "/sale#top",
    "/sale;x",
    "/sa|le",
    "/sale\\x",
    '/sale"<>',
    "/livez",
    "/livez?x",
    "/%6civez",
    "/robots.txt",
    "/favicon.ico",
    "/..",
    "/./sale",
    "/" + "a" * 300,
    "/" + "a" * 2000,
    "http://localhost/sale",
    "HTTP://case.example/sale",
    "localhost:80",
    "*",
    "sale",
    "?x",
)
QUERIES = ("", "?", "?a=1&b=%20x", "?a?b", "?x=/y//z", "?utm_source=mail&%C3%A7", "?" + "q" * 5000)
HOSTS = (
    "localhost",
    "localhost:80",
    "LOCALHOST",
    "case.example",
    "x.example",
    "a b",
    "x@localhost",
    "",
    "[::1]",
    "ç",
)
LINES = (
    f"User-Agent: {CHROME}",
    "User-Agent: curl/8.5",
    "user-agent:",
    "USER-AGENT: \t Mozilla/5.0 \t ",
    "Referer: https://www.instagram.com/",
    "Accept-Language: pt-BR,pt;q=0.9",
    "Accept-Language: en",
    "X-Forwarded-For: 203.0.113.7",
    "X-Forwarded-For: 198.51.100.1, 203.0.113.8",
    "X-Forwarded-For: nonsense",
    "Sec-Purpose: prefetch;prerender",
    "Purpose: preview",
    "X-Moz: prefetch",
    "Cookie: a=b",
    "Cookie: c=d",
    "Connection: keep-alive",
    "Connection: close",
    "connection: Close",
    "Connection: close, x",
    "Connection: a,close",
    "Connection: x",
    "Content-Length: 0",
    "Upgrade-Insecure-Requests: 1",
    "Upgrade: foo",
    "X-Text: caf\u00e9 \u00ff",
    "X-Tab: a\tb",
    "X-Del: a\x7fb",
    "X-Empty:",
    "X-Folded: a\r\n b",
    "X-Long: " + "x" * 7000,
    "Keep-Alive: 300",
)


POSTBACKS = (
    f"/postback/{TOKEN}",
    f"/postback/{FROM_ONE}",
    f"/postback/{SIGNED}",
    f"/pixel/{TOKEN}.gif",
    f"/pixel/{FROM_ONE}.gif",
    f"/pixel/{TOKEN}.GIF",
    f"/pixel/{TOKEN}",
    f"/postback/{TOKEN}/",
    f"/postback/{TOKEN}/more",
    f"/postback/%70{TOKEN[1:]}",
    f"/pixel/%70{TOKEN[1:]}.gif",
    f"//postback/{TOKEN}",
    f"/POSTBACK/{TOKEN}",
    f"http://localhost/postback/{TOKEN}",
    "/postback/",
    "/postback/nobody",
    "/pixel/nobody.gif",
    "/pixel/.gif",
    "/postback/" + "a" * 3000,
)
BRINGING = (
    *("", "?", "?a=1&b=%20x", "?clickid=%E9&payout=12,34", "?via=script", "?via=script&a=b", "?via=scripts"),
    *(
        "?return=fine",
        "?return=%3Cb%3E",
        "?sig=00&x=1",
        "?" + "q" * 7000,
        "?" + "q" * 9000,
        "?" + "q" * 66_000,
    ),
)


@pytest.fixture(scope="module")
def lanes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lane, Lane]]:
    with two_lanes(tmp_path_factory.mktemp("lanes") / "here") as lanes:
        for lane in lanes:
            wait_until(lambda lane=lane: lane.trackers.get(POSTBACKS[0])[0] == 200, "the sources are known")
        yield lanes


def _request(
    *, method: str, target: str, query: str, version: str, host: str | None, lines: list[str]
) -> bytes:
    head = [f"{method} {target}{query} HTTP/{version}", *([] if host is None else [f"Host: {host}"]), *lines]
    return "\r\n".join([*head, "", ""]).encode("latin-1")


def _requests(
    *, closing: bool, targets: Sequence[str] = TARGETS, usual: str = "/sale", queries: Sequence[str] = QUERIES
) -> st.SearchStrategy[bytes]:
    """Hypercorn's answer to a request that closes is a race when more bytes lie behind it: those come last."""
    lines = [line for line in LINES if closing or "close" not in line.lower()]
    return st.builds(
        _request,
        method=st.sampled_from(("GET", "GET", "GET", "HEAD", "HEAD", "OPTIONS", "get")),
        target=st.one_of(st.just(usual), st.sampled_from(targets)),
        query=st.sampled_from(queries),
        version=st.sampled_from(("1.1", "1.1", "1.0") if closing else ("1.1",)),
        host=st.one_of(st.just("localhost"), st.sampled_from(HOSTS), st.none()),
        lines=st.lists(st.sampled_from(lines), max_size=6),
    )


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    before=st.lists(_requests(closing=False), max_size=2),
    last=st.one_of(st.just(LAST), _requests(closing=True)),
)
def test_it_gives_the_same_answer_in_both_lanes(
    lanes: tuple[Lane, Lane], before: list[bytes], last: bytes
) -> None:
    fast, slow = outcomes(lanes, b"".join([*before, last]))
    assert fast == slow


def test_it_counts_alike(lanes: tuple[Lane, Lane]) -> None:
    """Repeated, with another link, where a busy machine made a Redis look away: then visitors are led uncounted."""
    for link_id in range(60, 80):
        for lane in lanes:
            wait_until(lambda lane=lane: '"spooled": 0' in lane.trackers.get("/readyz")[1], "all replayed")
            link = LinkSnapshot(link_id=link_id, url="https://shop.example/", click_cap=2)
            lane.publisher.link(f"few-{link_id}", link)
        away = [lane.trackers.logged("redis.away") for lane in lanes]
        requests = [
            _request(
                method=method,
                target=f"/few-{link_id}",
                query="?x=1",
                version="1.1",
                host="localhost",
                lines=[f"User-Agent: {agent}", "Accept-Language: pt"],
            )
            for method, agent in (
                *[("GET", "curl/8.5"), ("HEAD", CHROME)],
                *[("GET", CHROME)] * 4,
                *[("HEAD", CHROME), ("GET", "curl/8.5")],
            )
        ]
        fast, slow = outcomes(lanes, b"".join([*requests, LAST]))
        if away == [lane.trackers.logged("redis.away") for lane in lanes]:
            break
    assert fast == slow
    statuses = re.findall(rb"HTTP/1.1 (\d+) ", fast.answers)
    assert statuses == [*[b"302"] * 4, *[b"410"] * 4, b"302"]
    assert Counter(click.outcome for click in fast.clicks) == {"redirect": 5, "capped": 4}


@pytest.mark.parametrize("target", TARGETS)
def test_it_takes_every_target_alike(lanes: tuple[Lane, Lane], target: str) -> None:
    for query in QUERIES:
        request = _request(
            method="GET", target=target, query=query, version="1.1", host="localhost", lines=[]
        )
        fast, slow = outcomes(lanes, request + LAST)
        assert fast == slow


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(_requests(closing=False, targets=POSTBACKS, usual=POSTBACKS[0], queries=BRINGING), max_size=3)
)
def test_it_takes_postbacks_alike(lanes: tuple[Lane, Lane], asked: list[bytes]) -> None:
    fast, slow = outcomes(lanes, b"".join([*asked, LAST]))
    assert fast == slow


@pytest.mark.parametrize("target", POSTBACKS)
def test_it_takes_every_postback_alike(lanes: tuple[Lane, Lane], target: str) -> None:
    for method in ("GET", "HEAD", "POST"):
        for query in BRINGING[:4] if "nobody" in target else BRINGING:
            request = _request(
                method=method,
                target=target,
                query=query,
                version="1.1",
                host="localhost",
                lines=["Content-Length: 0"] if method == "POST" else ["X-Forwarded-For: 203.0.113.7"],
            )
            fast, slow = outcomes(lanes, request + LAST)
            assert fast == slow
            time.sleep(
                0.06 if "nobody" in target else 0
            )  # only so many with an unknown token are kept a second
