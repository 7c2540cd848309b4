"""Customizations: plans, trainer plugins, inspected models, checks of artifacts.

Revision ID: 0002
Revises: 0001
Create Date: 2026-11-24
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# These types are copies: a migration must not change when the application does.
TIME = sa.DateTime(timezone=True).with_variant(sa.String(length=23), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
ORDERED_JSON = sa.JSON()

MODEL_CHECKS = {
    "ck_models_state": "state IN ('inspecting', 'ready', 'refused')",
    "ck_models_ready_has_a_task": "state <> 'ready' OR task IS NOT NULL",
    "ck_models_lease_while_inspecting": "state = 'inspecting' OR lease_expires_at IS NULL",
}

END_REASONS_BEFORE = (
    "end_reason IN ('succeeded', 'cancelled', 'paused', 'bad_data', 'bad_spec', 'bad_weights', "
    "'out_of_memory', 'diverged', 'trainer_crashed', 'trainer_bug', 'trainer_killed', "
    "'worker_lost', 'worker_drained', 'lease_lost', 'restarts_exhausted', 'timeout', "
    "'nothing_to_keep', 'disk_full')"
)
END_REASONS_AFTER = END_REASONS_BEFORE.replace("'disk_full'", "'disk_full', 'not_portable'")


def check_end_reasons(condition: str) -> None:
    """Replace the CHECK of end reasons in both tables that have one."""
    for table in ("jobs", "attempts"):
        name = op.f(f"ck_{table}_end_reason")
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.drop_constraint(name, type_="check")
            batch_op.create_check_constraint(name, condition)


def upgrade() -> None:
    op.create_table(
        "job_plans",
        sa.Column("job_id", sa.String(length=40), nullable=False),
        sa.Column("plan", ORDERED_JSON, nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_job_plans_job_id_jobs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_job_plans")),
    )
    with op.batch_alter_table("artifacts", schema=None) as batch_op:
        batch_op.add_column(sa.Column("checks", ORDERED_JSON, nullable=True))

    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("architecture", sa.String(length=100), nullable=True))
        batch_op.add_column(sa.Column("imgsz", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("trainer", sa.String(length=100), nullable=True))
        batch_op.add_column(sa.Column("device_name", sa.String(length=200), nullable=True))
        batch_op.create_index(
            "ix_jobs_alike", ["architecture", "imgsz", "device_name", "id"], unique=False
        )

    with op.batch_alter_table("models", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("state", sa.String(length=40), server_default="inspecting", nullable=False)
        )
        batch_op.add_column(sa.Column("architecture", sa.String(length=100), nullable=True))
        batch_op.add_column(sa.Column("classes", ORDERED_JSON, nullable=True))
        batch_op.add_column(sa.Column("message", sa.Text(), nullable=True))
        batch_op.add_column(sa.Column("attempt", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("crashes", sa.Integer(), server_default="0", nullable=False))
        batch_op.add_column(sa.Column("lease_expires_at", TIME, nullable=True))
        batch_op.add_column(sa.Column("inspected_at", TIME, nullable=True))
        batch_op.alter_column("task", existing_type=sa.VARCHAR(length=20), nullable=True)
        for name, condition in MODEL_CHECKS.items():
            batch_op.create_check_constraint(op.f(name), condition)

    with op.batch_alter_table("workers", schema=None) as batch_op:
        batch_op.add_column(sa.Column("plugin_names", JSON, server_default="[]", nullable=False))

    check_end_reasons(END_REASONS_AFTER)


def downgrade() -> None:
    op.execute("UPDATE jobs SET end_reason = 'trainer_bug' WHERE end_reason = 'not_portable'")
    op.execute("UPDATE attempts SET end_reason = 'trainer_bug' WHERE end_reason = 'not_portable'")
    check_end_reasons(END_REASONS_BEFORE)
    # No job can use weights without a known task.
    op.execute("DELETE FROM models WHERE task IS NULL")
    with op.batch_alter_table("workers", schema=None) as batch_op:
        batch_op.drop_column("plugin_names")

    with op.batch_alter_table("models", schema=None) as batch_op:
        for name in MODEL_CHECKS:
            batch_op.drop_constraint(op.f(name), type_="check")
        batch_op.alter_column("task", existing_type=sa.VARCHAR(length=20), nullable=False)
        batch_op.drop_column("inspected_at")
        batch_op.drop_column("lease_expires_at")
        batch_op.drop_column("crashes")
        batch_op.drop_column("attempt")
        batch_op.drop_column("message")
        batch_op.drop_column("classes")
        batch_op.drop_column("architecture")
        batch_op.drop_column("state")

    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.drop_index("ix_jobs_alike")
        batch_op.drop_column("device_name")
        batch_op.drop_column("trainer")
        batch_op.drop_column("imgsz")
        batch_op.drop_column("architecture")

    with op.batch_alter_table("artifacts", schema=None) as batch_op:
        batch_op.drop_column("checks")

    op.drop_table("job_plans")
