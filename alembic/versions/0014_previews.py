"""Dataset versions: the file of samples with previews, statistics and duplicates.

Null for versions that an earlier release verified.

Revision ID: 0014_previews
Revises: 0013_verification_progress
Create Date: 2026-11-30
"""

import sqlalchemy as sa
from alembic import op

revision = "0014_previews"
down_revision = "0013_verification_progress"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("dataset_versions", schema=None) as batch_op:
        batch_op.add_column(sa.Column("overview_sha256", sa.String(length=64), nullable=True))
        batch_op.add_column(sa.Column("overview_bytes", sa.BigInteger(), nullable=True))
        batch_op.create_index(
            batch_op.f("ix_dataset_versions_overview_sha256"), ["overview_sha256"], unique=False
        )


def downgrade() -> None:
    with op.batch_alter_table("dataset_versions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_dataset_versions_overview_sha256"))
        batch_op.drop_column("overview_bytes")
        batch_op.drop_column("overview_sha256")
