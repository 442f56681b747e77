"""Bring a database to this release's schema: Alembic, one migrator at a time."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

from core.db.engine import make_engine

_LOCK = 0x52617374726F  # "Rastro": two migrators wait for one another
_HERE = Path(__file__).resolve().parent


def migrate(database_url: str) -> str:
    """Run every migration that is missing and return the revision reached.

    Holds a transaction-scoped advisory lock (so that it works behind PgBouncer); a second migrator waits and then
    finds nothing to do. All migrations of one call commit together or not at all.
    """
    engine = make_engine(database_url)
    try:
        with engine.begin() as connection:
            connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            return current_revision(connection) or ""
    finally:
        engine.dispose()


def current_revision(connection: Connection) -> str | None:
    """The revision that the database is at; None for an empty database."""
    return MigrationContext.configure(connection).get_current_revision()


def head_revision() -> str:
    """The revision that this release wants."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


def revisions() -> tuple[str, ...]:
    """Every revision that this release knows."""
    return tuple(script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions())


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_HERE / "migrations"))
    return config
