"""Probes, small files, odd methods and targets."""

import asyncio
import json
from dataclasses import replace

import pytest
from quart import Quart
from quart.typing import TestClientProtocol as Client

from core.config import Settings
from tracker_quart.app import create_app, service_of


async def test_it_is_alive_and_ready(client: Client) -> None:
    for host in ("localhost", "192.0.2.1:8080"):  # probes ask by address
        answer = await client.get("/livez", headers={"host": host})
        assert (answer.status_code, await answer.get_data()) == (200, b"alive\n")
        answer = await client.get("/readyz", headers={"host": host})
        assert (answer.status_code, json.loads(await answer.get_data())) == (
            200,
            {"redis": True, "spooled": 0},
        )


async def test_it_is_not_ready_while_it_drains(app: Quart, client: Client) -> None:
    assert "connection" not in (await client.get("/sale")).headers
    service_of(app).begin_drain(hold=1)
    assert (await client.get("/readyz")).status_code == 503
    answer = await client.get("/sale")
    assert (answer.status_code, answer.headers["connection"]) == (302, "close")
    assert (await client.get("/livez")).status_code == 200


async def test_it_is_not_ready_before_it_met_redis(tracker_settings: Settings) -> None:
    app = create_app(replace(tracker_settings, redis_url="unix:///nowhere/valkey.sock", drain_limit=0.0))
    async with app.test_app():
        answer = await app.test_client().get("/readyz")
        assert answer.status_code == 503
        assert json.loads(await answer.get_data())["redis"] is False
        assert (await app.test_client().get("/livez")).status_code == 200
        answer = await app.test_client().get("/sale")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/robots.txt", 200, b"User-agent: *\nDisallow: /\n"),
        ("/favicon.ico", 204, b""),
        ("/apple-touch-icon.png", 204, b""),
        ("/apple-touch-icon-precomposed.png", 204, b""),
    ],
)
async def test_it_answers_small_files_for_any_host(
    client: Client, path: str, status: int, body: bytes
) -> None:
    answer = await client.get(path, headers={"host": "anything.example"})
    assert (answer.status_code, await answer.get_data()) == (status, body)
    assert "max-age=604800" in answer.headers["cache-control"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_it_takes_no_other_method(client: Client, method: str) -> None:
    answer = await client.open("/sale", method=method)
    assert answer.status_code == 405
    others = set() if method == "POST" else {"POST"}  # only a link with a password takes one
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"} | others
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/livez", "/robots.txt", "/", "/unknown", "/sale/more", "/%FF"])
async def test_it_takes_no_post_where_nothing_asks_for_a_password(client: Client, path: str) -> None:
    answer = await client.post(path, form={"password": "x"})
    assert answer.status_code == 405
    assert set(answer.headers["allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


async def test_it_lives_through_targets_that_are_no_path(app: Quart) -> None:
    """What Hypercorn hands on for `GET ?x`, `GET http://localhost/sale` and worse."""
    for raw_path, status in ((b"", 404), (b"http://localhost/sale", 302), (b"http://[x", 421), (b"*", 404)):
        sent: list[dict[str, object]] = []
        inbox: asyncio.Queue[dict[str, object]] = asyncio.Queue()
        inbox.put_nowait({"type": "http.request", "body": b"", "more_body": False})

        async def send(message: dict[str, object], sent: list[dict[str, object]] = sent) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.1"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": raw_path.decode(),
            "raw_path": raw_path,
            "query_string": b"x",
            "root_path": "",
            "headers": [(b"host", b"localhost")],
            "client": ("192.0.2.7", 4711),
            "server": ("127.0.0.1", 80),
            "extensions": {},
            "state": {},
        }
        await app(scope, inbox.get, send)
        assert sent[0]["status"] == status, raw_path
