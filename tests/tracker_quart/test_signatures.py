"""Signed postbacks: as shops and networks write signatures, forged, too late, and used twice."""

import asyncio
import base64
import hmac
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from quart import Quart
from quart.typing import TestClientProtocol as Client

from core.contracts import keys
from core.contracts.source_snapshot import TIME_AND_BODY, Signature
from core.domain.networks import Networks
from tests.tracker_quart.conftest import TOKEN, Publisher, source
from tests.tracker_quart.rig import LIMIT_S
from tracker_quart import used_signatures
from tracker_quart.app import service_of
from tracker_quart.contact import Breaker, make_client
from tracker_quart.hits import Hit, read_hit
from tracker_quart.pipeline import Pipeline
from tracker_quart.signatures import judge
from tracker_quart.used_signatures import UsedSignatures

PATH = f"/postback/{TOKEN}"
KEY, OLD_KEY = b"a-secret-of-the-shop", b"the-one-before"
BODY = b'{"id":820982911946154508,"total_price":"398.00"}'
NOW_MS = 1_795_777_777_000
NOW = str(NOW_MS // 1000)


def made(covered: bytes, *, key: bytes = KEY, algorithm: str = "sha256") -> bytes:
    return hmac.new(key, covered, algorithm).digest()


def hit(
    *, method: str = "POST", query: bytes = b"", body: bytes = BODY, headers: Mapping[str, str] | None = None
) -> Hit:
    pairs = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
    return read_hit(
        TOKEN,
        is_pixel=False,
        method=method,
        target=PATH.encode(),
        query=query,
        headers=pairs,
        peer="192.0.2.1",
        proxies=Networks(),
        body=body,
    )


SHOPIFY = Signature((KEY,), "X-Shopify-Hmac-Sha256", encoding="base64")
GITHUB = Signature((KEY,), "X-Hub-Signature-256", prefix="sha256=")
STRIPE = Signature((KEY,), "Stripe-Signature", covers=TIME_AND_BODY, time_header="Stripe-Signature")
STAMPED = Signature((KEY,), "X-Signature", covers=TIME_AND_BODY, time_header="X-Time", tolerance_s=60)
IN_QUERY = Signature((KEY,), "sig")

HEX, BASE64 = made(BODY).hex(), base64.b64encode(made(BODY)).decode()
STRIPED = made(NOW.encode() + b"." + BODY).hex()
QUERIED = made(b"clickid=1&payout=2").hex()


@pytest.mark.parametrize(
    ("signature", "came", "refusal"),
    [
        (SHOPIFY, hit(headers={"X-Shopify-Hmac-Sha256": BASE64}), ""),
        (SHOPIFY, hit(headers={"x-shopify-hmac-sha256": BASE64.rstrip("=")}), ""),
        (SHOPIFY, hit(headers={"X-Shopify-Hmac-Sha256": HEX}), "signature"),
        (SHOPIFY, hit(body=BODY + b" ", headers={"X-Shopify-Hmac-Sha256": BASE64}), "signature"),
        (SHOPIFY, hit(), "signature"),
        (GITHUB, hit(headers={"X-Hub-Signature-256": f"sha256={HEX}"}), ""),
        (GITHUB, hit(headers={"X-Hub-Signature-256": f"sha256={HEX.upper()}"}), ""),
        (GITHUB, hit(headers={"X-Hub-Signature-256": f"sha256={HEX[:-2]}"}), "signature"),
        (GITHUB, hit(headers={"X-Hub-Signature-256": "sha256="}), "signature"),
        (GITHUB, hit(headers={"X-Hub-Signature-256": "sha256=zz"}), "signature"),
        (STRIPE, hit(headers={"Stripe-Signature": f"t={NOW},v1={STRIPED}"}), ""),
        (STRIPE, hit(headers={"Stripe-Signature": f"t={NOW}, v1=00, v1={STRIPED}, v0=11"}), ""),
        (STRIPE, hit(headers={"Stripe-Signature": f"t={NOW}1,v1={STRIPED}"}), "signature"),
        (STRIPE, hit(headers={"Stripe-Signature": f"v1={STRIPED}"}), "signature"),
        (STRIPE, hit(headers={"Stripe-Signature": STRIPED}), "signature"),
        (STAMPED, hit(headers={"X-Signature": STRIPED, "X-Time": NOW}), ""),
        (STAMPED, hit(headers={"X-Signature": STRIPED}), "signature"),
        (replace(STAMPED, covers="body"), hit(headers={"X-Signature": HEX}), "stale"),
        (replace(STAMPED, covers="body"), hit(headers={"X-Signature": HEX, "X-Time": "soon"}), "stale"),
        (replace(STAMPED, covers="body"), hit(headers={"X-Signature": HEX, "X-Time": NOW + "000"}), ""),
        (IN_QUERY, hit(method="GET", body=b"", query=f"clickid=1&sig={QUERIED}&payout=2".encode()), ""),
        (IN_QUERY, hit(method="GET", body=b"", query=f"clickid=1&payout=2&sig={QUERIED}".encode()), ""),
        (
            IN_QUERY,
            hit(method="GET", body=b"", query=f"clickid=1&payout=3&sig={QUERIED}".encode()),
            "signature",
        ),
        (IN_QUERY, hit(query=f"sig={HEX}".encode()), ""),
        (replace(GITHUB, keys=(OLD_KEY, KEY)), hit(headers={"X-Hub-Signature-256": f"sha256={HEX}"}), ""),
        (
            replace(GITHUB, keys=(OLD_KEY,)),
            hit(headers={"X-Hub-Signature-256": f"sha256={HEX}"}),
            "signature",
        ),
        (
            replace(GITHUB, algorithm="sha1", prefix=""),
            hit(headers={"X-Hub-Signature-256": made(BODY, algorithm="sha1").hex()}),
            "",
        ),
        (
            replace(GITHUB, algorithm="sha512", prefix=""),
            hit(headers={"X-Hub-Signature-256": made(BODY, algorithm="sha512").hex()}),
            "",
        ),
        (
            replace(GITHUB, algorithm="md5", prefix=""),
            hit(headers={"X-Hub-Signature-256": made(BODY, algorithm="md5").hex()}),
            "signature",
        ),
        (replace(GITHUB, keys=()), hit(headers={"X-Hub-Signature-256": "sha256="}), "signature"),
    ],
)
def test_it_reads_signatures_as_they_are_written(signature: Signature, came: Hit, refusal: str) -> None:
    assert judge(signature, came, now_ms=NOW_MS).refusal == refusal


@pytest.mark.parametrize(("off_s", "refusal"), [(-61, "stale"), (-60, ""), (60, ""), (61, "stale")])
def test_it_allows_a_clock_to_be_off(off_s: int, refusal: str) -> None:
    stamp = str(NOW_MS // 1000 + off_s)
    headers = {"X-Signature": made(stamp.encode() + b"." + BODY).hex(), "X-Time": stamp}
    assert judge(STAMPED, hit(headers=headers), now_ms=NOW_MS).refusal == refusal


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_it_takes_nothing_that_was_not_signed(written: bytes, body: bytes) -> None:
    for signature in (SHOPIFY, GITHUB, STRIPE, STAMPED, IN_QUERY):
        came = replace(
            hit(body=body),
            headers=[(signature.header.lower().encode(), written), (b"x-time", NOW.encode())],
        )
        assert judge(signature, came, now_ms=NOW_MS).refusal == "signature"


def _signed(*, stamp: str = "", body: bytes = BODY) -> dict[str, Any]:
    stamp = stamp or str(int(time.time()))
    signature = made(stamp.encode() + b"." + body).hex()
    return {"data": body, "headers": {"X-Time": stamp, "X-Signature": signature}}


async def test_it_refuses_a_forged_a_late_and_a_repeated_one(
    app: Quart, client: Client, publisher: Publisher
) -> None:
    publisher.sources(source(signature=STAMPED))
    service_of(app)._sources._snapshots.mark_all_stale()
    first = _signed()
    asked = [
        first,
        {**first, "data": BODY + b" "},
        _signed(stamp=str(int(time.time()) - 3600)),
        first,
        {**first, "headers": {**first["headers"], "X-Signature": first["headers"]["X-Signature"].upper()}},
        _signed(body=b"{}"),
    ]
    statuses = [(await client.post(PATH, **more)).status_code for more in asked]
    assert statuses == [200, 401, 401, 401, 401, 200]
    kept = await publisher.posted(6)
    assert [one.refused for one in kept] == ["", "signature", "stale", "replayed", "replayed", ""]
    assert {one.source_id for one in kept} == {5}
    name = keys.signature(5, bytes.fromhex(first["headers"]["X-Signature"]))
    assert 60 < publisher.redis.ttl(name) <= 120


async def test_it_takes_one_of_ten_that_come_at_once(
    app: Quart, client: Client, publisher: Publisher
) -> None:
    publisher.sources(source(signature=STAMPED))
    service_of(app)._sources._snapshots.mark_all_stale()
    signed = _signed()
    answers = await asyncio.gather(*(client.post(PATH, **signed) for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200, *[401] * 9]
    kept = await publisher.posted(10)
    assert sorted(one.refused for one in kept) == ["", *["replayed"] * 9]


async def test_it_knows_at_one_tracker_what_was_used_at_another(
    app: Quart, client: Client, publisher: Publisher
) -> None:
    publisher.sources(source(signature=STAMPED))
    service_of(app)._sources._snapshots.mark_all_stale()
    signed = _signed()
    mac = bytes.fromhex(signed["headers"]["X-Signature"])
    publisher.redis.set(keys.signature(5, mac), "1")
    assert (await client.post(PATH, **signed)).status_code == 401


async def test_it_hears_a_signature_again_whose_postback_could_not_be_kept(
    app: Quart, client: Client, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher.sources(source(signature=STAMPED))
    service_of(app)._sources._snapshots.mark_all_stale()
    signed = _signed()
    with monkeypatch.context() as broken:
        broken.setattr("tracker_quart.receiving.MOST_HELD", 10)
        assert (await client.post(PATH, **signed)).status_code == 503
    assert (await client.post(PATH, **signed)).status_code == 200


async def test_it_keeps_a_signed_one_whose_sender_hangs_up(
    app: Quart, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its signature would count as used, and whoever sends it again would be refused."""
    publisher.sources(source(signature=STAMPED))
    service_of(app)._sources._snapshots.mark_all_stale()
    asked, go_on = asyncio.Event(), asyncio.Event()
    claim = UsedSignatures.claim

    async def slowly(used: UsedSignatures, name: str, *, lasts_s: int) -> bool:
        asked.set()
        await go_on.wait()
        return await claim(used, name, lasts_s=lasts_s)

    monkeypatch.setattr(UsedSignatures, "claim", slowly)
    receiving = asyncio.create_task(service_of(app).receiver.receive(hit(headers=_signed()["headers"])))
    await asyncio.wait_for(asked.wait(), LIMIT_S)
    receiving.cancel()
    await asyncio.wait([receiving])
    assert receiving.cancelled()
    go_on.set()
    assert [one.refused for one in await publisher.posted(1)] == [""]


@pytest.fixture
async def pipeline(redis_url: str, publisher: Publisher) -> AsyncIterator[Pipeline]:
    client = make_client(redis_url)
    pipeline = Pipeline(client, patience=LIMIT_S)
    yield pipeline
    pipeline.close()
    await client.aclose()


async def test_it_takes_a_signature_again_that_was_claimed_by_a_tracker_that_died(
    pipeline: Pipeline, publisher: Publisher
) -> None:
    name = keys.signature(5, b"mac")
    died, other = (UsedSignatures(pipeline, Breaker("test")) for _ in range(2))
    assert await died.claim(name, lasts_s=600)
    assert not await other.claim(name, lasts_s=600)
    assert 0 < publisher.redis.ttl(name) <= used_signatures.CLAIM_S
    publisher.redis.delete(name)  # its time is over
    third = UsedSignatures(pipeline, Breaker("test"))
    assert await third.claim(name, lasts_s=600)


async def test_it_takes_a_signature_that_another_tracker_let_go(
    pipeline: Pipeline, publisher: Publisher
) -> None:
    name, now = keys.signature(5, b"released"), 100.0
    held = UsedSignatures(pipeline, Breaker("test"))
    other = UsedSignatures(pipeline, Breaker("test"), clock=lambda: now)
    assert await held.claim(name, lasts_s=600)
    assert not await other.claim(name, lasts_s=600)
    publisher.redis.delete(name)  # as `release` does, where the postback could not be kept
    now += used_signatures.CLAIM_S
    assert await other.claim(name, lasts_s=600)


async def test_it_remembers_by_itself_while_redis_is_away_and_not_for_ever() -> None:
    client = make_client("unix:///nowhere/valkey.sock")
    now = 100.0
    used = UsedSignatures(Pipeline(client, patience=LIMIT_S), Breaker("test"), clock=lambda: now)
    assert await used.claim("a", lasts_s=60)
    assert not await used.claim("a", lasts_s=60)
    now = 161.0
    assert await used.claim("a", lasts_s=60)
    used.release("a")
    assert await used.claim("a", lasts_s=60)
    await client.aclose()


async def test_it_remembers_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(used_signatures, "LIMIT", 10)
    client = make_client("unix:///nowhere/valkey.sock")
    used = UsedSignatures(Pipeline(client, patience=LIMIT_S), Breaker("test"))
    for number in range(100):
        assert await used.claim(str(number), lasts_s=60)
    assert len(used._until) <= 10
    assert not await used.claim("99", lasts_s=60)
    await client.aclose()
