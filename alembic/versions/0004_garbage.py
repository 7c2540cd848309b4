"""Garbage: condemned objects, and indexes of the columns that name bytes or a job.

Revision ID: 0004_garbage
Revises: 0003_attempts
Create Date: 2026-11-27
"""

import sqlalchemy as sa
from alembic import op

revision = "0004_garbage"
down_revision = "0003_attempts"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True).with_variant(sa.String(length=23), "sqlite")

INDEXES = (
    ("artifacts", "job_id"),
    ("dataset_versions", "archive_sha256"),
    ("dataset_versions", "pack_sha256"),
    ("idempotency_keys", "job_id"),
    ("jobs", "model_sha256"),
    ("jobs", "parent_id"),
    ("models", "sha256"),
    ("uploads", "sha256"),
)


def upgrade() -> None:
    op.create_table(
        "condemned_objects",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("due_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_condemned_objects")),
    )
    op.create_index(op.f("ix_condemned_objects_due_at"), "condemned_objects", ["due_at"])
    for table, column in INDEXES:
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column])
    op.create_index(
        "ix_jobs_trashed",
        "jobs",
        ["trashed_at"],
        sqlite_where=sa.text("trashed_at IS NOT NULL"),
        postgresql_where=sa.text("trashed_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_jobs_trashed", table_name="jobs")
    for table, column in reversed(INDEXES):
        op.drop_index(op.f(f"ix_{table}_{column}"), table_name=table)
    op.drop_table("condemned_objects")
