"""Projects, labels, captures, boards, versions and their items."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from services.common.database import UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "projects",
        sa.Column("id", sa.String(12), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False, unique=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "labels",
        sa.Column("project_id", sa.String(12), sa.ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("position", sa.Integer(), nullable=False),
    )
    op.create_table(
        "captures",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("project_id", sa.String(12), sa.ForeignKey("projects.id"), nullable=False),
        sa.Column("board_id", sa.String(10), nullable=False),
        sa.Column("label", sa.String(32), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("object_key", sa.Text(), nullable=False),
        sa.Column("captured_at", UtcDateTime(), nullable=True),
        sa.Column("stored_at", UtcDateTime(), nullable=False),
        sa.Column("deleted_at", UtcDateTime(), nullable=True),
    )
    op.create_index("captures_newest", "captures", ["project_id", "stored_at", "id"])
    op.create_index("captures_by_label", "captures", ["project_id", "label", "stored_at", "id"])
    op.create_index("captures_by_board", "captures", ["project_id", "board_id", "stored_at", "id"])
    op.create_table(
        "boards",
        sa.Column("id", sa.String(10), primary_key=True),
        sa.Column("record", sa.Text(), nullable=False),
        sa.Column("key_id", sa.String(16), nullable=False),
        sa.Column("last_session", sa.BigInteger(), nullable=False),
        sa.Column("last_sequence", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "versions",
        sa.Column("id", sa.String(12), primary_key=True),
        sa.Column("project_id", sa.String(12), sa.ForeignKey("projects.id"), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("seed", sa.String(20), nullable=False),
        sa.Column("validation_share", sa.Float(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("train_count", sa.Integer(), nullable=False),
        sa.Column("validation_count", sa.Integer(), nullable=False),
        sa.Column("label_counts", sa.JSON(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.UniqueConstraint("project_id", "number"),
    )
    op.create_table(
        "version_items",
        sa.Column("version_id", sa.String(12), sa.ForeignKey("versions.id"), primary_key=True),
        sa.Column("capture_id", sa.String(32), sa.ForeignKey("captures.id"), primary_key=True),
        sa.Column("label", sa.String(32), nullable=False),
        sa.Column("split", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("object_key", sa.Text(), nullable=False),
    )
    op.create_index("version_items_of_capture", "version_items", ["capture_id"])


def downgrade() -> None:
    for table in ("version_items", "versions", "boards", "captures", "labels", "projects"):
        op.drop_table(table)
