"""The migrations make the schema that the models describe."""

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine

from core.db import conversions, models, tracking, work  # noqa: F401 (their tables register themselves)
from core.db.base import Base
from core.db.migrate import current_revision, head_revision, migrate


def test_it_reaches_the_head_and_a_second_run_changes_nothing(engine: Engine) -> None:
    url = engine.url.render_as_string(hide_password=False)
    assert migrate(url) == head_revision()
    with engine.connect() as connection:
        assert current_revision(connection) == head_revision()


def test_it_makes_what_the_models_say(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_object": lambda obj, name, kind, *rest: not _is_partition(name)}
        )
        assert compare_metadata(context, Base.metadata) == []


def _is_partition(name: str | None) -> bool:
    return bool(name) and str(name).startswith("clicks_")
