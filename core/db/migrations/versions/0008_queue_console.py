"""What the console of the queues needs: words for the schedule, silenced tasks, alerts and whom they go to, and a
record of how the books stood.

The new columns have constant defaults, so that no row is rewritten and the release before goes on writing.
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("schedule", sa.Column("about", sa.Text(), server_default="", nullable=False))
    op.add_column("schedule", sa.Column("every_s", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.create_table(
        "silenced_tasks",
        sa.Column("task", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("task", name=op.f("pk_silenced_tasks")),
    )
    op.create_table(
        "alert_settings",
        sa.Column("id", sa.SmallInteger(), autoincrement=False, server_default=sa.text("1"), nullable=False),
        sa.Column("emails", sa.Text(), server_default="", nullable=False),
        sa.Column("webhook_url", sa.Text(), server_default="", nullable=False),
        sa.Column("long_wait_s", sa.Integer(), server_default=sa.text("60"), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_alert_settings_one_row")),
        sa.CheckConstraint("long_wait_s > 0", name=op.f("ck_alert_settings_wait")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_settings")),
    )
    op.create_table(
        "alerts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.Column("raised_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cleared_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
    )
    op.create_index(
        "uq_alerts_open",
        "alerts",
        ["kind", "subject"],
        unique=True,
        postgresql_where=sa.text("cleared_at is null"),
    )
    op.create_index("ix_alerts_raised", "alerts", [sa.literal_column("raised_at DESC")], unique=False)
    counts = ("answered", "accepted", "stored", "duplicate", "expired", "dead", "waiting", "missing")
    op.create_table(
        "reconciliations",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in counts),
        sa.Column(
            "unbalanced",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'[]'::jsonb"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reconciliations")),
    )
