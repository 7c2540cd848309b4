"""Artifacts: what the final validation showed, and previews of plots with their size.

Revision ID: 0025_previews_of_plots
Revises: 0023_fleet
Create Date: 2026-11-30
"""

import sqlalchemy as sa
from alembic import op

revision = "0025_previews_of_plots"
down_revision = "0023_fleet"
branch_labels = None
depends_on = None

KINDS_BEFORE = "kind IN ('checkpoint', 'weights', 'table', 'config', 'plot', 'log')"
KINDS_AFTER = KINDS_BEFORE.replace("'log'", "'log', 'validation', 'preview'")


def upgrade() -> None:
    name = op.f("ck_artifacts_kind")
    with op.batch_alter_table("artifacts", schema=None) as batch_op:
        batch_op.add_column(sa.Column("width", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("height", sa.Integer(), nullable=True))
        batch_op.drop_constraint(name, type_="check")
        batch_op.create_check_constraint(name, KINDS_AFTER)


def downgrade() -> None:
    op.execute("DELETE FROM artifacts WHERE kind IN ('validation', 'preview')")
    name = op.f("ck_artifacts_kind")
    with op.batch_alter_table("artifacts", schema=None) as batch_op:
        batch_op.drop_constraint(name, type_="check")
        batch_op.create_check_constraint(name, KINDS_BEFORE)
        batch_op.drop_column("height")
        batch_op.drop_column("width")
