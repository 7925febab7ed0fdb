"""Notes, without their parents."""

import sqlalchemy as sa
from alembic import op

from services.common.database import UtcDateTime

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "notes",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("text", sa.String(1_000_000), nullable=False, unique=True),
        sa.Column("made_at", UtcDateTime(), nullable=True),
    )
