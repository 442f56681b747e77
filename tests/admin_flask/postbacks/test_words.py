"""Every verdict, reason, problem and note has words."""

import pytest
from flask import Flask

from admin_flask.postbacks.words import (
    MARKS,
    TONES,
    problem_words,
    verdict_title,
    verdict_word,
    why_words,
)
from admin_flask.words import field_word, note_word
from core.domain import click_ref
from core.domain.conversions import REASONS, VERDICTS
from core.domain.parameters import TOO_MANY, UNKNOWN_BODY
from core.domain.reading import NOTES, UNREADABLE
from core.domain.sources import FIELDS

PROBLEMS = (*UNREADABLE, TOO_MANY, UNKNOWN_BODY, click_ref.EMPTY, click_ref.MACRO, click_ref.BAD)


@pytest.mark.parametrize("code", REASONS)
def test_it_has_words_for_every_reason(app: Flask, code: str) -> None:
    with app.test_request_context():
        bare, full = why_words({"code": code}), why_words({"code": code, "value": "pago", "days": 30})
    for words in (bare, full):
        assert words.endswith((".", "?"))
        assert not words.startswith("Reason:")


def test_it_shows_the_facts_of_a_reason(app: Flask) -> None:
    with app.test_request_context():
        assert "“pago”" in why_words({"code": "unknown_status", "value": "pago"})
        assert "{clickid}" in why_words({"code": "literal_macro", "value": "{clickid}"})
        assert "30 days" in why_words({"code": "outside_window", "days": 30})
        moved = {"code": "transition", "from": "pending", "to": "approved"}
        assert why_words(moved) == "The status went from pending to approved."


def test_it_shows_a_code_of_a_newer_release_as_it_is(app: Flask) -> None:
    with app.test_request_context():
        assert why_words({"code": "moon_phase"}) == "Reason: moon_phase."
        assert why_words({}) == ""


@pytest.mark.parametrize("code", PROBLEMS)
def test_it_has_words_for_every_problem(app: Flask, code: str) -> None:
    with app.test_request_context():
        assert problem_words(code, "12,34,56") != code


def test_it_has_words_for_the_rest(app: Flask) -> None:
    with app.test_request_context():
        for verdict in VERDICTS:
            assert verdict_word(verdict)
            assert verdict_title(verdict, {}, amount="R$1.00", title="TV").endswith(".")
            assert MARKS[verdict] in TONES
        assert [note for note in NOTES if note_word(note) == note] == ["rounded"]
        assert [field for field in FIELDS if field_word(field) == field] == []
