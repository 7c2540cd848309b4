"""Training states: an index of the jobs that have one.

Revision ID: 0006_training_states
Revises: 0005_outage
Create Date: 2026-11-27
"""

import sqlalchemy as sa
from alembic import op

revision = "0006_training_states"
down_revision = "0005_outage"
branch_labels = None
depends_on = None

WHERE = sa.text("kind = 'checkpoint' AND name = 'state.pt'")


def upgrade() -> None:
    op.create_index(
        "ix_artifacts_states",
        "artifacts",
        ["job_id"],
        sqlite_where=WHERE,
        postgresql_where=WHERE,
    )


def downgrade() -> None:
    op.drop_index("ix_artifacts_states", table_name="artifacts")
