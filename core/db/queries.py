"""SQL by name: the statements that are long enough to have a file of their own, in `core/db/sql/`."""

from functools import cache
from importlib.resources import files

from sqlalchemy import TextClause, text


@cache
def query(name: str) -> TextClause:
    """The statement of `sql/NAME.sql`; its parameters are written `:name` and always bound."""
    return text(files("core.db").joinpath("sql", f"{name}.sql").read_text(encoding="utf-8"))
