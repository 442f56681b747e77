"""Alembic's entry: runs on the connection that `core.db.migrate` hands over, inside its transaction and lock.

Migrations are expand/contract: each must work with the release before it. A migration that can not get its lock within
four seconds gives up rather than queue every visitor's statement behind it.
"""

from alembic import context
from sqlalchemy import text

from core.db import conversions, models, tracking, work  # noqa: F401 (their tables register themselves)
from core.db.base import Base

connection = context.config.attributes["connection"]
connection.execute(text("set local lock_timeout = '4s'"))
connection.execute(text("set local statement_timeout = '60s'"))
context.configure(connection=connection, target_metadata=Base.metadata, compare_server_default=False)
with context.begin_transaction():
    context.run_migrations()
