"""Ids of texts: the same ones for everybody, and no more memory than was allowed."""

import pytest
from sqlalchemy import Engine

from core.db.dictionaries import DictionaryIds
from tests.core.db.samples import rows

pytestmark = pytest.mark.usefixtures("clean_database")


def test_it_gives_every_worker_the_same_ids(engine: Engine) -> None:
    first = DictionaryIds(engine).ids_of("referrer", ["a", "", "b", "a"])
    assert first == DictionaryIds(engine).ids_of("referrer", ["a", "", "b", "a"])
    assert (first[1], first[0] == first[3], first[0] != first[2]) == (0, True, True)


def test_it_holds_no_more_bytes_than_it_may(engine: Engine) -> None:
    """However long the texts are, and gives the same ids for what it has forgotten."""
    ids = DictionaryIds(engine, most_held=20_000)
    texts = [f"{number:0500}" for number in range(300)]
    given = [ids.ids_of("user_agent", texts[start : start + 20]) for start in range(0, 300, 20)]
    assert [ids.ids_of("user_agent", texts[start : start + 20]) for start in range(0, 300, 20)] == given
    held = [key[1] for generation in (ids._young, ids._old) for key in generation]
    assert 0 < sum(map(len, held)) <= 2 * 20_000
    assert rows(engine, "select count(*) from dictionaries") == [(300,)]
