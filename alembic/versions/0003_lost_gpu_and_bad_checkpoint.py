"""Two more end reasons: a lost GPU, and a checkpoint that no trainer can read.

Revision ID: 0003_attempts
Revises: 0002
Create Date: 2026-11-27
"""

from alembic import op

revision = "0003_attempts"
down_revision = "0002"
branch_labels = None
depends_on = None

END_REASONS_BEFORE = (
    "end_reason IN ('succeeded', 'cancelled', 'paused', 'bad_data', 'bad_spec', 'bad_weights', "
    "'out_of_memory', 'diverged', 'trainer_crashed', 'trainer_bug', 'trainer_killed', "
    "'worker_lost', 'worker_drained', 'lease_lost', 'restarts_exhausted', 'timeout', "
    "'nothing_to_keep', 'disk_full', 'not_portable')"
)
END_REASONS_AFTER = END_REASONS_BEFORE.replace(
    "'not_portable'", "'not_portable', 'gpu_lost', 'bad_checkpoint'"
)


def check_end_reasons(condition: str) -> None:
    """Replace the CHECK of end reasons in both tables that have one."""
    for table in ("jobs", "attempts"):
        name = op.f(f"ck_{table}_end_reason")
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.drop_constraint(name, type_="check")
            batch_op.create_check_constraint(name, condition)


def upgrade() -> None:
    check_end_reasons(END_REASONS_AFTER)


def downgrade() -> None:
    for table in ("jobs", "attempts"):
        op.execute(
            f"UPDATE {table} SET end_reason = 'trainer_killed' "  # noqa: S608 -- names of ours
            "WHERE end_reason IN ('gpu_lost', 'bad_checkpoint')"
        )
    check_end_reasons(END_REASONS_BEFORE)
