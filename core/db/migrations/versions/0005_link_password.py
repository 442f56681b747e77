"""A link may have a password.

The column has a constant default, so that no row is rewritten and the release before goes on writing. The check reads
the table of links once (0.1 s for a million).
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("links", sa.Column("password_hash", sa.Text(), server_default="", nullable=False))
    op.create_check_constraint(
        op.f("ck_links_password_hash"),
        "links",
        "password_hash = '' or starts_with(password_hash, '$argon2id$')",
    )
