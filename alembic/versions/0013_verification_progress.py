"""Dataset versions: progress of a verification, and the last use of an uploaded archive.

Revision ID: 0013_verification_progress
Revises: 0012_uploads
Create Date: 2026-11-30
"""

import sqlalchemy as sa
from alembic import op

revision = "0013_verification_progress"
down_revision = "0012_uploads"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True).with_variant(sa.String(length=23), "sqlite")
INDEX = "ix_dataset_versions_kept_uploads"
NOW = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f', 'now')",
    "postgresql": "clock_timestamp()",
}


def upgrade() -> None:
    with op.batch_alter_table("dataset_versions", schema=None) as batch_op:
        batch_op.add_column(sa.Column("progress", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("upload_used_at", TIME, nullable=True))
        batch_op.add_column(sa.Column("upload_removed_at", TIME, nullable=True))
    op.create_index(
        INDEX,
        "dataset_versions",
        ["state", "upload_used_at"],
        sqlite_where=sa.text("upload_removed_at IS NULL"),
        postgresql_where=sa.text("upload_removed_at IS NULL"),
    )
    op.create_table(
        "verification_turns",
        sa.Column("project_id", sa.String(length=40), nullable=False),
        sa.Column("claimed_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["projects.id"],
            name=op.f("fk_verification_turns_project_id_projects"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project_id", name=op.f("pk_verification_turns")),
    )
    # The days for which uploads are kept begin now, also for those of earlier releases.
    now = NOW[op.get_bind().dialect.name]
    op.execute(f"UPDATE dataset_versions SET upload_used_at = {now}")  # noqa: S608 -- a constant


def downgrade() -> None:
    op.drop_table("verification_turns")
    op.drop_index(INDEX, table_name="dataset_versions")
    with op.batch_alter_table("dataset_versions", schema=None) as batch_op:
        batch_op.drop_column("upload_removed_at")
        batch_op.drop_column("upload_used_at")
        batch_op.drop_column("progress")
