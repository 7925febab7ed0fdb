"""Jobs, what their epochs measured, models and their converted files."""

import sqlalchemy as sa
from alembic import op

from services.common.database import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(12), primary_key=True),
        sa.Column("project_id", sa.String(12), nullable=False),
        sa.Column("version_id", sa.String(12), nullable=False),
        sa.Column("parameters", sa.JSON, nullable=False),
        sa.Column("state", sa.String(16), nullable=False, index=True),
        sa.Column("stop_requested", sa.Boolean, nullable=False),
        sa.Column("progress", sa.Float, nullable=False),
        sa.Column("seconds_left", sa.Float, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("model_id", sa.String(12), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("ended_at", UtcDateTime),
    )
    op.create_index("jobs_newest", "jobs", ["project_id", "created_at"])
    op.create_table(
        "job_epochs",
        sa.Column("job_id", sa.String(12), sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("epoch", sa.Integer, primary_key=True),
        sa.Column("train_loss", sa.Float, nullable=False),
        sa.Column("validation_loss", sa.Float, nullable=False),
        sa.Column("validation_accuracy", sa.Float, nullable=False),
        sa.Column("learning_rate", sa.Float, nullable=False),
        sa.Column("images_per_second", sa.Float, nullable=False),
    )
    op.create_table(
        "job_lines",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
        sa.Column("job_id", sa.String(12), sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False, index=True),
        sa.Column("line", sa.Text, nullable=False),
    )
    op.create_table(
        "models",
        sa.Column("id", sa.String(12), primary_key=True),
        sa.Column("project_id", sa.String(12), nullable=False),
        sa.Column("job_id", sa.String(12), sa.ForeignKey("jobs.id"), nullable=False, unique=True),
        sa.Column("version_id", sa.String(12), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("backbone", sa.String(32), nullable=False),
        sa.Column("input_size", sa.Integer, nullable=False),
        sa.Column("evaluation", sa.JSON, nullable=False),
        sa.Column("parameters", sa.JSON, nullable=False),
        sa.Column("weights_source", sa.Text, nullable=False),
        sa.Column("checkpoint_key", sa.Text, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
    )
    op.create_index("models_newest", "models", ["project_id", "created_at"])
    op.create_table(
        "model_files",
        sa.Column("model_id", sa.String(12), sa.ForeignKey("models.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("target", sa.String(32), primary_key=True),
        sa.Column("format", sa.String(32), nullable=False),
        sa.Column("file_name", sa.String(128), nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("evaluation", sa.JSON, nullable=False),
        sa.Column("agreement", sa.Float, nullable=False),
        sa.Column("ram_bytes", sa.BigInteger, nullable=False),
        sa.Column("report", sa.JSON, nullable=False),
        sa.Column("object_key", sa.Text, nullable=False),
        sa.Column("golden_key", sa.Text, nullable=False),
    )


def downgrade() -> None:
    for table in ("model_files", "models", "job_lines", "job_epochs", "jobs"):
        op.drop_table(table)
