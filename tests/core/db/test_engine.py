"""Engines: what their errors say."""

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError


def test_its_errors_do_not_show_what_was_sent(engine: Engine) -> None:
    with engine.connect() as connection, pytest.raises(DBAPIError) as failed:
        connection.execute(text("select 1 / (length(:secret) - 12)"), {"secret": "a-pass-phrase"[:12]})
    assert "a-pass" not in str(failed.value)
