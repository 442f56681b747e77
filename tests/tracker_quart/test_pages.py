"""Visitor pages: small, without script, in the visitor's language, under the domain's name."""

import base64
import hashlib
import re

import pytest

from tracker_quart import pages
from tracker_quart.pages import Pages, chosen_language

KINDS = (
    pages.NOT_FOUND,
    pages.PAUSED,
    pages.GONE,
    pages.SCHEDULED,
    pages.EXPIRED,
    pages.CAPPED,
    pages.UNAVAILABLE,
    pages.WRONG_HOST,
    pages.LOCKED,
    pages.WRONG_PASSWORD,
    pages.TOO_MANY,
    pages.BUSY,
    pages.UNCHECKED,
)


@pytest.fixture(scope="module")
def made() -> Pages:
    return Pages()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("language", ["en", "pt-BR"])
def test_it_is_small_and_allows_only_its_own_style(made: Pages, kind: str, language: str) -> None:
    answer = made.answer(kind, accept_language=language, brand="Casa Aroeira")
    headers = dict(answer.headers)
    text = answer.body.decode("utf-8")
    assert len(answer.body) < 15_000
    assert "<script" not in text
    assert " style=" not in text
    found = re.search(r"<style>(.*?)</style>", text, re.S)
    assert found is not None
    digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
    assert f"'sha256-{digest}'" in headers["content-security-policy"]
    assert headers["cache-control"] == "private, no-store"
    assert headers["content-length"] == str(len(answer.body))
    assert f'<html lang="{language}">' in text
    assert "Casa Aroeira" in text
    assert int(headers.get("retry-after", "1")) > 0 and ("retry-after" in headers) == (
        answer.status in (429, 503)
    )


@pytest.mark.parametrize(
    ("language", "label", "wrong"), [("en", "Password", "not the"), ("pt", "Senha", "não é")]
)
def test_it_asks_for_a_password(made: Pages, language: str, label: str, wrong: str) -> None:
    asks = made.answer(pages.LOCKED, accept_language=language)
    again = made.answer(pages.WRONG_PASSWORD, accept_language=language)
    assert (asks.status, again.status) == (423, 423)
    for text in (asks.body.decode(), again.body.decode()):
        assert '<form method="post">' in text  # to the page's own address, whatever its query
        assert f'<label for="password">{label}</label>' in text
        assert re.search(r'<input [^>]*type="password" autocomplete="current-password"', text)
        assert ('aria-invalid="true"' in text) == (wrong in text) == (text == again.body.decode())


def test_it_lets_only_the_form_be_sent_and_its_redirect_lead_to_any_site(made: Pages) -> None:
    for kind in KINDS:
        headers = dict(made.answer(kind, accept_language="").headers)
        sent_to = "http: https:" if kind in (pages.LOCKED, pages.WRONG_PASSWORD) else "'none'"
        assert headers["content-security-policy"].endswith(f"; form-action {sent_to}")


def test_it_escapes_the_name_and_leaves_no_gap_without_one(made: Pages) -> None:
    named = made.answer(pages.GONE, accept_language="", brand="<b>A & B</b>").body.decode()
    assert "&lt;b&gt;A &amp; B&lt;/b&gt;" in named
    nameless = made.answer(pages.GONE, accept_language="").body.decode()
    assert 'class="brand"' not in nameless
    assert "\ufffc" not in named + nameless


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("pt-BR,pt;q=0.9,en;q=0.8", "pt"),
        ("en-GB,en;q=0.9,pt;q=0.8", "en"),
        ("en;q=0.5, PT;q=0.9", "pt"),
        ("de, fr;q=0.9", "en"),
        ("de, pt;q=0.1", "pt"),
        ("pt;q=0", "en"),
        ("pt;q=nonsense,;;,=", "en"),
        ("pt;q=nan", "en"),
        ("ptx, enx", "en"),
    ],
)
def test_it_speaks_the_visitors_language(header: str, language: str) -> None:
    assert chosen_language(header) == language
