"""A conversion's life as networks and shops bring it about: a click, its postback, nine more of the same, a refund, and
those who are told of it."""

import http.client
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from core.db.engine import make_engine
from core.services.actor import COMMAND
from core.services.webhooks import WebhookFields, create_webhook
from tests.e2e.conftest import PERSON
from tests.ops.conftest import Up
from tests.tasks.receiver import Receiver, receiving


@pytest.fixture
def shop() -> Iterator[Receiver]:
    """Where links lead to, and who is told of conversions."""
    with receiving() as one:
        yield one


@pytest.fixture
def engine(site: Up) -> Iterator[Engine]:
    engine = make_engine(site.ready["database_url"])
    yield engine
    engine.dispose()


def ask(url: str, *, method: str = "GET", body: str = "", **headers: str) -> tuple[int, Any, bytes]:
    """Status, headers and body of an answer."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=30)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, target, body=body or None, headers=named)
    answer = connection.getresponse()
    found = answer.status, answer.headers, answer.read()
    connection.close()
    return found


def conversions(engine: Engine, transaction: str) -> list[dict[str, Any]]:
    """All of a transaction."""
    asked = text("select * from conversions where transaction_id = :transaction order by id")
    with engine.connect() as connection:
        return [dict(row) for row in connection.execute(asked, {"transaction": transaction}).mappings()]


def judged(engine: Engine) -> list[str]:
    """Verdicts on all postbacks, in the order of receipt."""
    with engine.connect() as connection:
        return list(connection.scalars(text("select verdict from postbacks order by id")))


def test_it_lives_its_life(site: Up, shop: Receiver, engine: Engine) -> None:
    key = site.run("key", "create", "--name", "life", "--role", "marketer").stdout.strip()
    status, _, made = ask(
        f"{site.ready['admin_url']}/api/v1/links",
        method="POST",
        body=json.dumps({"url": f"{shop.url}/tv", "slug": "tv", "click_id_param": "clickid"}),
        Authorization=f"Bearer {key}",
        Content_Type="application/json",
    )
    assert status == 201, made
    link = json.loads(made)
    source = site.run("source", "create", "--name", "Loja online")
    assert (source.returncode, source.stderr) == (0, "")
    postback = source.stdout.strip().partition("?")[0]
    assert re.search(r"/postback/pb_[a-z2-7]{26}$", postback)
    with Session(engine) as session:
        create_webhook(
            session,
            fields=WebhookFields(
                name="Ads",
                url=f"{shop.url}/told?click={{click_id}}&value={{amount}}&currency={{currency}}&status={{status}}",
                statuses=("approved", "refunded"),
            ),
            actor=COMMAND,
            now=datetime.now(UTC),
        )

    status, headers, _ = ask(f"{link['short_url']}?utm_source=news", User_Agent=PERSON)
    assert status == 302
    (click_id,) = parse_qs(urlsplit(headers["Location"]).query)["clickid"]

    before = len(judged(engine))
    sale = {"click_id": click_id, "transaction_id": "A-1017", "amount": "1.299,90", "currency": "BRL"}
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: ask(f"{postback}?{urlencode(sale)}"), range(10)))
    assert {(status, body) for status, _, body in answers} == {(200, b"OK")}
    site.wait_until(
        lambda: len(judged(engine)) == before + 10 and not {"new", "waiting"} & set(judged(engine))
    )
    assert sorted(judged(engine)[before:]) == ["conversion", *["repeated"] * 9]
    (conversion,) = conversions(engine, "A-1017")
    assert (str(conversion["click_id"]), conversion["link_id"]) == (click_id, link["id"])
    assert (conversion["status"], str(conversion["report_revenue"])) == ("approved", "1299.900000")

    assert ask(f"{postback}?{urlencode({**sale, 'status': 'refunded'})}")[0] == 200
    site.wait_until(lambda: conversions(engine, "A-1017")[0]["status"] == "refunded")
    assert len(conversions(engine, "A-1017")) == 1

    site.wait_until(lambda: shop.paths().count("/told") == 2)
    told = [parse_qs(urlsplit(one.target).query) for one in shop.sent if one.target.startswith("/told")]
    assert [one["status"] for one in told] == [["approved"], ["refunded"]]
    assert all(one["click"] == [click_id] and one["value"] == ["1299.90"] for one in told)

    site.wait_until(lambda: site.run("reconcile").returncode == 0)
    done = site.run("reconcile", "--json")
    assert done.returncode == 0, done.stderr
    books = json.loads(done.stdout)
    assert (books["state"], books["postbacks"]["state"]) == ("balanced", "balanced")
    assert books["postbacks"]["received"] == books["postbacks"]["stored"] == before + 11


def test_it_keeps_what_is_turned_away(site: Up, engine: Engine) -> None:
    before = len(judged(engine))
    tracker = site.ready["tracker_url"]
    assert ask(f"{tracker}/postback/pb_{'a' * 26}?transaction_id=A-66")[0] == 401
    site.wait_until(lambda: judged(engine)[before:] == ["refused"])
    assert conversions(engine, "A-66") == []


def test_it_waits_for_nothing_that_will_never_come(site: Up, engine: Engine) -> None:
    source = site.run("source", "create", "--name", "RedeAfil", "--preset", "keitaro").stdout.strip()
    before = len(judged(engine))
    assert ask(f"{source.partition('?')[0]}?subid={{external_id}}&status=sale&payout=3")[0] == 200
    site.wait_until(lambda: judged(engine)[before:] == ["no_click"])
