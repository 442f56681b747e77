"""Links have a window, a fallback, a status, rules for their query; domains have targets and files; clicks a source.

Every column has a constant default, so that no row is rewritten and the release before goes on writing. The checks
read the table of links once (0.1 s for a million).
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("root_url", "not_found_url", "expired_url"):
        op.add_column("domains", sa.Column(name, sa.Text(), server_default="", nullable=False))
    for name in ("apple_app_site_association", "assetlinks"):
        op.add_column("domains", sa.Column(name, postgresql.JSONB(), nullable=True))
    op.add_column("domains", sa.Column("source_param", sa.Text(), server_default="s", nullable=False))
    op.add_column("clicks", sa.Column("source", sa.Integer(), server_default=sa.text("0"), nullable=False))
    for column in (
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("fallback_url", sa.Text(), server_default="", nullable=False),
        sa.Column("redirect_status", sa.SmallInteger(), server_default=sa.text("302"), nullable=False),
        sa.Column("no_referrer", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("pass_query", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("click_id_param", sa.Text(), server_default="", nullable=False),
    ):
        op.add_column("links", column)
    for name, rule in (
        ("window", "starts_at < expires_at"),
        ("redirect_status", "redirect_status in (302, 307)"),
    ):
        op.create_check_constraint(op.f(f"ck_links_{name}"), "links", rule)
