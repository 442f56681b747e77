"""Engines: what their errors say, and how long a transaction may rest."""

import time

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import DBAPIError

from core.config import Settings
from core.db.engine import make_engine


def test_its_errors_do_not_show_what_was_sent(engine: Engine) -> None:
    with engine.connect() as connection, pytest.raises(DBAPIError) as failed:
        connection.execute(text("select 1 / (length(:secret) - 12)"), {"secret": "a-pass-phrase"[:12]})
    assert "a-pass" not in str(failed.value)


def test_the_server_ends_a_transaction_that_rests_for_longer_than_its_limit(database_url: str) -> None:
    hasty = make_engine(Settings.from_env({"DATABASE_URL": database_url}).database_url, idle_limit=1)
    try:
        with hasty.connect() as connection:
            connection.execute(text("select 1"))
            time.sleep(1.3)
            with pytest.raises(DBAPIError):
                connection.execute(text("select 1"))
            connection.rollback()
            assert connection.scalar(text("show idle_in_transaction_session_timeout")) == "1s"
    finally:
        hasty.dispose()
