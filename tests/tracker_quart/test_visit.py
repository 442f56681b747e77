"""A request becomes plain, bounded values, whatever a stranger sends."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.networks import Networks, number_of, parse_networks
from tracker_quart.visit import Visit, read_visit, slug_of

Headers = list[tuple[bytes, bytes]]


def read(
    headers: Headers, *, target: bytes = b"/a", query: bytes = b"", proxies: Networks | None = None
) -> Visit:
    return read_visit(
        method="GET",
        target=target,
        query=query,
        headers=headers,
        peer="10.1.1.1",
        proxies=proxies or Networks(),
    )


@pytest.mark.parametrize(
    ("header", "host"),
    [
        (b"Go.Example", "go.example"),
        (b"go.example:80", "go.example"),
        (b"go.example:443", "go.example"),
        (b"go.example:8080", "go.example:8080"),
        (b"go.example.", "go.example"),
        (b"go.example.:80", "go.example"),
        (b"[::1]:80", "[::1]"),
        (b"[::1]", "[::1]"),
        (b"", ""),
        (b"\xff", "\ufffd"),
    ],
)
def test_it_reads_the_host(header: bytes, host: str) -> None:
    assert read([(b"host", header)]).host == host


def test_it_lets_an_absolute_target_win_over_the_host_header() -> None:
    visit = read([(b"host", b"other.example")], target=b"HTTP://go.example:80/sale")
    assert (visit.host, visit.path) == ("go.example", "/sale")
    assert read([(b"host", b"other.example")], target=b"*").path == "/"


def test_it_believes_forwarded_addresses_from_trusted_proxies_alone() -> None:
    headers = [(b"x-forwarded-for", b"198.51.100.1, 203.0.113.9"), (b"x-forwarded-for", b"10.2.2.2")]
    assert read(headers).ip == "10.1.1.1"
    assert read(headers, proxies=parse_networks("10.0.0.0/8")).ip == "203.0.113.9"
    assert read(headers, proxies=parse_networks("2")).ip == "203.0.113.9"


def test_it_takes_the_first_of_a_repeated_header() -> None:
    assert read([(b"user-agent", b"one"), (b"user-agent", b"two")]).user_agent == "one"


def test_it_joins_what_headers_say_of_the_purpose() -> None:
    visit = read([(b"x-moz", b"prefetch"), (b"sec-purpose", b"prefetch;prerender")])
    assert visit.purpose == "prefetch;prerender;prefetch"


def test_it_bounds_everything() -> None:
    names = [b"host", b"user-agent", b"referer", b"accept-language", b"sec-purpose", b"x-forwarded-for"]
    visit = read(
        [(name, b"\xc3\xa9" * 20_000) for name in names], target=b"/" + b"p" * 9000, query=b"q" * 9000
    )
    assert [len(visit.path), len(visit.query)] == [1024, 4096]
    assert len(visit.host) <= 255
    assert len(visit.user_agent) <= 1024
    assert len(visit.referrer) <= 2048
    assert len(visit.language) <= 256
    assert len(visit.purpose) <= 128


names = st.sampled_from(
    [b"host", b"user-agent", b"referer", b"accept-language", b"x-forwarded-for", b"purpose"]
)


@given(st.lists(st.tuples(names, st.binary())), st.binary(), st.binary())
def test_it_never_raises_and_gives_storable_text(headers: Headers, target: bytes, query: bytes) -> None:
    visit = read(headers, target=target, query=query, proxies=parse_networks("10.0.0.0/8"))
    for name in set(Visit.__struct_fields__) - {"address"}:
        text = getattr(visit, name)
        assert "\0" not in text
        text.encode("utf-8")
    assert visit.address == number_of(visit.ip)
    slug = slug_of(visit.path)
    assert slug is None or ("/" not in slug and slug.isprintable())
