"""Lists of jobs: words of names, ranks of best values, counters by state, indexes.

The counters are counted after the migration (`app.quotas.counters`).

Revision ID: 0021_job_lists
Revises: 0020_event_log
Create Date: 2026-11-30
"""

import json
import re
import unicodedata
from collections.abc import Iterator

import sqlalchemy as sa
from alembic import op

revision = "0021_job_lists"
down_revision = "0020_event_log"
branch_labels = None
depends_on = None

COUNTERS = (
    "paused_jobs",
    "succeeded_jobs",
    "failed_jobs",
    "cancelled_jobs",
    "trashed_succeeded_jobs",
    "trashed_failed_jobs",
    "trashed_cancelled_jobs",
)
LIVE = sa.text("trashed_at IS NULL")
TRASHED = sa.text("trashed_at IS NOT NULL")
INDEXES = (
    ("ix_jobs_dataset_version_id_id", ("dataset_version_id", "id"), None),
    ("ix_jobs_parent_id_id", ("parent_id", "id"), None),
    ("ix_jobs_listed", ("project_id", "created_at", "id"), LIVE),
    ("ix_jobs_listed_state", ("project_id", "state", "created_at", "id"), LIVE),
    ("ix_jobs_listed_model", ("project_id", "model", "created_at", "id"), LIVE),
    ("ix_jobs_listed_task", ("project_id", "task", "created_at", "id"), LIVE),
    ("ix_jobs_listed_queue", ("project_id", "queue", "created_at", "id"), LIVE),
    ("ix_jobs_listed_dataset", ("project_id", "dataset_id", "created_at", "id"), LIVE),
    ("ix_jobs_listed_ended", ("project_id", "state", "ended_at", "id"), LIVE),
    ("ix_jobs_listed_name", ("project_id", "state", "name", "id"), LIVE),
    ("ix_jobs_listed_dataset_best", ("project_id", "dataset_id", "best_rank", "id"), LIVE),
    ("ix_jobs_listed_metric_best", ("project_id", "best_metric", "best_rank", "id"), LIVE),
    ("ix_jobs_trashed_created", ("project_id", "created_at", "id"), TRASHED),
    ("ix_jobs_trashed_ended", ("project_id", "ended_at", "id"), TRASHED),
    ("ix_jobs_trashed_name", ("project_id", "name", "id"), TRASHED),
    ("ix_jobs_trashed_best", ("project_id", "best_rank", "id"), TRASHED),
)
REPLACED = (
    ("ix_jobs_dataset_version_id", ("dataset_version_id",)),
    ("ix_jobs_parent_id", ("parent_id",)),
    ("ix_jobs_project_id_id", ("project_id", "id")),
    ("ix_jobs_project_id_state_id", ("project_id", "state", "id")),
    ("ix_jobs_project_id_name_id", ("project_id", "name", "id")),
    ("ix_jobs_project_id_ended_at_id", ("project_id", "ended_at", "id")),
)
LOWER = ("metrics/abs_rel", "metrics/rmse", "metrics/silog")
"""Of the metrics that can choose a checkpoint, these and the losses (`val/…`) are better if lower.
Only a trainer plugin's own metric has a direction in the spec."""
BATCH = 1_000
MAX_WORD, MAX_WORDS = 64, 100
WORD = sa.String(length=MAX_WORD).with_variant(
    sa.String(length=MAX_WORD, collation="C"), "postgresql"
)
JOBS = sa.table(
    "jobs",
    *(sa.column(name) for name in ("id", "project_id", "name", "trainer", "best_value")),
    sa.column("best_rank", sa.Double),
    sa.column("resolved_spec", sa.JSON),
)
INNER_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def upgrade() -> None:
    for name, _ in REPLACED:
        op.drop_index(name, table_name="jobs")
    for counter in COUNTERS:
        column = sa.Column(counter, sa.Integer(), server_default="0", nullable=False)
        op.add_column("usage", column)
    op.add_column("jobs", sa.Column("best_rank", sa.Double(), nullable=True))
    _order_names("C")
    words = op.create_table(
        "job_words",
        sa.Column("job_id", sa.String(length=40), nullable=False),
        sa.Column("word", WORD, nullable=False),
        sa.Column("project_id", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_job_words_job_id_jobs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "word", name=op.f("pk_job_words")),
    )
    _rank_jobs()
    for batch in _batches(JOBS.c.name != "", JOBS.c.project_id, JOBS.c.name):
        rows = [
            {"job_id": job.id, "project_id": job.project_id, "word": word}
            for job in batch
            for word in words_of(job.name)
        ]
        if rows:
            op.get_bind().execute(words.insert(), rows)
    op.create_index("ix_job_words_word", "job_words", ["project_id", "word", "job_id"])
    for name, columns, where in INDEXES:
        op.create_index(name, "jobs", columns, sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    for name, _, _ in INDEXES:
        op.drop_index(name, table_name="jobs")
    op.drop_table("job_words")
    _order_names("default")
    op.drop_column("jobs", "best_rank")
    for counter in reversed(COUNTERS):
        op.drop_column("usage", counter)
    for name, columns in REPLACED:
        op.create_index(name, "jobs", columns)


def _order_names(collation: str) -> None:
    """Change the order of names; SQLite's is that of code points, C, already."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f'ALTER TABLE jobs ALTER COLUMN name TYPE VARCHAR(200) COLLATE "{collation}"')


def _rank_jobs() -> None:
    """Negate best values where lower is better."""
    names = ", ".join(f"'{name}'" for name in LOWER)
    op.execute(
        f"UPDATE jobs SET best_rank = CASE WHEN best_metric IN ({names}) "  # noqa: S608 -- constants
        "OR substr(best_metric, 1, 4) = 'val/' THEN -best_value ELSE best_value END "
        "WHERE best_value IS NOT NULL"
    )
    chosen = sa.and_(JOBS.c.trainer.is_not(None), JOBS.c.best_value.is_not(None))
    for batch in _batches(chosen, JOBS.c.best_value, JOBS.c.resolved_spec):
        for job in batch:
            spec = job.resolved_spec
            known = json.loads(spec) if isinstance(spec, str) else spec
            best_model = known.get("customize", {}).get("best_model") or {}
            sign = {"lower": -1, "higher": 1}.get(best_model.get("direction"))
            if sign is not None:
                ranked = JOBS.update().values(best_rank=sign * job.best_value)
                op.get_bind().execute(ranked.where(JOBS.c.id == job.id))


def _batches(
    condition: sa.ColumnElement[bool], *columns: sa.ColumnElement[object]
) -> Iterator[list[sa.Row[tuple[object, ...]]]]:
    """Yield the jobs of a condition in batches, by id."""
    after = ""
    while True:
        behind = sa.select(JOBS.c.id, *columns).where(condition, JOBS.c.id > after)
        rows = op.get_bind().execute(behind.order_by(JOBS.c.id).limit(BATCH)).all()
        if not rows:
            return
        yield list(rows)
        after = rows[-1].id


def words_of(name: str) -> list[str]:
    """Return the words of a name as the release of this migration does (`app.core.words`)."""
    found: dict[str, None] = {}
    for word in split(name):
        for start in (0, *(match.start() for match in INNER_CAPITAL.finditer(word))):
            compatible = unicodedata.normalize("NFKC", word[start:]).casefold()
            for folded in split(unicodedata.normalize("NFKC", compatible)):
                found[folded[:MAX_WORD]] = None
    return list(found)[:MAX_WORDS]


def split(text: str) -> list[str]:
    spaced = (each if unicodedata.category(each)[0] in "LNM" else " " for each in text)
    return "".join(spaced).split()
