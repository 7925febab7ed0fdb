"""Boards, pairings, releases, updates and results."""

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
        "boards",
        sa.Column("id", sa.String(10), primary_key=True),
        sa.Column("project_id", sa.String(64), nullable=False, index=True),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("board_type", sa.String(32), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("revoked", sa.Boolean(), nullable=False),
        sa.Column("secret", sa.LargeBinary(), nullable=True),
        sa.Column("hardware", sa.String(16), nullable=False),
        sa.Column("firmware", sa.String(64), nullable=False),
        sa.Column("session", sa.BigInteger(), nullable=False),
        sa.Column("release_id", sa.String(32), nullable=False),
        sa.Column("desired_release_id", sa.String(32), nullable=False),
        sa.Column("outbox", sa.BigInteger(), nullable=False),
        sa.Column("rejected", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_at", UtcDateTime(), nullable=True),
    )
    op.create_table(
        "pairings",
        sa.Column("board_id", sa.String(10), sa.ForeignKey("boards.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("secret", sa.LargeBinary(), nullable=False),
        sa.Column("server_nonce", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.Column("hardware", sa.String(16), nullable=False),
        sa.Column("renewed", sa.LargeBinary(), nullable=True),
    )
    op.create_table(
        "releases",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("model_id", sa.String(64), nullable=False),
        sa.Column("target", sa.String(64), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("board_type", sa.String(32), nullable=False),
        sa.Column("counter", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("manifest_bytes", sa.BigInteger(), nullable=False),
        sa.Column("payload_bytes", sa.BigInteger(), nullable=False),
        sa.Column("content_key", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.UniqueConstraint("project_id", "counter"),
    )
    op.create_table(
        "updates",
        sa.Column("release_id", sa.String(32), sa.ForeignKey("releases.id"), primary_key=True),
        sa.Column("board_id", sa.String(10), sa.ForeignKey("boards.id"), primary_key=True, index=True),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("reason", sa.String(40), nullable=False),
    )
    op.create_table(
        "results",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("board_id", sa.String(10), sa.ForeignKey("boards.id"), nullable=False),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("release_id", sa.String(32), nullable=False),
        sa.Column("logits", sa.JSON(), nullable=False),
        sa.Column("top", sa.Integer(), nullable=False),
        sa.Column("score", sa.Float(), nullable=False),
        sa.Column("frame", sa.String(16), nullable=False),
        sa.Column("milliseconds", sa.BigInteger(), nullable=False),
        sa.Column("received_at", UtcDateTime(), nullable=False),
    )
    op.create_index("results_of_project", "results", ["project_id", "id"])
    op.create_index("results_of_board", "results", ["board_id", "id"])


def downgrade() -> None:
    for table in ("results", "updates", "releases", "pairings", "boards"):
        op.drop_table(table)
