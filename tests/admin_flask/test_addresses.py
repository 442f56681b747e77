"""`next` leads nowhere but here, and static files carry their hash."""

import pytest
from flask import Flask

from admin_flask.addresses import local_path, static_url, url_with


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/links", "/links"),
        ("/links?q=a%20b&page=2", "/links?q=a%20b&page=2"),
        ("/links/é", "/links/%C3%A9"),
        (None, None),
        ("", None),
        ("links", None),
        ("//evil.example/x", None),
        ("/\\evil.example", None),
        ("/a\\..\\b", None),
        ("https://evil.example", None),
        ("javascript:alert(1)", None),
        ("/a\nSet-Cookie: b", None),
        ("/" + "a" * 3000, None),
    ],
)
def test_it_follows_only_paths_of_this_site(text: str | None, expected: str | None) -> None:
    assert local_path(text) == expected


def test_it_puts_the_hash_of_a_file_in_its_address(app: Flask) -> None:
    with app.test_request_context("/"):
        assert static_url("app.js").startswith("/static/app.js?v=")


def test_it_changes_one_filter_and_starts_paging_anew(app: Flask) -> None:
    with app.test_request_context("/settings/domains?q=tv&tag=a&tag=b&page=7"):
        assert url_with(q=None) == "/settings/domains?tag=a&tag=b"
        assert url_with(page=8) == "/settings/domains?q=tv&tag=a&tag=b&page=8"


@pytest.mark.parametrize("name", ["endpoint", "_external", "_scheme", "_anchor", "_method", "self"])
def test_it_takes_names_in_the_query_for_nothing_but_names(app: Flask, name: str) -> None:
    with app.test_request_context(f"/settings/domains?{name}=javascript"):
        assert url_with(q="a b") == f"/settings/domains?{name}=javascript&q=a+b"
