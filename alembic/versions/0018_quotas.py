"""Quotas, what projects and users use, and the lanes of waiting jobs; counts of classes.

The triggers that keep the counters are no part of a revision (`app.quotas.counters`).

Revision ID: 0018_quotas
Revises: 0016_accounts
Create Date: 2026-11-30
"""

import json

import sqlalchemy as sa
from alembic import op

revision = "0018_quotas"
down_revision = "0016_accounts"
branch_labels = None
depends_on = None

QUEUED = sa.text("state = 'queued'")
WAITING = sa.text("waiting > 0")
ORDERED_JSON = sa.JSON()
SHOWN_CLASSES = 20


def upgrade() -> None:
    _create_usage()
    _create_lanes()
    op.drop_index("ix_jobs_waiting", table_name="jobs")
    op.create_index(
        "ix_jobs_waiting",
        "jobs",
        ["queue", "priority", "project_id", "owner_id", "id"],
        sqlite_where=QUEUED,
        postgresql_where=QUEUED,
    )
    op.add_column("dataset_versions", sa.Column("class_count", sa.Integer(), nullable=True))
    op.add_column("dataset_versions", sa.Column("first_classes", ORDERED_JSON, nullable=True))
    _count_classes()


def downgrade() -> None:
    with op.batch_alter_table("dataset_versions", schema=None) as batch_op:
        batch_op.drop_column("first_classes")
        batch_op.drop_column("class_count")
    op.drop_index("ix_jobs_waiting", table_name="jobs")
    op.create_index(
        "ix_jobs_waiting",
        "jobs",
        ["queue", "priority", "id"],
        sqlite_where=QUEUED,
        postgresql_where=QUEUED,
    )
    op.drop_table("lanes")
    op.drop_table("usage")


def _create_usage() -> None:
    op.create_table(
        "usage",
        sa.Column("subject_id", sa.String(length=40), nullable=False),
        sa.Column("queued_jobs", sa.Integer(), server_default="0", nullable=False),
        sa.Column("running_jobs", sa.Integer(), server_default="0", nullable=False),
        sa.Column("stored_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("uploaded_bytes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("verifier_seconds", sa.Double(), server_default="0", nullable=False),
        sa.Column("verifier_day", sa.String(length=10), nullable=True),
        sa.Column("max_queued_jobs", sa.Integer(), nullable=True),
        sa.Column("max_running_jobs", sa.Integer(), nullable=True),
        sa.Column("max_stored_bytes", sa.BigInteger(), nullable=True),
        sa.Column("max_uploaded_bytes", sa.BigInteger(), nullable=True),
        sa.Column("max_verifier_seconds", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("subject_id", name=op.f("pk_usage")),
    )


def _create_lanes() -> None:
    op.create_table(
        "lanes",
        sa.Column("queue", sa.String(length=64), nullable=False),
        sa.Column("rank", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("project_id", sa.String(length=40), nullable=False),
        sa.Column("owner_id", sa.String(length=40), nullable=False),
        sa.Column("waiting", sa.Integer(), server_default="0", nullable=False),
        sa.Column("turn", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("own_turn", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("opened_with", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(
            ["project_id"],
            ["projects.id"],
            name=op.f("fk_lanes_project_id_projects"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["owner_id"], ["users.id"], name=op.f("fk_lanes_owner_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("queue", "rank", "project_id", "owner_id", name=op.f("pk_lanes")),
    )
    op.create_index(
        "ix_lanes_waiting",
        "lanes",
        ["queue", "rank", "turn", "own_turn", "opened_with"],
        sqlite_where=WAITING,
        postgresql_where=WAITING,
    )
    op.create_index("ix_lanes_turn", "lanes", ["queue", "rank", "turn"])
    op.create_index("ix_lanes_project_id", "lanes", ["project_id"])


def _count_classes() -> None:
    """Set both columns, one row at a time: a version can have very many classes."""
    versions = sa.table(
        "dataset_versions",
        sa.column("id", sa.String),
        sa.column("classes", ORDERED_JSON),
        sa.column("class_count", sa.Integer),
        sa.column("first_classes", ORDERED_JSON),
    )
    connection = op.get_bind()
    ids = connection.scalars(sa.select(versions.c.id)).all()
    for version_id in ids:
        named = versions.c.id == version_id
        classes = connection.scalar(sa.select(versions.c.classes).where(named))
        if classes is None:
            continue
        known = json.loads(classes) if isinstance(classes, str) else classes
        connection.execute(
            versions.update()
            .where(named)
            .values(class_count=len(known), first_classes=known[:SHOWN_CLASSES])
        )
