"""Links have addresses that open an app on iOS and on Android.

Constant defaults: no row is rewritten, and the release before goes on writing.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("ios_url", "android_url"):
        op.add_column("links", sa.Column(name, sa.Text(), server_default="", nullable=False))
