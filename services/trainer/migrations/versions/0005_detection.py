"""Detectors: what an epoch measures of one, and the anchors of a model."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("job_epochs", sa.Column("detection", sa.JSON, nullable=False, server_default=sa.text("'{}'")))
    op.add_column("models", sa.Column("anchors", sa.JSON, nullable=False, server_default=sa.text("'[]'")))


def downgrade() -> None:
    op.drop_column("models", "anchors")
    op.drop_column("job_epochs", "detection")
