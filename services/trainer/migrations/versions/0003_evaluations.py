"""Evaluations as jobs of their own, and the version of the code that a model was trained with."""

import sqlalchemy as sa
from alembic import op

from services.common.database import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("models", sa.Column("code_version", sa.Text, nullable=False, server_default=sa.text("''")))
    op.create_table(
        "evaluations",
        sa.Column("id", sa.String(12), primary_key=True),
        sa.Column("project_id", sa.String(12), nullable=False),
        sa.Column(
            "model_id", sa.String(12), sa.ForeignKey("models.id", ondelete="CASCADE"), nullable=False, index=True
        ),
        sa.Column("version_id", sa.String(12), nullable=False),
        sa.Column("target", sa.String(32), nullable=False),
        sa.Column("part", sa.String(16), nullable=False),
        sa.Column("confidence", sa.Float, nullable=False),
        sa.Column("state", sa.String(16), nullable=False, index=True),
        sa.Column("progress", sa.Float, nullable=False),
        sa.Column("seconds_left", sa.Float, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("log", sa.JSON, nullable=False),
        sa.Column("summary", sa.JSON, nullable=False),
        sa.Column("answers_key", sa.Text, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("ended_at", UtcDateTime),
    )
    op.create_index("evaluations_newest", "evaluations", ["project_id", "created_at"])


def downgrade() -> None:
    op.drop_table("evaluations")
    op.drop_column("models", "code_version")
