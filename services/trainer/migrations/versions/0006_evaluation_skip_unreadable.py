"""Evaluations that leave out what cannot be read."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    column = sa.Column("skip_unreadable", sa.Boolean, nullable=False, server_default=sa.false())
    op.add_column("evaluations", column)


def downgrade() -> None:
    op.drop_column("evaluations", "skip_unreadable")
