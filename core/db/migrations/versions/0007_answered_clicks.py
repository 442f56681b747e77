"""The books know how many clicks the trackers say they have answered.

The column has a constant default, so that no row is rewritten and the release before goes on writing.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "books", sa.Column("answered", sa.BigInteger(), server_default=sa.text("0"), nullable=False)
    )
