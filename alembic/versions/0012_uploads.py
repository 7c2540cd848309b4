"""Uploads: the spool that holds the bytes, the metadata as sent, and indexes by owner.

No earlier release inserted rows into this table.

Revision ID: 0012_uploads
Revises: 0011_manifests
Create Date: 2026-11-30
"""

import sqlalchemy as sa
from alembic import op

revision = "0012_uploads"
down_revision = "0011_manifests"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("uploads", schema=None) as batch_op:
        batch_op.add_column(sa.Column("spool_id", sa.String(length=40), nullable=False))
        batch_op.add_column(sa.Column("sent_metadata", sa.String(length=4096), nullable=True))
        batch_op.create_check_constraint(
            batch_op.f("ck_uploads_offset_within_size"), "offset_bytes BETWEEN 0 AND size_bytes"
        )
        batch_op.create_check_constraint(
            batch_op.f("ck_uploads_finished_is_whole"),
            "sha256 IS NULL OR offset_bytes = size_bytes",
        )
    op.create_index("ix_uploads_owner_id", "uploads", ["owner_id"])
    op.create_index(
        "ix_uploads_unfinished",
        "uploads",
        ["owner_id"],
        sqlite_where=sa.text("sha256 IS NULL"),
        postgresql_where=sa.text("sha256 IS NULL"),
    )


def downgrade() -> None:
    # A release before this one does not know them, and their bytes would stay referenced.
    op.execute(sa.delete(sa.table("uploads")))
    op.drop_index("ix_uploads_unfinished", table_name="uploads")
    op.drop_index("ix_uploads_owner_id", table_name="uploads")
    with op.batch_alter_table("uploads", schema=None) as batch_op:
        batch_op.drop_constraint(batch_op.f("ck_uploads_finished_is_whole"), type_="check")
        batch_op.drop_constraint(batch_op.f("ck_uploads_offset_within_size"), type_="check")
        batch_op.drop_column("sent_metadata")
        batch_op.drop_column("spool_id")
