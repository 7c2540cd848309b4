"""100,000 jobs of one project, made by SQL alone: the rows of every kind that lists tell apart."""

# ruff: noqa: S608 -- SQL from the constants below
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import cast

from sqlalchemy import Connection, Table, text

from app.core.database import Database
from app.jobs.listing.filters import JobFilter
from app.jobs.tables import Job, JobTag, JobWord
from app.quotas.counters import without_counters
from tests.worlds.rows import Rows, a_dataset, some_rows

MANY = 100_000
_NUMBERS = (
    "WITH RECURSIVE numbers (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < :n)"
)
_SECONDS = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%f', '2026-01-01', {} || ' seconds')",
    "postgresql": "TIMESTAMPTZ '2026-01-01 00:00:00Z' + {} * INTERVAL '1 second'",
}
_STATE = """CASE WHEN i % 500 = 0 THEN 'queued' WHEN i % 500 = 1 THEN 'paused'
WHEN i % 10 = 2 THEN 'failed' WHEN i % 50 = 3 THEN 'cancelled' ELSE 'succeeded' END"""
_IS_RARE = "i % 500 = 7"
"""One job of 500 has the rare value of each kind."""


@dataclass(frozen=True)
class ManyJobs(Rows):
    """The project of these jobs, and the dataset of few of them."""

    rare_dataset: str

    def named(self, filters: JobFilter) -> JobFilter:
        """Return filters with the ids that the names of datasets stand for."""
        ids = {
            "dataset": self.dataset_id,
            "version": self.version_id,
            "rare_dataset": self.rare_dataset,
        }
        return replace(filters, dataset=ids.get(filters.dataset or ""))


def add_many_jobs(database: Database, *, jobs: int = MANY) -> ManyJobs:
    """Add a project with its jobs; the newest tenth is in the trash, apart from waiting ones."""
    rows = some_rows(database, name="many")
    with database.write() as unit:
        rare = a_dataset(unit.session, rows.project_id, rows.user_id, name="rare")
        connection = unit.session.connection()
        with without_counters(connection), _without_indexes(connection):
            _insert_jobs(connection, rows, rare, jobs=jobs)
            _insert_words_and_tags(connection, rows.project_id, jobs=jobs)
    if not database.is_sqlite:
        with database.engine.connect().execution_options(
            isolation_level="AUTOCOMMIT"
        ) as connection:
            for table in ("jobs", "job_words", "job_tags"):
                connection.execute(text(f"VACUUM ANALYZE {table}"))
    return ManyJobs(**asdict(rows), rare_dataset=rare[0])


def job_id(number: int) -> str:
    """Return the id of a job, by its number from 1."""
    return f"job_{'0' * 19}{1_000_000 + number}"


@contextmanager
def _without_indexes(connection: Connection) -> Iterator[None]:
    """Create the indexes after the rows, which is much faster."""
    if connection.dialect.name == "postgresql":  # nor foreign keys
        connection.execute(text("SET LOCAL session_replication_role = replica"))
    tables = [cast("Table", each.__table__) for each in (Job, JobTag, JobWord)]
    indexes = [index for table in tables for index in table.indexes]
    for index in indexes:
        index.drop(connection)
    yield
    for index in indexes:
        index.create(connection)


def _insert_jobs(connection: Connection, rows: Rows, rare: tuple[str, str], *, jobs: int) -> None:
    given = {
        "n": jobs,
        "project": rows.project_id,
        "owner": rows.user_id,
        "dataset": rows.dataset_id,
        "version": rows.version_id,
        "rare_dataset": rare[0],
        "rare_version": rare[1],
    }
    columns = _SAME | _KINDS | _columns(connection.dialect.name)
    names, values = ", ".join(columns), ", ".join(columns.values())
    connection.execute(
        text(f"INSERT INTO jobs ({names}) {_NUMBERS} SELECT {values} FROM numbers"), given
    )


def _columns(dialect: str) -> dict[str, str]:
    """Return the columns whose SQL differs between the databases."""
    seconds = _SECONDS[dialect]
    created, later = seconds.format("i"), seconds.format("(i + 60)")
    # On PostgreSQL the width of a row decides whether it reads the whole table.
    wide = """CAST('{"a": "' || repeat(md5('' || i), 30) || '"}' AS JSON)"""
    document = "'{}'" if dialect == "sqlite" else wide
    return {
        "spec": document,
        "resolved_spec": "'{}'" if dialect == "sqlite" else "CAST('{}' AS JSON)",
        "created_at": created,
        "ended_at": f"CASE WHEN {_STATE} IN ('queued', 'paused') THEN NULL ELSE {later} END",
        "trashed_at": f"CASE WHEN i > :n * 9 / 10 AND i % 500 > 1 THEN {created} END",
    }


def _insert_words_and_tags(connection: Connection, project_id: str, *, jobs: int) -> None:
    words = _rare("'night'", "'day'"), "'shift'", "'' || (i % 1000)"
    for word in words:
        into = f"INSERT INTO job_words (job_id, project_id, word) {_NUMBERS}"
        chosen = f"SELECT {_id('i')}, :project, {word} FROM numbers"
        connection.execute(text(f"{into} {chosen}"), {"n": jobs, "project": project_id})
    into = f"INSERT INTO job_tags (job_id, key, value) {_NUMBERS}"
    key = _rare("'rare'", "'line'")
    chosen = f"SELECT {_id('i')}, {key}, '4' FROM numbers"
    connection.execute(text(f"{into} {chosen}"), {"n": jobs})


def _rare(value: str, usual: str) -> str:
    return f"CASE WHEN {_IS_RARE} THEN {value} ELSE {usual} END"


def _id(number: str) -> str:
    return f"'job_{'0' * 19}' || (1000000 + {number})"


_KINDS = {
    "id": _id("i"),
    "parent_id": f"CASE WHEN {_IS_RARE} AND i > 500 THEN {_id('7')} END",
    "name": _rare("'night-shift '", "'day shift '") + " || (i % 1000)",
    "state": _STATE,
    "queue": _rare("'slow'", "'default'"),
    "dataset_id": _rare(":rare_dataset", ":dataset"),
    "dataset_version_id": _rare(":rare_version", ":version"),
    "model": _rare("'yolo11x.pt'", "'yolo26n.yaml'"),
    "task": _rare("'pose'", "'detect'"),
    "best_metric": _rare("'val/box_loss'", "'fitness'"),
    "best_value": "(i % 997) / 997.0",
    "best_rank": _rare("-1", "1") + " * (i % 997) / 997.0",
}
_SAME = {
    "project_id": ":project",
    "owner_id": ":owner",
    "notes": "''",
    "priority": "0",
    "attempt": "1",
    "restarts": "0",
    "max_restarts": "5",
    "ran_seconds": "0",
    "dispatch_seq": "1",
    "last_seq": "1",
    "revision": "1",
    "spec_version": "1",
    "best_epoch": "1",
}
