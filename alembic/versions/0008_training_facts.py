"""Dataset versions: the facts that decide which training arguments have an effect.

Null for versions that an earlier release verified; a server reads them from the pack.

Revision ID: 0008_training_facts
Revises: 0007_joints
Create Date: 2026-11-29
"""

import sqlalchemy as sa
from alembic import op

revision = "0008_training_facts"
down_revision = "0007_joints"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("dataset_versions", schema=None) as batch_op:
        batch_op.add_column(sa.Column("training_facts", sa.JSON(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("dataset_versions", schema=None) as batch_op:
        batch_op.drop_column("training_facts")
