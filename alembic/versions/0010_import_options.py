"""Dataset versions: the options with which an archive is read.

Revision ID: 0010_import_options
Revises: 0009_amended_specs
Create Date: 2026-11-30
"""

import sqlalchemy as sa
from alembic import op

revision = "0010_import_options"
down_revision = "0009_amended_specs"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("dataset_versions", schema=None) as batch_op:
        batch_op.add_column(sa.Column("options", sa.JSON(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("dataset_versions", schema=None) as batch_op:
        batch_op.drop_column("options")
