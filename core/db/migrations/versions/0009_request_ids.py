"""The id of the request that a task belongs to goes with it through the outbox.

A constant default, so that no row is rewritten and the release before goes on writing.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("outbox", sa.Column("request", sa.Text(), server_default="", nullable=False))
