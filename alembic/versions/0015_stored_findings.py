"""Dataset versions: the file of all findings, where the report has only the first of each code.

Revision ID: 0015_stored_findings
Revises: 0014_previews
Create Date: 2026-11-30
"""

import sqlalchemy as sa
from alembic import op

revision = "0015_stored_findings"
down_revision = "0014_previews"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("dataset_versions", schema=None) as batch_op:
        batch_op.add_column(sa.Column("findings_sha256", sa.String(length=64), nullable=True))
        batch_op.create_index(
            batch_op.f("ix_dataset_versions_findings_sha256"), ["findings_sha256"], unique=False
        )


def downgrade() -> None:
    with op.batch_alter_table("dataset_versions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_dataset_versions_findings_sha256"))
        batch_op.drop_column("findings_sha256")
