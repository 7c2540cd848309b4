"""Marked writes: a write whose answer was lost is not repeated.

Revision ID: 0005_outage
Revises: 0004_garbage
Create Date: 2026-11-27
"""

import sqlalchemy as sa
from alembic import op

revision = "0005_outage"
down_revision = "0004_garbage"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("last_write", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.drop_column("last_write")
