"""Boxes of captures and of version items; what a version is for. Present versions are for classification."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("captures", "version_items"):
        op.add_column(table, sa.Column("boxes", sa.JSON(), nullable=False, server_default=sa.text("'[]'")))
    op.add_column("captures", sa.Column("boxed", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("versions", sa.Column("task", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("versions", sa.Column("background_count", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    op.drop_column("versions", "background_count")
    op.drop_column("versions", "task")
    op.drop_column("captures", "boxed")
    for table in ("version_items", "captures"):
        op.drop_column(table, "boxes")
