"""A span for each statement, inside of a request or a task: what is done to which table. No statement, no values."""

import re
from typing import Any

from sqlalchemy import Engine, event

from core import traces

_SUMMARY = re.compile(r"\b(?:from|into|update|table)\s+(?:only\s+)?\"?([a-z_][a-z0-9_.]*)", re.IGNORECASE)
_WORD = re.compile(r"\s*([a-z]+)\b", re.IGNORECASE)
_BEGUN = "rastro_span"


def trace_statements(engine: Engine) -> None:
    """Span what `engine` does from now on. Nothing is added where traces are off."""
    if traces.is_on():
        event.listen(engine, "before_cursor_execute", _begin)
        event.listen(engine, "after_cursor_execute", _end)
        event.listen(engine, "handle_error", _fail)


def summary(statement: str) -> str:
    """A statement's first word and its first table, such as "SELECT links"."""
    word, table = _WORD.match(statement), _SUMMARY.search(statement)
    return " ".join(found for found in (word and word[1].upper(), table and table[1]) if found)


def _begin(
    connection: Any, cursor: object, statement: str, parameters: object, context: Any, executemany: bool
) -> None:
    if context is not None:
        name = summary(statement)
        facts = {"db.system.name": "postgresql", "db.query.summary": name}
        setattr(context, _BEGUN, traces.part(name, facts=facts))


def _end(
    connection: Any, cursor: object, statement: str, parameters: object, context: Any, executemany: bool
) -> None:
    traces.part_done(getattr(context, _BEGUN, None))


def _fail(failure: Any) -> None:
    traces.part_done(getattr(failure.execution_context, _BEGUN, None), failure.original_exception)
