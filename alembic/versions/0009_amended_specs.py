"""Failed jobs: a merge patch of the spec that avoids the failure.

Revision ID: 0009_amended_specs
Revises: 0008_training_facts
Create Date: 2026-11-29
"""

import sqlalchemy as sa
from alembic import op

revision = "0009_amended_specs"
down_revision = "0008_training_facts"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("error_amended", sa.JSON(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.drop_column("error_amended")
