"""Postbacks and pixels at the door: who may send, what is kept of it, and what is answered."""

import time
from collections.abc import Callable, Mapping
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quart import Quart
from quart.typing import TestClientProtocol as Client

from core.contracts import keys, postback_event
from core.contracts.postback_event import LARGEST
from core.contracts.source_snapshot import SourceSnapshot
from core.domain.networks import Networks
from core.observe import CLICKS, POSTBACKS_IGNORED, POSTBACKS_REFUSED, POSTBACKS_TAKEN, Tallies
from tests.tracker_quart.conftest import CHROME, TOKEN, Publisher, source
from tracker_quart import receiving
from tracker_quart.app import service_of
from tracker_quart.hits import query_text, read_hit
from tracker_quart.postback_answers import GIF
from tracker_quart.source_table import Source, Table

PATH = f"/postback/{TOKEN}"
PIXEL = f"/pixel/{TOKEN}.gif"
CLICK = "0199b3c0-5f0a-7d31-9a55-2f6f0d6a7b11"
HINT = "pb_ab…wxyz"


Allow = Callable[..., None]


@pytest.fixture
def allow(app: Quart, publisher: Publisher) -> Allow:
    """From now on these sources may send, and the tracker asks who may before the next postback."""

    def write(*sources: SourceSnapshot) -> None:
        publisher.sources(*sources)
        service_of(app)._sources._snapshots.mark_all_stale()

    return write


async def test_it_keeps_what_came_and_says_ok(client: Client, publisher: Publisher, allow: Allow) -> None:
    allow(source())
    answer = await client.get(
        f"{PATH}?clickid={CLICK}&payout=12,34&status=%E9t%E9&clickid=",
        headers={
            "Host": "Go.Example",
            "User-Agent": "curl/8.5",
            "Referer": "https://net.example/",
            "X-Topic": "orders",
        },
        scope_base={"client": ("198.51.100.7", 4711)},
    )
    assert (answer.status_code, await answer.get_data()) == (200, b"OK")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    (kept,) = await publisher.posted(1)
    assert (kept.source_id, kept.kind, kept.method, kept.host) == (5, "postback", "GET", "go.example")
    assert kept.query == f"clickid={CLICK}&payout=12,34&status=%E9t%E9&clickid="
    assert (kept.ip, kept.user_agent, kept.referrer) == ("198.51.100.7", "curl/8.5", "https://net.example/")
    assert (kept.token_hint, kept.refused, kept.status, kept.size) == (HINT, "", 200, 0)
    assert kept.headers == ()
    assert abs(kept.at.timestamp() - time.time()) < 60
    assert publisher.received() == 1


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/x-www-form-urlencoded", b"clickid=1&sum=%E9&raw=\xff"),
        ("application/json", b'{"id": 820982911946154508, "total_price": "398.00"}'),
        ("text/xml; charset=latin-1", b"<sale>\xe9</sale>"),
        ("", b"anything at all\0"),
    ],
)
async def test_it_keeps_a_body_as_it_came(
    client: Client, publisher: Publisher, allow: Allow, content_type: str, body: bytes
) -> None:
    allow(source(wants_headers=("x-shopify-topic", "x-missing")))
    headers = {"Content-Type": content_type} if content_type else {}
    answer = await client.post(
        f"{PATH}?a=b", data=body, headers={**headers, "X-Shopify-Topic": "orders/paid", "X-Other": "x"}
    )
    assert answer.status_code == 200
    (kept,) = await publisher.posted(1)
    assert (kept.method, kept.query, kept.body, kept.content_type) == ("POST", "a=b", body, content_type)
    assert kept.headers == (("x-shopify-topic", "orders/paid"),)


@pytest.mark.parametrize(
    ("reply", "query", "body", "kind"),
    [
        ("", "", "OK", "text/plain; charset=utf-8"),
        ("success=true;", "", "success=true;", "text/plain; charset=utf-8"),
        ('{"success":true}', "return=NO", '{"success":true}', "application/json"),
        ("", "a=b&return=OK", "OK", "text/plain; charset=utf-8"),
        ("", "return=status%3D1%3B+fine", "status=1; fine", "text/plain; charset=utf-8"),
        ("", "return=%7B%22a%22%3A1%7D", "OK", "text/plain; charset=utf-8"),
        ("", "return=<script>", "OK", "text/plain; charset=utf-8"),
        ("", "return=a%0D%0Ab", "OK", "text/plain; charset=utf-8"),
        ("", "return=" + "a" * 65, "OK", "text/plain; charset=utf-8"),
        ("", "return=", "OK", "text/plain; charset=utf-8"),
        ("", "xreturn=no", "OK", "text/plain; charset=utf-8"),
    ],
)
async def test_it_says_what_the_network_expects(
    client: Client, publisher: Publisher, allow: Allow, reply: str, query: str, body: str, kind: str
) -> None:
    allow(source(reply=reply))
    answer = await client.get(f"{PATH}?{query}")
    assert (answer.status_code, await answer.get_data(as_text=True)) == (200, body)
    assert answer.headers["content-type"] == kind


async def test_it_answers_a_pixel_with_a_picture_whatever_happens(
    client: Client, publisher: Publisher, allow: Allow
) -> None:
    answers = [await client.get(f"{PIXEL}?clickid={CLICK}", headers={"User-Agent": CHROME})]
    allow(source())
    answers += [
        await client.get(f"{PIXEL}?clickid={CLICK}", headers={"User-Agent": CHROME}),
        await client.get("/pixel/pb_nobody.gif", headers={"User-Agent": CHROME}),
    ]
    assert len(GIF) == 43
    for answer in answers:
        assert (answer.status_code, await answer.get_data()) == (200, GIF)
        assert answer.headers["content-type"] == "image/gif"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    kept = await publisher.posted(3)
    assert [(one.kind, one.refused, one.status) for one in kept] == [
        ("pixel", "token", 200),
        ("pixel", "", 200),
        ("pixel", "token", 200),
    ]


async def test_it_lets_pages_read_what_the_script_is_answered(
    client: Client, publisher: Publisher, allow: Allow
) -> None:
    allow(source())
    plain = await client.post(f"{PATH}?click_id={CLICK}&via=script")
    script = await client.post(f"{PATH}?via=script&click_id={CLICK}")
    refused = await client.post("/postback/nobody?via=script")
    assert "access-control-allow-origin" not in plain.headers
    assert [one.headers["access-control-allow-origin"] for one in (script, refused)] == ["*", "*"]
    assert [one.kind for one in await publisher.posted(3)] == ["postback", "script", "script"]


async def test_it_refuses_an_unknown_token_and_shows_little_of_it(
    client: Client, publisher: Publisher, allow: Allow
) -> None:
    ended = int(time.time() * 1000) - 1
    allow(source(), source("pb_" + "o" * 26, source_id=6, until_ms=ended))
    for token in ("pb_" + "z" * 26, "pb_" + "o" * 26, TOKEN.upper(), TOKEN[:-1], "short", "caf%C3%A9"):
        answer = await client.get(f"/postback/{token}?a=b")
        assert answer.status_code == 401, token
        assert "token" in await answer.get_data(as_text=True)
    kept = await publisher.posted(6)
    assert {(one.source_id, one.refused, one.status) for one in kept} == {(0, "token", 401)}
    assert [one.token_hint for one in kept] == [
        "pb_zz…zzzz",
        "pb_oo…oooo",
        "PB_AB…WXYZ",
        HINT[:6] + "vwxy",
        "sh…",
        "ca…",
    ]


async def test_it_takes_an_old_token_until_its_end(
    client: Client, publisher: Publisher, allow: Allow
) -> None:
    later = int(time.time() * 1000) + 60_000
    allow(source(), source("pb_" + "o" * 26, source_id=5, until_ms=later))
    assert (await client.get(f"/postback/pb_{'o' * 26}")).status_code == 200
    assert (await client.get(PATH)).status_code == 200


@pytest.mark.parametrize(
    ("peer", "forwarded", "status"),
    [
        ("198.51.100.7", "", 200),
        ("198.51.100.8", "", 403),
        ("2001:db8::5", "", 200),
        ("::ffff:198.51.100.7", "", 200),
        ("10.0.0.1", "198.51.100.7", 200),
        ("10.0.0.1", "203.0.113.1", 403),
        ("203.0.113.1", "198.51.100.7", 403),  # no proxy of ours: what it says of others is its own invention
        ("", "", 403),
    ],
)
async def test_it_takes_them_from_the_sources_addresses_alone(
    client: Client, publisher: Publisher, allow: Allow, peer: str, forwarded: str, status: int
) -> None:
    allow(source(networks=("198.51.100.7/32", "2001:db8::/48")))
    headers = {"X-Forwarded-For": forwarded} if forwarded else {}
    answer = await client.get(PATH, headers=headers, scope_base={"client": (peer, 1)})
    assert answer.status_code == status
    (kept,) = await publisher.posted(1)
    assert (kept.source_id, kept.refused, kept.status) == (5, "address" if status == 403 else "", status)


@pytest.mark.parametrize(
    ("query", "body", "taken"),
    [
        ("", LARGEST, True),
        ("", LARGEST + 1, False),
        ("a" * 40_000, LARGEST - 40_000, True),
        ("a" * 40_000, LARGEST - 39_999, False),
        ("", 1 << 20, False),
        ("", 3 << 20, False),
        ("a" * (LARGEST + 1), 0, False),
    ],
)
async def test_it_takes_so_many_bytes_and_keeps_the_beginning_of_more(
    client: Client, publisher: Publisher, allow: Allow, query: str, body: int, taken: bool
) -> None:
    allow(source())
    answer = await client.post(f"{PATH}?{query}", data=b"x" * body)
    assert answer.status_code == (200 if taken else 413)
    (kept,) = await publisher.posted(1)
    assert kept.refused == ("" if taken else "too_large")
    assert len(kept.query) == min(len(query), LARGEST)
    if taken or body < 2 << 20:
        assert len(kept.query) + len(kept.body) == min(LARGEST, len(query) + body)
    assert kept.size == (0 if taken else len(query) + body)


@pytest.mark.parametrize(
    ("path", "method", "headers", "reason"),
    [
        (PATH, "HEAD", {}, "head"),
        (PIXEL, "HEAD", {}, "head"),
        (PATH, "GET", {"Sec-Purpose": "prefetch;prerender"}, "prefetch"),
        (PATH, "GET", {"Purpose": "preview"}, "prefetch"),
        (PIXEL, "GET", {"X-Moz": "prefetch"}, "prefetch"),
        (PIXEL, "GET", {"User-Agent": "facebookexternalhit/1.1"}, "preview"),
        (PIXEL, "GET", {"User-Agent": "WhatsApp/2.23.20.0"}, "preview"),
        (PATH, "GET", {"User-Agent": "facebookexternalhit/1.1"}, None),
        (PATH, "GET", {"User-Agent": ""}, None),
        (PIXEL, "GET", {"User-Agent": "curl/8.5"}, None),
    ],
)
async def test_it_answers_those_who_only_look_and_keeps_nothing(
    client: Client,
    publisher: Publisher,
    allow: Allow,
    path: str,
    method: str,
    headers: Mapping[str, str],
    reason: str | None,
) -> None:
    allow(source())
    before = _count(POSTBACKS_IGNORED, "head", "prefetch", "preview", "scanner")
    answer = await client.open(path, method=method, headers=headers)
    assert answer.status_code == 200
    await client.get(f"{PATH}?last")
    kept = [one.query for one in await publisher.posted(1 if reason else 2)]
    assert kept == (["last"] if reason else ["", "last"])
    after = _count(POSTBACKS_IGNORED, "head", "prefetch", "preview", "scanner")
    assert {name for name in after if after[name] > before[name]} == ({reason} if reason else set())


async def test_it_keeps_only_so_many_unknown_tokens_a_second(
    client: Client, app: Quart, publisher: Publisher, allow: Allow, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(source())
    second = 7.0
    monkeypatch.setattr(service_of(app).receiver, "_clock", lambda: second)
    before = _count(POSTBACKS_REFUSED, "token")["token"]
    for _ in range(30):
        assert (await client.get("/postback/nobody")).status_code == 401
    second = 8.0
    assert (await client.get("/postback/nobody?later")).status_code == 401
    assert (await client.get(f"{PATH}?good")).status_code == 200
    kept = await publisher.posted(receiving.UNKNOWN_A_SECOND + 2)
    assert len(kept) == receiving.UNKNOWN_A_SECOND + 2
    assert _count(POSTBACKS_REFUSED, "token")["token"] - before == 31


async def test_it_keeps_only_so_many_unknown_tokens_a_day(
    client: Client, app: Quart, publisher: Publisher, allow: Allow, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(source())
    seconds = iter(range(1000))
    monkeypatch.setattr(receiving, "UNKNOWN_A_DAY", 5)
    monkeypatch.setattr(service_of(app).receiver, "_clock", lambda: next(seconds))
    for _ in range(9):
        assert (await client.get("/postback/nobody")).status_code == 401
    monkeypatch.setattr(service_of(app).receiver, "_clock", lambda: 90_000.0)
    assert (await client.get("/postback/nobody?next")).status_code == 401
    assert len(await publisher.posted(6)) == 6


async def test_it_keeps_little_of_what_strangers_send(
    client: Client, publisher: Publisher, allow: Allow
) -> None:
    allow(source())
    assert (await client.post("/postback/nobody?a=b", data=b"x" * 50_000)).status_code == 401
    (kept,) = await publisher.posted(1)
    assert (len(kept.query) + len(kept.body), kept.size) == (receiving.MOST_OF_UNKNOWN, 50_003)


async def test_it_says_come_again_while_nobody_knows_whose_tokens_exist(
    client: Client, app: Quart, publisher: Publisher
) -> None:
    publisher.redis.delete(keys.SNAPSHOTS_READY)
    service_of(app)._sources._snapshots.mark_all_stale()
    for path in (PATH, "/postback/nobody"):
        answer = await client.get(path)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
    assert (await client.get(PIXEL)).status_code == 200
    publisher.ready()
    assert (await client.get(PATH)).status_code == 401  # nobody has written any source: there is none
    assert [one.refused for one in await publisher.posted(1)] == ["token"]


async def test_it_obeys_a_change_of_the_sources(client: Client, publisher: Publisher, allow: Allow) -> None:
    allow(source())
    assert (await client.get(PATH)).status_code == 200
    publisher.sources()
    deadline = time.monotonic() + 30
    while (await client.get(PATH)).status_code != 401:
        assert time.monotonic() < deadline


async def test_it_goes_on_with_what_it_knew_when_the_sources_can_not_be_read(
    client: Client, publisher: Publisher, allow: Allow
) -> None:
    allow(source())
    assert (await client.get(PATH)).status_code == 200
    publisher.redis.set(keys.SOURCES, bytes(8) + b"\xc1")
    for _ in range(3):
        allow(source(networks=("no network",)))
        assert (await client.get(PATH)).status_code == 200


async def test_it_counts_no_click_for_a_postback(client: Client, publisher: Publisher, allow: Allow) -> None:
    allow(source())
    clicks = _count(CLICKS, "redis", "spool", "lost")
    taken = _count(POSTBACKS_TAKEN, "postback", "pixel", "script")
    await client.get(PATH)
    await client.get(PIXEL, headers={"User-Agent": CHROME})
    await client.post(f"{PATH}?via=script")
    await publisher.posted(3)
    assert _count(CLICKS, "redis", "spool", "lost") == clicks
    assert publisher.clicks() == []
    after = _count(POSTBACKS_TAKEN, "postback", "pixel", "script")
    assert {name: after[name] - taken[name] for name in after} == {"postback": 1, "pixel": 1, "script": 1}


async def test_it_tells_the_sender_to_come_again_when_nothing_can_keep_it(
    client: Client, app: Quart, publisher: Publisher, allow: Allow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis is away and the disk refuses: else the sale would be gone, since nobody sends it again after a 200."""
    allow(source())
    assert (await client.get(PATH)).status_code == 200
    service = service_of(app)

    async def refuse(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(service._postback_spool, "append", refuse)
    service._writes.failed(ConnectionError("away"))
    answer = await client.get(PATH)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    service._writes.failed(ConnectionError("away"))
    assert (await client.get(PIXEL, headers={"User-Agent": CHROME})).status_code == 200
    service._writes.failed(ConnectionError("away"))
    assert (await client.get("/postback/nobody")).status_code == 401


async def test_it_holds_a_bounded_number_of_bytes(
    client: Client, publisher: Publisher, allow: Allow, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(source())
    monkeypatch.setattr(receiving, "MOST_HELD", 10_000)
    assert (await client.post(PATH, data=b"x" * 20_000)).status_code == 503
    assert (await client.post(PATH, data=b"x" * 2_000)).status_code == 200


@pytest.mark.parametrize("path", ["/postback", "/postback/", "/pixel", "/pixel/x", f"/Postback/{TOKEN}"])
async def test_it_leaves_other_paths_to_the_links(client: Client, path: str) -> None:
    assert (await client.get(path)).status_code == 404


async def test_it_serves_its_script(client: Client) -> None:
    answer = await client.get("/rastro.js")
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
    assert b"document.currentScript" in await answer.get_data()


@given(st.binary(max_size=200))
def test_it_loses_no_byte_of_a_query(query: bytes) -> None:
    text = query_text(query)
    assert text.isascii() and text.isprintable() and " " not in text
    assert unquote_to_bytes(text) == unquote_to_bytes(query)


@given(
    token=st.text(st.characters(exclude_categories=("Cs",)), max_size=40),
    query=st.binary(max_size=60),
    headers=st.lists(
        st.tuples(
            st.sampled_from(
                (b"host", b"user-agent", b"referer", b"content-type", b"x-topic", b"x-forwarded-for")
            ),
            st.binary(max_size=20),
        )
    ),
    body=st.binary(max_size=20),
)
def test_it_can_keep_whatever_comes(
    token: str, query: bytes, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    hit = read_hit(
        token,
        is_pixel=False,
        method="POST",
        target=b"/postback/x",
        query=query,
        headers=headers,
        peer="192.0.2.1",
        proxies=Networks(hops=1),
        body=body,
    )
    event = receiving.event_of(hit, bytes(16), source=_READ_BY_TOPIC, refusal="", status=200)
    kept = postback_event.decode(postback_event.encode(event))
    assert kept == event
    assert kept.body == body
    assert "\0" not in "".join((kept.token_hint, kept.host, kept.user_agent, *dict(kept.headers).values()))
    assert len(kept.token_hint) <= 10


_READ_BY_TOPIC = Source(5, None, None, (b"x-topic",), "")


def test_it_knows_no_token_of_an_empty_table() -> None:
    assert Table(()).source_of(TOKEN, now_ms=0) is None


def _count(tallies: Tallies, *labels: str) -> dict[str, int]:
    return {label: tallies.labels(label).value for label in labels}
