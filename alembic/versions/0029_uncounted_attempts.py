"""Attempts to send a delivery that do not count.

Revision ID: 0029_uncounted_attempts
Revises: 0028_project_models
Create Date: 2026-11-30
"""

import sqlalchemy as sa
from alembic import op

revision = "0029_uncounted_attempts"
down_revision = "0028_project_models"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "webhook_deliveries",
        sa.Column("uncounted_attempts", sa.Integer(), server_default="0", nullable=False),
    )


def downgrade() -> None:
    op.drop_column("webhook_deliveries", "uncounted_attempts")
