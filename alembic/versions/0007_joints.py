"""Extended jobs: the epoch where each continues its parent, and a lost state's end reason.

Revision ID: 0007_joints
Revises: 0006_training_states
Create Date: 2026-11-27
"""

import sqlalchemy as sa
from alembic import op

revision = "0007_joints"
down_revision = "0006_training_states"
branch_labels = None
depends_on = None

END_REASONS_BEFORE = (
    "end_reason IN ('succeeded', 'cancelled', 'paused', 'bad_data', 'bad_spec', 'bad_weights', "
    "'out_of_memory', 'diverged', 'trainer_crashed', 'trainer_bug', 'trainer_killed', "
    "'worker_lost', 'worker_drained', 'lease_lost', 'restarts_exhausted', 'timeout', "
    "'nothing_to_keep', 'disk_full', 'not_portable', 'gpu_lost', 'bad_checkpoint')"
)
END_REASONS_AFTER = END_REASONS_BEFORE.replace("'bad_checkpoint'", "'bad_checkpoint', 'state_lost'")


def check_end_reasons(condition: str) -> None:
    """Replace the CHECK of end reasons in both tables that have one."""
    for table in ("jobs", "attempts"):
        name = op.f(f"ck_{table}_end_reason")
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.drop_constraint(name, type_="check")
            batch_op.create_check_constraint(name, condition)


def upgrade() -> None:
    op.create_table(
        "joints",
        sa.Column("job_id", sa.String(length=40), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("best_epoch", sa.Integer(), nullable=True),
        sa.Column("best_value", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_joints_job_id_jobs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_joints")),
    )
    check_end_reasons(END_REASONS_AFTER)


def downgrade() -> None:
    for table in ("jobs", "attempts"):
        op.execute(
            f"UPDATE {table} SET end_reason = 'bad_checkpoint' "  # noqa: S608 -- names of ours
            "WHERE end_reason = 'state_lost'"
        )
    check_end_reasons(END_REASONS_BEFORE)
    op.drop_table("joints")
