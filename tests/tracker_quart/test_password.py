"""A link that asks for a password: what visitors meet, and which clicks are kept."""

import asyncio
import threading
from urllib.parse import quote

import pytest
from quart import Quart, Response
from quart.typing import TestClientProtocol as Client

from core.contracts.domain_snapshot import DomainSnapshot
from core.contracts.link_snapshot import Condition, LinkSnapshot, Rule
from tests.tracker_quart.conftest import CHROME, HASH, URL, Publisher
from tracker_quart.app import service_of
from tracker_quart.passwords import MOST_WAITING, TRIES_OF_ONE

BROWSER = {"user-agent": CHROME}
RIGHT, WRONG = {"password": "abacaxi"}, {"password": "manga"}
LOCKED = LinkSnapshot(link_id=50, url=URL, state="locked", password_hash=HASH)
OVER, BRAZIL = "https://shop.example/over", "https://shop.example/br"


@pytest.fixture(autouse=True)
def secret(publisher: Publisher, app: Quart) -> None:
    """A link behind a password, in a minute that does not end."""
    publisher.link("secret", LOCKED)
    service_of(app)._passwords._clock = lambda: 1_764_230_400.0


async def post(
    client: Client, form: dict[str, str], path: str = "/secret", *, ip: str = "203.0.113.9", **headers: str
) -> Response:
    """What the form sends, from a visitor's own address."""
    body = "&".join(f"{name}={quote(value)}" for name, value in form.items())
    return await client.post(
        path,
        data=body,
        headers={**BROWSER, "content-type": "application/x-www-form-urlencoded", **headers},
        scope_base={"client": (ip, 4711)},
    )


async def kept(publisher: Publisher, count: int) -> list[tuple[str, str]]:
    return [(click.method, click.outcome) for click in await publisher.kept(count)]


async def test_it_asks_for_the_password_and_keeps_the_visit(client: Client, publisher: Publisher) -> None:
    answer = await client.get("/secret?utm_source=mail", headers=BROWSER)
    text = await answer.get_data(as_text=True)
    assert answer.status_code == 423
    assert "This link asks for a password" in text and "Casa Aroeira" in text
    assert "not the password" not in text
    assert answer.headers["cache-control"] == "private, no-store"
    assert "location" not in answer.headers and URL not in text
    (click,) = await publisher.kept(1)
    assert (click.link_id, click.outcome, click.door_bot, click.query) == (
        50,
        "locked",
        "",
        "utm_source=mail",
    )
    assert click.landing_utm is None


async def test_it_leads_who_knows_the_password_and_does_not_send_it_on(
    client: Client, publisher: Publisher
) -> None:
    publisher.link("secret", LinkSnapshot(link_id=50, url=URL, status=307, password_hash=HASH))
    answer = await post(client, RIGHT, "/secret?utm_source=mail&s=flyer")
    assert answer.status_code == 303
    assert sorted((name.lower(), value) for name, value in answer.headers.items()) == [
        ("cache-control", "private, no-store"),
        ("content-length", "0"),
        ("location", "https://shop.example/sale?x=%20y&utm_source=mail#top"),
        ("x-robots-tag", "noindex"),
    ]
    assert await answer.get_data() == b""
    (click,) = await publisher.kept(1)
    assert (click.method, click.outcome, click.door_bot) == ("POST", "redirect", "")
    assert (click.link_id, click.path, click.source) == (50, "/secret", "flyer")
    assert click.revision > 0
    assert not any(b"abacaxi" in value for value in map(str.encode, map(str, (click, answer.headers))))


async def test_it_says_that_the_password_was_wrong(client: Client, publisher: Publisher) -> None:
    for form in (WRONG, {"password": ""}, {"password": "x" * 129}, {"other": "abacaxi"}, {}):
        answer = await post(client, form, **{"accept-language": "pt-BR"})
        assert answer.status_code == 423
        assert "A senha não é essa." in await answer.get_data(as_text=True)
        assert answer.headers["cache-control"] == "private, no-store"
    assert await kept(publisher, 5) == [("POST", "locked")] * 5


@pytest.mark.parametrize("typed", ["abacaxi", " abacaxi ", "abac%61xi", "abacaxi+"])
async def test_it_reads_what_browsers_send(client: Client, typed: str) -> None:
    answer = await client.post(
        "/secret",
        data=f"x=1&password={typed}&password=second",
        headers={"content-type": "application/x-www-form-urlencoded; charset=utf-8"},
    )
    assert answer.status_code == 303


async def test_it_reads_no_password_but_the_bodys(client: Client, publisher: Publisher) -> None:
    for path in ("/secret?password=abacaxi", "/secret/abacaxi", "/secret?password=abacaxi#abacaxi"):
        assert (await client.get(path, headers=BROWSER)).status_code in (423, 404)
        assert (await post(client, WRONG, path)).status_code in (423, 405)
    assert {outcome for _, outcome in await kept(publisher, 4)} == {"locked"}


@pytest.mark.parametrize(
    ("content_type", "data", "status"),
    [
        ("application/json", b'{"password":"abacaxi"}', 415),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\n", 415),
        ("text/plain", b"password=abacaxi", 415),
        ("", b"password=abacaxi", 415),
        ("application/x-www-form-urlencoded", b"password=abacaxi&x=" + b"x" * 4096, 413),
        ("application/x-www-form-urlencoded", b"password=\xff\xfe%ff%00", 423),
    ],
)
async def test_it_takes_only_a_small_form(
    client: Client, publisher: Publisher, content_type: str, data: bytes, status: int
) -> None:
    answer = await client.post("/secret", data=data, headers={"content-type": content_type})
    assert answer.status_code == status
    assert "no-store" in answer.headers["cache-control"]
    assert publisher.redis.keys("{rastro}:tries:*") == [] or status == 423


async def test_it_answers_head_and_robots_like_everybody(client: Client, publisher: Publisher) -> None:
    assert (await client.head("/secret", headers=BROWSER)).status_code == 423
    assert (await client.get("/secret", headers={"user-agent": "curl/8.5.0"})).status_code == 423
    clicks = await publisher.kept(2)
    assert {(click.door_bot, click.outcome) for click in clicks} == {("head", "locked"), ("agent", "locked")}


async def test_it_writes_nothing_of_a_visitor_into_the_page(client: Client) -> None:
    answer = await client.get('/secret?x="><script>alert(1)</script>&y=abacaxi', headers=BROWSER)
    again = await post(client, {"password": '"><script>alert(1)</script>'}, "/secret?y=abacaxi")
    for text in (await answer.get_data(as_text=True), await again.get_data(as_text=True)):
        assert "<script" not in text and "abacaxi" not in text and 'method="post">' in text


async def test_it_obeys_time_state_and_rules_behind_the_password(
    client: Client, publisher: Publisher
) -> None:
    rule = Rule(id=3, conditions=(Condition("language", values=("pt",)),), url=BRAZIL)
    publisher.link("ruled", LinkSnapshot(link_id=51, url=URL, rules=(rule,), password_hash=HASH))
    publisher.link(
        "over", LinkSnapshot(link_id=52, url=URL, expires_ms=1, fallback_url=OVER, password_hash=HASH)
    )
    publisher.link("soon", LinkSnapshot(link_id=53, url=URL, starts_ms=2**52, password_hash=HASH))
    publisher.link("shut", LinkSnapshot(link_id=54, url=URL, state="paused", password_hash=HASH))
    answer = await post(client, RIGHT, "/ruled", **{"accept-language": "pt-BR"})
    assert (answer.status_code, answer.headers["location"]) == (303, BRAZIL)
    answer = await post(client, WRONG, "/over")
    assert (answer.status_code, answer.headers["location"]) == (303, OVER)
    assert [(await post(client, WRONG, path)).status_code for path in ("/soon", "/shut")] == [404, 404]
    clicks = {click.link_id: click for click in await publisher.kept(4)}
    assert [clicks[number].outcome for number in (51, 52, 53, 54)] == [
        "redirect",
        "expired",
        "scheduled",
        "paused",
    ]
    assert clicks[51].rule == 3


async def test_it_keeps_the_links_referrer_policy_and_its_domains_name(
    client: Client, publisher: Publisher
) -> None:
    publisher.domain("go.example", DomainSnapshot(domain_id=1, host="go.example", brand="Padaria"))
    publisher.link("secret", LinkSnapshot(link_id=50, url=URL, no_referrer=True, password_hash=HASH))
    answer = await post(client, RIGHT, host="go.example")
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "Padaria" in await (await post(client, WRONG, host="go.example")).get_data(as_text=True)
    assert (await post(client, RIGHT, host="elsewhere.example")).status_code == 421


async def test_it_stops_an_address_that_guesses_and_lets_others_in(
    client: Client, publisher: Publisher
) -> None:
    """A network of IPv6 is one visitor, who can not use up the tries of all."""
    guesses = [
        (await post(client, WRONG, ip=f"2001:db8::{number}")).status_code
        for number in range(TRIES_OF_ONE + 3)
    ]
    answer = await post(client, RIGHT, ip="2001:db8::ffff")
    assert guesses == [423] * TRIES_OF_ONE + [429] * 3
    assert answer.status_code == 429
    assert 0 < int(answer.headers["retry-after"]) <= 60
    assert answer.headers["cache-control"] == "private, no-store"
    assert "Too many tries" in await answer.get_data(as_text=True)
    assert (await post(client, RIGHT, ip="2001:db8:0:1::1")).status_code == 303
    publisher.link("other", LinkSnapshot(link_id=60, url=URL, password_hash=HASH))
    assert (await post(client, RIGHT, "/other", ip="2001:db8::1")).status_code == 303
    outcomes = await kept(publisher, TRIES_OF_ONE + 2)
    assert sorted(outcomes) == [("POST", "locked")] * TRIES_OF_ONE + [("POST", "redirect")] * 2


async def test_it_redirects_others_while_passwords_wait_and_turns_the_next_away(
    client: Client, app: Quart, publisher: Publisher
) -> None:
    service, gate = service_of(app), threading.Event()
    reached: list[str] = []

    def slow(password_hash: str, password: str) -> bool:
        reached.append(password)
        assert gate.wait(30)
        return True

    service._passwords._verify = slow
    waiting = [asyncio.create_task(post(client, RIGHT, ip=f"192.0.2.{n}")) for n in range(MOST_WAITING + 1)]
    while service._passwords._in_hand <= MOST_WAITING:
        await asyncio.sleep(0.01)
    answer = await post(client, RIGHT)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
    assert "Try again in a moment" in await answer.get_data(as_text=True)
    assert (await client.get("/sale", headers=BROWSER)).status_code == 302
    assert reached == ["abacaxi"]
    gate.set()
    assert {(await one).status_code for one in waiting} == {303}
    assert (await post(client, RIGHT)).status_code == 303
