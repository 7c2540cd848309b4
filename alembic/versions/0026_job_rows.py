"""What rows of jobs and attempts show: best epoch, running time, actors, epochs; rare events.

Revision ID: 0026_job_rows
Revises: 0025_previews_of_plots
Create Date: 2026-11-30
"""

import json

import sqlalchemy as sa
from alembic import op

revision = "0026_job_rows"
down_revision = "0025_previews_of_plots"
branch_labels = None
depends_on = None

BUT_EPOCHS = sa.text("type <> 'epoch.finished'")
ROWS_AT_ONCE = 500
MOST_BYTES = 4096
LOWER_IS_BETTER = ("metrics/abs_rel", "metrics/rmse", "metrics/silog")

JOBS = sa.table(
    "jobs",
    sa.column("id", sa.String),
    sa.column("best_epoch", sa.Integer),
    sa.column("best_metric", sa.String),
    sa.column("best_at", sa.JSON(none_as_null=True)),
    sa.column("resolved_spec", sa.JSON),
)
EPOCHS = sa.table(
    "epochs",
    sa.column("job_id", sa.String),
    sa.column("epoch", sa.Integer),
    sa.column("metrics", sa.JSON),
)


def upgrade() -> None:
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("earlier_seconds", sa.Double(), server_default="0", nullable=False)
        )
        batch_op.add_column(sa.Column("best_at", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("requested_by", sa.JSON(), nullable=True))
        batch_op.add_column(sa.Column("error_log_line", sa.Integer(), nullable=True))
    with op.batch_alter_table("attempts", schema=None) as batch_op:
        batch_op.add_column(sa.Column("worker_name", sa.String(length=300), nullable=True))
        batch_op.add_column(sa.Column("resumed_from", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("first_epoch", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("last_epoch", sa.Integer(), nullable=True))
        batch_op.add_column(sa.Column("actor", sa.JSON(), nullable=True))
    op.create_index(
        "ix_events_but_epochs",
        "events",
        ["job_id", "seq"],
        sqlite_where=BUT_EPOCHS,
        postgresql_where=BUT_EPOCHS,
    )
    _name_workers()
    _number_epochs()
    _add_time_before_retries()
    _copy_best_epochs()


def downgrade() -> None:
    op.drop_index("ix_events_but_epochs", table_name="events")
    with op.batch_alter_table("attempts", schema=None) as batch_op:
        for column in ("actor", "last_epoch", "first_epoch", "resumed_from", "worker_name"):
            batch_op.drop_column(column)
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        for column in ("error_log_line", "requested_by", "best_at", "earlier_seconds"):
            batch_op.drop_column(column)


def _name_workers() -> None:
    """Name the slots of attempts; the host of a slot also has the id of its process."""
    host = {
        "sqlite": "substr(workers.host, 1, instr(workers.host || ' (pid ', ' (pid ') - 1)",
        "postgresql": "split_part(workers.host, ' (pid ', 1)",
    }[op.get_bind().dialect.name]
    op.execute(
        f"UPDATE attempts SET worker_name = (SELECT {host} || '/' || workers.slot "  # noqa: S608 -- text of ours
        "FROM workers WHERE workers.id = attempts.worker_id)"
    )


def _number_epochs() -> None:
    """Set the epochs of each attempt whose rows are still there, and where it resumed."""
    own = "FROM epochs WHERE epochs.job_id = attempts.job_id AND epochs.attempt = attempts.number"
    op.execute(
        f"UPDATE attempts SET first_epoch = (SELECT min(epochs.epoch) {own}), "  # noqa: S608 -- text of ours
        f"last_epoch = (SELECT max(epochs.epoch) {own} AND attempts.ended_at IS NOT NULL)"
    )
    op.execute(
        "UPDATE attempts SET resumed_from = first_epoch - 1 "
        "WHERE resumed <> 'none' AND first_epoch IS NOT NULL"
    )


def _add_time_before_retries() -> None:
    """Compute it: a retry of an earlier release set `ran_seconds` to 0."""
    if op.get_bind().dialect.name == "sqlite":
        seconds = "(julianday(ended_at) - julianday(started_at)) * 86400.0"
    else:
        seconds = "extract(epoch FROM ended_at - started_at)"
    ended = (
        f"(SELECT coalesce(sum({seconds}), 0) FROM attempts "  # noqa: S608 -- text of ours
        "WHERE attempts.job_id = jobs.id AND ended_at IS NOT NULL)"
    )
    # Less than a millisecond is only rounding.
    op.execute(
        f"UPDATE jobs SET earlier_seconds = {ended} - ran_seconds "  # noqa: S608 -- text of ours
        f"WHERE attempt > 1 AND {ended} > ran_seconds + 0.001 * attempt"
    )


def _copy_best_epochs() -> None:
    connection, after = op.get_bind(), ""
    while True:
        chosen = (
            sa.select(
                JOBS.c.id,
                JOBS.c.best_epoch,
                JOBS.c.best_metric,
                EPOCHS.c.metrics,
                JOBS.c.resolved_spec[("customize", "best_model", "direction")].as_string(),
            )
            .join(
                EPOCHS,
                sa.and_(EPOCHS.c.job_id == JOBS.c.id, EPOCHS.c.epoch == JOBS.c.best_epoch),
            )
            .where(JOBS.c.id > after)
            .order_by(JOBS.c.id)
            .limit(ROWS_AT_ONCE)
        )
        rows = connection.execute(chosen).all()
        for job_id, epoch, metric, metrics, direction in rows:
            best = {
                "epoch": epoch,
                "direction": _direction(metric or "", direction),
                "metrics": _within(metrics),
            }
            connection.execute(sa.update(JOBS).where(JOBS.c.id == job_id).values(best_at=best))
        if len(rows) < ROWS_AT_ONCE:
            return
        after = rows[-1][0]


def _direction(metric: str, chosen: str | None) -> str:
    if metric.startswith("val/") or metric in LOWER_IS_BETTER:
        return "lower"
    return chosen if chosen in {"higher", "lower"} else "higher"


def _within(metrics: dict[str, float | None]) -> dict[str, float | None]:
    """Return the first columns, as many as a row has room for."""
    kept, size = {}, 0
    for name, value in metrics.items():
        size += len(json.dumps(name)) + len(json.dumps(value)) + 2
        if size > MOST_BYTES:
            break
        kept[name] = value
    return kept
