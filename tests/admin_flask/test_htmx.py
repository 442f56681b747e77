"""One view gives the page and its fragment."""

from collections.abc import Callable

import pytest
from flask import Flask, Response

from admin_flask.access import open_to_all
from admin_flask.htmx import hx_redirect, is_htmx, page_or_block
from admin_flask.toasts import say
from tests.admin_flask.browser import Browser


@pytest.fixture
def page(app: Flask, browser: Browser) -> Callable[..., Response]:
    """Ask for a page that says something, with other headers each time."""

    @open_to_all
    def view() -> Response:
        say("3 links archived.", undo="/links/undo", fields={"ids": "1,2"})
        return page_or_block("settings/new_domain.html", "title", status=422)

    @open_to_all
    def leave() -> Response:
        return hx_redirect("/account")

    app.add_url_rule("/a-page", "a_page", view)
    app.add_url_rule("/a-way", "a_way", leave)
    return browser.get


def test_it_gives_htmx_the_block_and_the_toast(page: Callable[..., Response]) -> None:
    answer = page("/a-page", htmx=True)
    assert answer.status_code == 422
    assert answer.get_data(as_text=True).startswith("Add a domain")
    text = answer.get_data(as_text=True)
    assert 'hx-swap-oob="true"' in text
    assert "3 links archived." in text
    assert 'action="/links/undo"' in text
    assert 'name="ids" value="1,2"' in text
    assert "<html" not in text
    assert "HX-Request" in answer.vary


def test_it_leaves_by_a_header_or_by_303(page: Callable[..., Response]) -> None:
    by_htmx, plain = page("/a-way", htmx=True), page("/a-way")
    assert (by_htmx.status_code, by_htmx.headers["HX-Redirect"]) == (204, "/account")
    assert (plain.status_code, plain.headers["Location"]) == (303, "/account")


@pytest.mark.parametrize(
    ("headers", "fragment"),
    [
        ({}, False),
        ({"HX-Request": "true"}, True),
        ({"HX-Request": "true", "HX-Boosted": "true"}, False),
        ({"HX-Request": "true", "HX-History-Restore-Request": "true"}, False),
    ],
)
def test_it_knows_who_wants_a_fragment(app: Flask, headers: dict[str, str], fragment: bool) -> None:
    with app.test_request_context("/", headers=headers):
        assert is_htmx() is fragment
