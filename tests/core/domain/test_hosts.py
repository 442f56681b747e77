"""Hosts for short links: what is typed, and the one spelling that is stored."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.domain.hosts import HostRefused, check_host, is_loopback


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("go.example.com", "go.example.com"),
        ("  GO.Example.COM. ", "go.example.com"),
        ("go", "go"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("localhost:8080", "localhost:8080"),
        ("127.0.0.1:8080", "127.0.0.1:8080"),
        ("[::1]:8080", "[::1]:8080"),
        ("[0:0:0:0:0:0:0:1]", "[::1]"),
        ("192.168.1.5:8080", "192.168.1.5:8080"),
        ("192.0.2.1", "192.0.2.1"),
    ],
)
def test_it_has_one_spelling_for_a_host(typed: str, stored: str) -> None:
    assert check_host(typed) == stored
    assert check_host(stored) == stored


@pytest.mark.parametrize(
    ("typed", "reason"),
    [
        ("", "empty"),
        (".", "empty"),
        ("https://go.example.com", "scheme"),
        ("go.example.com/x", "path"),
        ("go.example.com?x", "path"),
        ("u@go.example.com", "path"),
        ("go.example.com:8080", "port"),
        ("go.example.com:", "port"),
        ("localhost:99999", "port"),
        ("go example.com", "host"),
        ("go..example.com", "host"),
        ("*", "host"),
        ("go*.example.com", "host"),
        ("-go.example.com", "host"),
        ("①.example", "look_alike"),
        ("1.2.3", "number"),
        ("2130706433", "number"),
        ("x" * 64 + ".example", "length"),
        (".".join(["x" * 60] * 5), "length"),
    ],
)
def test_it_refuses_what_is_no_host(typed: str, reason: str) -> None:
    with pytest.raises(HostRefused) as refused:
        check_host(typed)
    assert refused.value.reason == reason


@given(st.text(max_size=60))
def test_it_takes_or_refuses_any_text(text: str) -> None:
    try:
        host = check_host(text)
    except HostRefused:
        return
    assert check_host(host) == host
    assert host.isascii() and host == host.lower()


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("localhost", True),
        ("app.localhost", True),
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("0.0.0.0", True),
        ("[::1]", True),
        ("[::ffff:127.0.0.1]", True),
        ("192.168.1.5", False),
        ("go.example.com", False),
        ("localhost.example.com", False),
    ],
)
def test_it_knows_this_machine(host: str, here: bool) -> None:
    assert is_loopback(host) is here
