"""What crosses a process, byte for byte: every version that was ever written must still be read.

A file of `golden/` is never changed. A new version gets a file of its own.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.contracts import (
    click_event,
    domain_snapshot,
    keys,
    link_snapshot,
    postback_event,
    snapshot,
    source_snapshot,
    task_message,
)
from core.contracts.click_event import ClickEvent
from core.contracts.domain_snapshot import DomainSnapshot
from core.contracts.link_snapshot import GONE, LOCKED, AppLinks, Condition, LinkSnapshot, Rule, Variant
from core.contracts.postback_event import PIXEL, TOKEN, PostbackEvent
from core.contracts.snapshot import NewerSchema, body_of, frame, revision_of
from core.contracts.source_snapshot import TIME_AND_BODY, Signature, SourceSnapshot, SourcesSnapshot, Token
from core.contracts.task_message import TaskMessage

GOLDEN = Path(__file__).parent / "golden"
CLICK_ID = bytes.fromhex("0199e2a7c4007abc8def0123456789ab")
CLICK = ClickEvent(
    id=CLICK_ID,
    link_id=12,
    revision=300,
    outcome="paused",
    door_bot="curl",
    method="HEAD",
    host="go.example.com",
    path="/bf-tv",
    query="utm_source=mail&x=%C3%A9",
    ip="2001:db8::7",
    user_agent="Mozilla/5.0 (é)",
    referrer="https://example.com/",
    language="pt-BR,pt;q=0.9",
    purpose="prefetch",
)

LED = msgspec.structs.replace(CLICK, outcome="redirect", rule=70_000, variant=3)
LINK = LinkSnapshot(
    link_id=12,
    url="https://example.com/a?b=c",
    rules=(
        Rule(
            id=70_000,
            conditions=(
                Condition("country", values=("BR", "PT")),
                Condition("query", is_not=True, name="q", values=("",)),
                Condition("time", values=("22:00-06:00",), zone="America/Sao_Paulo", weekdays=("fri",)),
            ),
            url="https://example.com/br",
        ),
        Rule(
            id=2,
            conditions=(Condition("robot"),),
            split=(Variant(id=3, url="https://a", weight=7), Variant(id=4, url="https://b")),
        ),
    ),
    split=(Variant(id=5, url="https://c", weight=10_000), Variant(id=6, url="https://d")),
    split_key=bytes(range(16)),
)
HASH = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0c2FsdA$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"
WHOLE = msgspec.structs.replace(
    LINK,
    state=GONE,
    starts_ms=-1,
    expires_ms=1764230400000,
    fallback_url="https://example.com/over",
    status=307,
    no_referrer=True,
    pass_query=False,
    click_id_param="subid",
    campaign_id=3,
    campaign="Black Friday",
)

Case = tuple[str, Any, Callable[[Any], bytes], Callable[[bytes], Any]]


def link_bytes(value: LinkSnapshot) -> bytes:
    return link_snapshot.encode(value, revision=0x0102030405060708)


def domain_bytes(value: DomainSnapshot) -> bytes:
    return domain_snapshot.encode(value, revision=258)


def source_bytes(value: SourcesSnapshot) -> bytes:
    return source_snapshot.encode(value, revision=258)


CASES: list[Case] = [
    (
        "postback_event_v1",
        PostbackEvent(
            id=CLICK_ID,
            source_id=7,
            kind=PIXEL,
            method="POST",
            host="go.example.com",
            query="subid=1&x=%C3%A9",
            content_type="application/json",
            body=b'{"a": "\xff"}',
            headers=(("x-shopify-topic", "orders/paid"),),
            ip="2001:db8::7",
            user_agent="shop",
            referrer="https://shop.example/",
            token_hint="pb_ab…4f2c",
            refused=TOKEN,
            status=401,
            size=70_000,
        ),
        postback_event.encode,
        postback_event.decode,
    ),
    ("postback_event_v1_least", PostbackEvent(id=CLICK_ID), postback_event.encode, postback_event.decode),
    (
        "source_snapshot_v1",
        SourcesSnapshot(
            sources=(
                SourceSnapshot(source_id=1, tokens=(Token(hash=bytes(32)),)),
                SourceSnapshot(
                    source_id=2,
                    tokens=(Token(hash=bytes(range(32))), Token(hash=bytes(32), until_ms=1764230400000)),
                    networks=("192.0.2.0/24", "2001:db8::/32"),
                    signature=Signature(
                        keys=(b"new", b"old"),
                        header="x-signature",
                        covers=TIME_AND_BODY,
                        algorithm="sha512",
                        encoding="base64",
                        prefix="v1=",
                        time_header="x-time",
                        tolerance_s=60,
                    ),
                    reply="success=true;",
                    wants_headers=("x-shopify-topic",),
                ),
            )
        ),
        source_bytes,
        source_snapshot.decode,
    ),
    ("source_snapshot_v1_none", SourcesSnapshot(), source_bytes, source_snapshot.decode),
    ("link_snapshot_v1_wide", WHOLE, link_bytes, link_snapshot.decode),
    (
        "link_snapshot_v1_wide_least",
        LinkSnapshot(link_id=1, url="http://a"),
        link_bytes,
        link_snapshot.decode,
    ),
    (
        "link_snapshot_v1_apps",
        LinkSnapshot(
            link_id=12,
            url="https://example.com/a",
            apps=AppLinks(ios="myapp://a/1", android="intent://a/1#Intent;scheme=myapp;end"),
        ),
        link_bytes,
        link_snapshot.decode,
    ),
    ("link_snapshot_v1_wide_tombstone", LinkSnapshot(), link_bytes, link_snapshot.decode),
    (
        "link_snapshot_v1_locked",
        LinkSnapshot(link_id=12, state=LOCKED, url="https://example.com/a", password_hash=HASH),
        link_bytes,
        link_snapshot.decode,
    ),
    (
        "domain_snapshot_v1",
        DomainSnapshot(domain_id=7, host="go.example.com", case_sensitive=True, brand="Padaria é"),
        domain_bytes,
        domain_snapshot.decode,
    ),
    (
        "domain_snapshot_v1_targets",
        DomainSnapshot(
            domain_id=7,
            host="go.example.com",
            root_url="https://example.com/",
            not_found_url="https://example.com/404",
            expired_url="https://example.com/over",
        ),
        domain_bytes,
        domain_snapshot.decode,
    ),
    (
        "domain_snapshot_v1_source",
        DomainSnapshot(domain_id=7, host="go.example.com", source_param=""),
        domain_bytes,
        domain_snapshot.decode,
    ),
    (
        "domain_snapshot_v1_files",
        DomainSnapshot(
            domain_id=7,
            host="go.example.com",
            apple_file=memoryview(b'{"applinks":{}}'),
            android_file=memoryview(b"[]"),
        ),
        domain_bytes,
        domain_snapshot.decode,
    ),
    ("domain_snapshot_v1_tombstone", DomainSnapshot(), domain_bytes, domain_snapshot.decode),
    ("click_event_v1_wide", CLICK, click_event.encode, click_event.decode),
    ("click_event_v1_wide_least", ClickEvent(id=CLICK_ID, link_id=1), click_event.encode, click_event.decode),
    (
        "click_event_v1_source",
        ClickEvent(id=CLICK_ID, link_id=12, source="newsletter é", landing_utm="utm_source=mail"),
        click_event.encode,
        click_event.decode,
    ),
    (
        "link_snapshot_v1_capped",
        LinkSnapshot(link_id=12, url="https://example.com/a", click_cap=70_000),
        link_bytes,
        link_snapshot.decode,
    ),
    (
        "click_event_v1_counts",
        ClickEvent(id=CLICK_ID, link_id=12, cap=70_000),
        click_event.encode,
        click_event.decode,
    ),
    (
        "click_event_v1_capped",
        ClickEvent(id=CLICK_ID, link_id=12, outcome="capped"),
        click_event.encode,
        click_event.decode,
    ),
    (
        "click_event_v1_locked",
        ClickEvent(id=CLICK_ID, link_id=12, outcome="locked", method="POST"),
        click_event.encode,
        click_event.decode,
    ),
    ("click_event_v1_led", LED, click_event.encode, click_event.decode),
    (
        "click_event_v1_app",
        ClickEvent(id=CLICK_ID, link_id=12, app="android"),
        click_event.encode,
        click_event.decode,
    ),
    (
        "task_message_v1",
        TaskMessage(
            id="a1",
            task="publish.link",
            args=(7, "bf-tv", None, True, 1.5),
            attempts=2,
            enqueued_ms=1700000000000,
        ),
        task_message.encode,
        task_message.decode,
    ),
    ("task_message_v1_least", TaskMessage(id="a", task="t"), task_message.encode, task_message.decode),
]

OLDER: list[tuple[str, Any, Callable[[bytes], Any]]] = [
    ("click_event_v1", CLICK, click_event.decode),
    ("click_event_v1_least", ClickEvent(id=CLICK_ID, link_id=1), click_event.decode),
    (
        "link_snapshot_v1",
        LinkSnapshot(link_id=12, url="https://example.com/a?b=c", state=GONE),
        link_snapshot.decode,
    ),
    ("link_snapshot_v1_least", LinkSnapshot(link_id=1, url="http://a"), link_snapshot.decode),
    ("link_snapshot_v1_ruled", LINK, link_snapshot.decode),
    (
        "link_snapshot_v1_window",
        LinkSnapshot(
            link_id=12,
            url="https://example.com/a",
            starts_ms=-1,
            expires_ms=1764230400000,
            fallback_url="https://example.com/over",
            status=307,
            no_referrer=True,
        ),
        link_snapshot.decode,
    ),
    (
        "link_snapshot_v1_query",
        LinkSnapshot(
            link_id=12,
            url="https://example.com/?c={campaign}",
            pass_query=False,
            click_id_param="subid",
            campaign_id=3,
            campaign="Black Friday",
        ),
        link_snapshot.decode,
    ),
    ("link_snapshot_v1_tombstone", LinkSnapshot(), link_snapshot.decode),
]
"""Written before an event or a snapshot had more than 15 fields, with a shorter head."""


@pytest.mark.parametrize(("name", "value", "decode"), OLDER, ids=[case[0] for case in OLDER])
def test_it_reads_the_bytes_of_older_releases(
    name: str, value: object, decode: Callable[[bytes], Any]
) -> None:
    assert decode((GOLDEN / f"{name}.bin").read_bytes()) == value


@pytest.mark.parametrize(("name", "value", "encode", "decode"), CASES, ids=[case[0] for case in CASES])
def test_it_writes_and_reads_the_golden_bytes(
    name: str, value: object, encode: Callable[[Any], bytes], decode: Callable[[bytes], Any]
) -> None:
    golden = (GOLDEN / f"{name}.bin").read_bytes()
    assert encode(value) == golden
    assert decode(golden) == value


def test_it_has_no_golden_file_without_a_test() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == {case[0] for case in (*CASES, *OLDER)}


@pytest.mark.parametrize(
    ("value", "framed", "decode"),
    [
        (LinkSnapshot(link_id=12, url="https://a"), True, link_snapshot.decode),
        (DomainSnapshot(domain_id=7, host="a"), True, domain_snapshot.decode),
        (CLICK, False, click_event.decode),
        (TaskMessage(id="a", task="t"), False, task_message.decode),
    ],
)
def test_it_ignores_fields_of_later_releases(
    value: object, framed: bool, decode: Callable[[bytes], Any]
) -> None:
    fields = msgspec.msgpack.decode(msgspec.msgpack.encode(value))
    later = msgspec.msgpack.encode({"zz_later": {"a": [1, None]}, **fields, "zz_last": b"x"})
    assert decode(frame(9, later) if framed else later) == value


@pytest.mark.parametrize("decode", [link_snapshot.decode, domain_snapshot.decode])
def test_it_refuses_a_snapshot_of_a_newer_schema(decode: Callable[[bytes], Any]) -> None:
    with pytest.raises(NewerSchema):
        decode(frame(1, msgspec.msgpack.encode({"i": 1, "v": 2})))


def test_it_writes_its_schema_once_that_is_not_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Defaults are left out; an older program must not take what is left out for its own schema."""
    with monkeypatch.context() as later_release:
        later_release.setattr(snapshot, "SCHEMA", 2)
        written = (link_bytes(LinkSnapshot(link_id=1)), domain_bytes(DomainSnapshot(domain_id=1)))
    for later in written:
        assert msgspec.msgpack.decode(body_of(later))["v"] == 2
        with pytest.raises(NewerSchema):
            link_snapshot.decode(later)


@pytest.mark.parametrize(
    ("data", "decode"),
    [
        (b"", link_snapshot.decode),
        (b"short", link_snapshot.decode),
        (frame(1, b"\xc1"), link_snapshot.decode),
        (frame(1, msgspec.msgpack.encode({"i": "x"})), link_snapshot.decode),
        (frame(1, msgspec.msgpack.encode([1])), domain_snapshot.decode),
        (
            frame(1, msgspec.msgpack.encode({"i": 1, "u": "####"}).replace(b"####", b"\xff##\xff")),
            link_snapshot.decode,
        ),
        (
            frame(1, msgspec.msgpack.encode({"i": 1, "h": "####"}).replace(b"####", b"\xff##\xff")),
            domain_snapshot.decode,
        ),
        (b"\xc1", click_event.decode),
        (click_event.encode(CLICK).replace(b"bf-tv", b"\xff\xfe-tv"), click_event.decode),
        (b"\x81\xa2zz" + b"\x91" * 100_000, click_event.decode),
        (
            task_message.encode(TaskMessage(id="a", task="####")).replace(b"####", b"\xff##\xff"),
            task_message.decode,
        ),
        (msgspec.msgpack.encode({"l": 1}), click_event.decode),
        (msgspec.msgpack.encode({"i": b"short", "l": 1}), click_event.decode),
        (msgspec.msgpack.encode({"i": CLICK_ID, "l": "x"}), click_event.decode),
        (b"", task_message.decode),
        (msgspec.msgpack.encode({"id": "a"}), task_message.decode),
        (msgspec.msgpack.encode({"id": "a", "task": "t", "args": [{}]}), task_message.decode),
    ],
)
def test_it_says_when_bytes_are_none_of_ours(data: bytes, decode: Callable[[bytes], Any]) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode(data)


def test_it_reads_the_time_and_hour_of_a_click() -> None:
    assert CLICK.unix_ms == 0x0199E2A7C400
    assert CLICK.at.isoformat() == "2025-10-14T12:17:49.568000+00:00"
    assert click_event.hour_name(CLICK.unix_ms) == "2025101412"


def test_it_orders_revisions_as_plain_bytes() -> None:
    frames = [frame(revision, b"x") for revision in (0, 1, 255, 256, 2**32, 2**63 - 1)]
    assert frames == sorted(frames)
    assert [revision_of(framed) for framed in frames] == [0, 1, 255, 256, 2**32, 2**63 - 1]


@pytest.mark.parametrize(("domain_id", "slug_key"), [(1, "a"), (22, "bücher"), (3, "a:b:c"), (4, "")])
def test_it_reads_names_back(domain_id: int, slug_key: str) -> None:
    assert keys.link_of(keys.link(domain_id, slug_key).encode()) == (domain_id, slug_key)
    assert keys.host_of(keys.domain("127.0.0.1:8080").encode()) == "127.0.0.1:8080"
    assert keys.host_of(keys.domain("[::1]:80").encode()) == "[::1]:80"
