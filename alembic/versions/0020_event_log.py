"""One log for the events of jobs and the states of datasets, with a position that readers keep.

The rows of `events` are copied to a new table in their order: it takes the time and space of one
sorted copy, in the migration's transaction. Every version of a dataset gets an event with its
state. Rows of an earlier release, which still runs meanwhile, get their position and transaction
from the defaults of the columns.

Revision ID: 0020_event_log
Revises: 0019_integrity
Create Date: 2026-11-30
"""

import secrets

import sqlalchemy as sa
from alembic import op

revision = "0020_event_log"
down_revision = "0019_integrity"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True).with_variant(sa.String(length=23), "sqlite")
NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ORDERED_JSON = sa.JSON()
OF_DATASET = sa.text("dataset_id IS NOT NULL")
LEVELS = "level IN ('info', 'warning', 'error')"
TRANSACTION = {"sqlite": "0", "postgresql": "((pg_current_xact_id())::text)::bigint"}
EMPTY_JSON = {"sqlite": "'{}'", "postgresql": "'{}'::json"}
KEPT = "job_id, seq, level, type, data, created_at"
BACKFILL = """
INSERT INTO events (transaction_id, project_id, dataset_id, version_id, {kept})
SELECT 0, project_id, dataset_id, version_id, {kept} FROM (
SELECT j.project_id, NULL AS dataset_id, NULL AS version_id,
e.job_id, e.seq, e.level, e.type, e.data, e.created_at
FROM earlier_events e JOIN jobs j ON j.id = e.job_id
UNION ALL
SELECT d.project_id, d.id, v.id, NULL, NULL, 'info', 'dataset.' || v.state, {empty},
COALESCE(v.verified_at, v.created_at)
FROM dataset_versions v JOIN datasets d ON d.id = v.dataset_id
) AS rows ORDER BY created_at, job_id, seq, version_id"""


def upgrade() -> None:
    dialect = op.get_bind().dialect.name
    op.create_table(
        "event_log",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("generation", sa.String(length=32), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_event_log_single")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event_log")),
    )
    _set_aside("events")
    _create_events(dialect)
    op.execute(BACKFILL.format(kept=KEPT, empty=EMPTY_JSON[dialect]))
    op.drop_table("earlier_events")
    op.create_index("ix_events_transaction_id_position", "events", ["transaction_id", "position"])
    op.create_index(
        "ix_events_dataset_id",
        "events",
        ["dataset_id"],
        sqlite_where=OF_DATASET,
        postgresql_where=OF_DATASET,
    )
    generation = sa.table("event_log", sa.column("id"), sa.column("generation"))
    op.execute(generation.insert().values(id=1, generation=secrets.token_hex(8)))


def downgrade() -> None:
    op.drop_index("ix_events_dataset_id", table_name="events")
    op.drop_index("ix_events_transaction_id_position", table_name="events")
    _set_aside("events")
    op.create_table(
        "events",
        sa.Column("job_id", sa.String(length=40), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("level", sa.String(length=40), nullable=False),
        sa.Column("type", sa.String(length=80), nullable=False),
        sa.Column("data", ORDERED_JSON, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.CheckConstraint(LEVELS, name=op.f("ck_events_level")),
        _of_jobs(),
        sa.PrimaryKeyConstraint("job_id", "seq", name=op.f("pk_events")),
    )
    op.execute(
        f"INSERT INTO events ({KEPT}) SELECT {KEPT} FROM earlier_events "  # noqa: S608 -- constants
        "WHERE job_id IS NOT NULL ORDER BY position"
    )
    op.drop_table("earlier_events")
    op.drop_table("event_log")


def _set_aside(table: str) -> None:
    """Rename the table, and remove what would have the name of something in the new one."""
    op.rename_table(table, "earlier_events")
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint("pk_events", "earlier_events")
        op.execute("ALTER TABLE earlier_events DROP CONSTRAINT IF EXISTS uq_events_job_id_seq")
        op.execute("ALTER SEQUENCE IF EXISTS events_position_seq RENAME TO earlier_position_seq")


def _create_events(dialect: str) -> None:
    op.create_table(
        "events",
        sa.Column("position", NUMBER, sa.Identity(), nullable=False),
        sa.Column(
            "transaction_id",
            sa.BigInteger(),
            server_default=sa.text(TRANSACTION[dialect]),
            nullable=False,
        ),
        sa.Column("project_id", sa.String(length=40), nullable=True),
        sa.Column("job_id", sa.String(length=40), nullable=True),
        sa.Column("dataset_id", sa.String(length=40), nullable=True),
        sa.Column("version_id", sa.String(length=40), nullable=True),
        sa.Column("seq", sa.Integer(), nullable=True),
        sa.Column("level", sa.String(length=40), nullable=False),
        sa.Column("type", sa.String(length=80), nullable=False),
        sa.Column("data", ORDERED_JSON, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.CheckConstraint(LEVELS, name=op.f("ck_events_level")),
        sa.CheckConstraint("(job_id IS NULL) = (seq IS NULL)", name=op.f("ck_events_seq_of_job")),
        sa.CheckConstraint(
            "(job_id IS NULL) <> (dataset_id IS NULL)", name=op.f("ck_events_of_one")
        ),
        _of_jobs(),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_events")),
        sa.UniqueConstraint("job_id", "seq", name=op.f("uq_events_job_id_seq")),
        sqlite_autoincrement=True,
    )


def _of_jobs() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["job_id"], ["jobs.id"], name=op.f("fk_events_job_id_jobs"), ondelete="CASCADE"
    )
