"""Integrity: stored objects that are damaged, how far hashing has come, and vouched models.

Revision ID: 0019_integrity
Revises: 0018_quotas
Create Date: 2026-11-30
"""

import sqlalchemy as sa
from alembic import op

revision = "0019_integrity"
down_revision = "0018_quotas"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True).with_variant(sa.String(length=23), "sqlite")


def upgrade() -> None:
    op.create_table(
        "damaged_objects",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("noticed_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_damaged_objects")),
    )
    op.create_table(
        "scrub_passes",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("holder", sa.String(length=40), nullable=False),
        sa.Column("held_until", TIME, nullable=False),
        sa.Column("started_at", TIME, nullable=False),
        sa.Column("after", sa.String(length=64), nullable=False),
        sa.Column("finished_at", TIME, nullable=True),
        sa.Column("objects", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_scrub_passes")),
    )
    with op.batch_alter_table("models", schema=None) as batch_op:
        batch_op.add_column(sa.Column("vouched", sa.Boolean(), nullable=True))
    # Nothing vouched for the official weights of earlier releases: their table was empty.
    op.execute("UPDATE models SET vouched = false WHERE source = 'official'")


def downgrade() -> None:
    with op.batch_alter_table("models", schema=None) as batch_op:
        batch_op.drop_column("vouched")
    op.drop_table("scrub_passes")
    op.drop_table("damaged_objects")
