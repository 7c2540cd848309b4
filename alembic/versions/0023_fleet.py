"""Cordons and use of slots, estimated durations of jobs, words and findings of datasets.

Revision ID: 0023_fleet
Revises: 0022_webhooks
Create Date: 2026-11-30
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0023_fleet"
down_revision = "0022_webhooks"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(astext_type=sa.Text()), "postgresql")
CORDON = sa.Enum(
    "cordoned", "draining", name="cordon", native_enum=False, create_constraint=True, length=40
)
ESTIMATE = {
    "sqlite": "json_extract(plan, '$.estimate.seconds')",
    "postgresql": "CAST(plan -> 'estimate' ->> 'seconds' AS DOUBLE PRECISION)",
}
WORD = sa.String(length=64).with_variant(sa.String(length=64, collation="C"), "postgresql")
DATASETS = sa.table("datasets", sa.column("id"), sa.column("project_id"), sa.column("name"))
VERSIONS = sa.table(
    "dataset_versions",
    sa.column("id", sa.String),
    sa.column("report", sa.JSON),
    sa.column("finding_counts", sa.JSON(none_as_null=True)),
)
AT_ONCE = 500
MAX_WORD, MAX_WORDS = 64, 100
INNER_CAPITAL = re.compile(r"(?<=[a-z])(?=[A-Z])")


def upgrade() -> None:
    with op.batch_alter_table("workers", schema=None) as batch_op:
        batch_op.add_column(sa.Column("cordon", CORDON, nullable=True))
        batch_op.add_column(sa.Column("use", JSON, nullable=True))
        batch_op.add_column(sa.Column("use_means", JSON, nullable=True))
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(sa.Column("estimated_seconds", sa.Double(), nullable=True))
    # Only jobs that will still be claimed need it.
    estimate = ESTIMATE[op.get_bind().dialect.name]
    op.execute(
        f"UPDATE jobs SET estimated_seconds = (SELECT {estimate} FROM job_plans "  # noqa: S608
        "WHERE job_plans.job_id = jobs.id) WHERE state IN ('queued', 'running', 'paused')"
    )
    op.create_index("ix_datasets_project_id_id", "datasets", ["project_id", "id"])
    words = op.create_table(
        "dataset_words",
        sa.Column("dataset_id", sa.String(length=40), nullable=False),
        sa.Column("word", WORD, nullable=False),
        sa.Column("project_id", sa.String(length=40), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"],
            ["datasets.id"],
            name=op.f("fk_dataset_words_dataset_id_datasets"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("dataset_id", "word", name=op.f("pk_dataset_words")),
    )
    for batch in _batches(DATASETS.c.project_id, DATASETS.c.name, of=DATASETS):
        rows = [
            {"dataset_id": row.id, "project_id": row.project_id, "word": word}
            for row in batch
            for word in words_of(row.name)
        ]
        if rows:
            op.get_bind().execute(words.insert(), rows)
    op.create_index("ix_dataset_words_word", "dataset_words", ["project_id", "word", "dataset_id"])
    op.add_column("dataset_versions", sa.Column("finding_counts", sa.JSON(), nullable=True))
    # A report can be long: one at a time.
    for batch in _batches(VERSIONS.c.report, of=VERSIONS, at_once=1):
        for row in batch:
            if row.report and "findings" in row.report:
                counted = sa.update(VERSIONS).where(VERSIONS.c.id == row.id)
                op.get_bind().execute(counted.values(finding_counts=_by_severity(row.report)))


def _batches(
    *columns: sa.ColumnElement[Any], of: sa.TableClause, at_once: int = AT_ONCE
) -> Iterator[Sequence[sa.Row[Any]]]:
    after = ""
    page = sa.select(of.c.id, *columns).order_by(of.c.id).limit(at_once)
    while rows := op.get_bind().execute(page.where(of.c.id > after)).all():
        yield rows
        after = rows[-1].id


def _by_severity(report: Mapping[str, Any]) -> dict[str, int]:
    """Count all findings by severity; a code has one, and its first findings are in the report."""
    counts = {"error": 0, "warning": 0, "info": 0}
    severities = {found["code"]: found["severity"] for found in report["findings"]}
    for code, count in report.get("finding_totals", {}).items():
        counts[severities.get(code, "warning")] += count
    return counts


def downgrade() -> None:
    op.drop_column("dataset_versions", "finding_counts")
    op.drop_table("dataset_words")
    op.drop_index("ix_datasets_project_id_id", table_name="datasets")
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.drop_column("estimated_seconds")
    with op.batch_alter_table("workers", schema=None) as batch_op:
        batch_op.drop_constraint(op.f("ck_workers_cordon"), type_="check")
        batch_op.drop_column("use_means")
        batch_op.drop_column("use")
        batch_op.drop_column("cordon")


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
