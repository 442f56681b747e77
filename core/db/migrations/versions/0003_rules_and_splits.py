"""Rules and weighted splits of links, and which of them led a click."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("links", sa.Column("split_key", sa.LargeBinary(), nullable=True))
    op.create_table(
        "link_rules",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("link_id", sa.BigInteger(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=True),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("conditions", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("url", sa.Text(), server_default="", nullable=False),
        sa.CheckConstraint("position >= 0", name=op.f("ck_link_rules_position")),
        sa.ForeignKeyConstraint(
            ["link_id"], ["links.id"], name=op.f("fk_link_rules_link_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_link_rules")),
    )
    op.create_index(op.f("ix_link_rules_link_id"), "link_rules", ["link_id"], unique=False)
    op.create_table(
        "link_variants",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("link_id", sa.BigInteger(), nullable=True),
        sa.Column("rule_id", sa.BigInteger(), nullable=True),
        sa.Column("position", sa.Integer(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("weight", sa.Integer(), nullable=False),
        sa.CheckConstraint("num_nonnulls(link_id, rule_id) = 1", name=op.f("ck_link_variants_one_owner")),
        sa.CheckConstraint("position >= 0", name=op.f("ck_link_variants_position")),
        sa.CheckConstraint("weight between 1 and 10000", name=op.f("ck_link_variants_weight")),
        sa.ForeignKeyConstraint(
            ["link_id"], ["links.id"], name=op.f("fk_link_variants_link_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["rule_id"], ["link_rules.id"], name=op.f("fk_link_variants_rule_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_link_variants")),
    )
    op.create_index(op.f("ix_link_variants_link_id"), "link_variants", ["link_id"], unique=False)
    op.create_index(op.f("ix_link_variants_rule_id"), "link_variants", ["rule_id"], unique=False)
    for name in ("rule", "variant"):
        op.add_column("clicks", sa.Column(name, sa.Integer(), server_default=sa.text("0"), nullable=False))
