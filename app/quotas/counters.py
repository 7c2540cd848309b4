"""The triggers that keep the counters of `usage` and `lanes`, and the recount that checks them.

A trigger counts in the transaction that changes a row, whatever code changes it, also when a
deletion cascades. Both databases run the same statements. Migrations run without the triggers,
because SQLite rebuilds tables; `installed_counters` puts them back and counts again.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, inspect


@dataclass(frozen=True)
class CountedTable:
    """A table whose rows count for a project and a user. In SQL, {row} stands for OLD or NEW.

    Attributes:
        name: of the table.
        subjects: SELECT of the ids that a row counts for, the project first: the order of locks.
        stored: SQL of the bytes that a row counts as stored.
        uploaded: SQL of the bytes that a row counts as uploaded.
        watched: columns whose change changes a count.
    """

    name: str
    subjects: str
    stored: str
    uploaded: str = "0"
    watched: tuple[str, ...] = ()


ARTIFACT_SUBJECTS: Final = (
    "SELECT project_id AS id FROM jobs WHERE jobs.id = {row}.job_id "
    "UNION ALL SELECT owner_id FROM jobs WHERE jobs.id = {row}.job_id"
)
COUNTED: Final = (
    CountedTable("artifacts", ARTIFACT_SUBJECTS, "{row}.size_bytes", watched=("size_bytes",)),
    CountedTable(
        "packs", "SELECT {row}.project_id AS id", "{row}.size_bytes", watched=("size_bytes",)
    ),
    CountedTable(
        "uploads",
        "SELECT {row}.project_id AS id UNION ALL SELECT {row}.owner_id",
        "CASE WHEN {row}.sha256 IS NULL THEN 0 ELSE {row}.size_bytes END",
        "{row}.size_bytes",
        ("sha256", "size_bytes"),
    ),
    CountedTable(
        "dataset_versions",
        "SELECT project_id AS id FROM datasets WHERE datasets.id = {row}.dataset_id "
        "UNION ALL SELECT owner_id FROM datasets WHERE datasets.id = {row}.dataset_id",
        "CASE WHEN {row}.upload_removed_at IS NULL THEN {row}.archive_bytes ELSE 0 END",
        watched=("upload_removed_at", "archive_bytes"),
    ),
    CountedTable(
        "models",
        "SELECT {row}.project_id AS id WHERE {row}.project_id IS NOT NULL",
        "{row}.size_bytes",
        watched=("size_bytes",),
    ),
)
JOB_COLUMNS: Final = ("state", "queue", "priority", "project_id", "owner_id", "trashed_at")
ENDED: Final = ("succeeded", "failed", "cancelled")
JOB_COUNTERS: Final[Mapping[str, str]] = {
    **{f"{state}_jobs": f"{{row}}.state = '{state}'" for state in ("queued", "running", "paused")},
    **{
        f"{state}_jobs": f"{{row}}.state = '{state}' AND {{row}}.trashed_at IS NULL"
        for state in ENDED
    },
    **{
        f"trashed_{state}_jobs": f"{{row}}.state = '{state}' AND {{row}}.trashed_at IS NOT NULL"
        for state in ENDED
    },
}
"""The counters of jobs, each with the SQL of the jobs that it counts. The trash has ended jobs."""
BYTE_COUNTERS: Final = ("stored_bytes", "uploaded_bytes")
COUNTERS: Final = (*JOB_COUNTERS, *BYTE_COUNTERS)

_JOB_SUBJECTS: Final = "SELECT {row}.project_id AS id UNION ALL SELECT {row}.owner_id"
_ADD_WAITING: Final = """
INSERT INTO lanes (queue, rank, project_id, owner_id, waiting, turn, opened_with)
SELECT {row}.queue, -{row}.priority, {row}.project_id, {row}.owner_id, 1,
COALESCE((SELECT MAX(turn) FROM lanes WHERE queue = {row}.queue AND rank = -{row}.priority
AND project_id = {row}.project_id), 0), {row}.id
WHERE {row}.state = 'queued'
ON CONFLICT (queue, rank, project_id, owner_id) DO UPDATE SET
opened_with = CASE WHEN lanes.waiting > 0 THEN lanes.opened_with ELSE excluded.opened_with END,
waiting = lanes.waiting + 1"""
_REMOVE_WAITING: Final = """
UPDATE lanes SET waiting = waiting - 1
WHERE {row}.state = 'queued' AND queue = {row}.queue AND rank = -{row}.priority
AND project_id = {row}.project_id AND owner_id = {row}.owner_id"""
_FORGET_ARTIFACTS: Final = """
INSERT INTO usage (subject_id, stored_bytes)
SELECT s.id, -a.bytes FROM (SELECT OLD.project_id AS id UNION ALL SELECT OLD.owner_id) s,
(SELECT CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) AS bytes FROM artifacts
WHERE job_id = OLD.id) a WHERE a.bytes > 0
ON CONFLICT (subject_id) DO UPDATE SET stored_bytes = usage.stored_bytes + excluded.stored_bytes"""
"""Before a job is deleted: its artifacts, which the deletion cascades to, cannot look it up."""
_GROUPED_JOBS: Final = """
SELECT project_id, owner_id, state, CASE WHEN trashed_at IS NOT NULL THEN 1 END AS trashed_at,
COUNT(*) AS jobs FROM jobs GROUP BY 1, 2, 3, 4"""


def true_usage(job_counters: Mapping[str, str] = JOB_COUNTERS) -> str:
    """Return the SELECT of what the counted rows give: one row per project and user."""
    sums = ", ".join(
        f"CAST(SUM({name}) AS BIGINT) AS {name}" for name in (*job_counters, *BYTE_COUNTERS)
    )
    grouped = ", ".join(
        f"CASE WHEN {counted.format(row='j')} THEN j.jobs ELSE 0 END AS {name}"
        for name, counted in job_counters.items()
    )
    parts = [
        f"SELECT {subject} AS id, {grouped}, 0 AS stored_bytes, 0 AS uploaded_bytes "
        f"FROM ({_GROUPED_JOBS}) j"
        for subject in ("j.project_id", "j.owner_id")
    ]
    no_jobs = ", ".join("0" for _ in job_counters)
    for table, owner, join, subjects in (
        (COUNTED[0], "o", "JOIN jobs o ON o.id = r.job_id", ("project_id", "owner_id")),
        (COUNTED[1], "r", "", ("project_id",)),
        (COUNTED[2], "r", "", ("project_id", "owner_id")),
        (COUNTED[3], "o", "JOIN datasets o ON o.id = r.dataset_id", ("project_id", "owner_id")),
        (COUNTED[4], "r", "WHERE r.project_id IS NOT NULL", ("project_id",)),
    ):
        counts = f"{table.stored.format(row='r')}, {table.uploaded.format(row='r')}"
        parts += [
            f"SELECT {owner}.{subject}, {no_jobs}, {counts} FROM {table.name} r {join}"
            for subject in subjects
        ]
    return f"SELECT id, {sums} FROM ({' UNION ALL '.join(parts)}) counted GROUP BY id"


TRUE_LANES: Final = """
SELECT queue, -priority AS rank, project_id, owner_id, COUNT(*) AS waiting, MIN(id) AS opened_with
FROM jobs WHERE state = 'queued' GROUP BY queue, priority, project_id, owner_id"""
_RECOUNT_LANES: Final = (
    "UPDATE lanes SET waiting = 0",
    f"""INSERT INTO lanes (queue, rank, project_id, owner_id, waiting, opened_with)
SELECT * FROM ({TRUE_LANES}) truth WHERE true
ON CONFLICT (queue, rank, project_id, owner_id) DO UPDATE SET
waiting = excluded.waiting, opened_with = excluded.opened_with""",
)


@contextmanager
def without_counters(connection: Connection) -> Iterator[None]:
    """Remove the triggers for a migration; afterwards put them back and count all rows again."""
    for statement in _dropping(connection):
        connection.exec_driver_sql(statement)
    yield
    columns = _columns_of_usage(connection)
    if columns:
        # A downgrade leaves a table without the counters of later revisions.
        known = {name: counted for name, counted in JOB_COUNTERS.items() if name in columns}
        for statement in _creating(connection.dialect.name, known):
            connection.exec_driver_sql(statement)
        recount(connection, known)


def recount(connection: Connection, job_counters: Mapping[str, str] = JOB_COUNTERS) -> None:
    """Set all counters to what the counted rows give. Other writers wait."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("LOCK TABLE usage IN EXCLUSIVE MODE")
    names = (*job_counters, *BYTE_COUNTERS)
    connection.exec_driver_sql(f"UPDATE usage SET {', '.join(f'{name} = 0' for name in names)}")
    connection.exec_driver_sql(
        f"INSERT INTO usage (subject_id, {', '.join(names)}) "
        f"SELECT * FROM ({true_usage(job_counters)}) truth WHERE true "
        "ON CONFLICT (subject_id) DO UPDATE SET "
        + ", ".join(f"{name} = excluded.{name}" for name in names)
    )
    for statement in _RECOUNT_LANES:
        connection.exec_driver_sql(statement)


def trigger_names() -> frozenset[str]:
    """Return the names of the triggers on both databases."""
    names = {name for name, *_ in _sqlite_triggers()}
    return frozenset(names | {f"usage_{table}" for table in _bodies()} | {"usage_jobs_forget"})


def _columns_of_usage(connection: Connection) -> set[str]:
    look = inspect(connection)
    if not {"usage", "lanes"} <= set(look.get_table_names()):
        return set()
    return {column["name"] for column in look.get_columns("usage")}


def _dropping(connection: Connection) -> list[str]:
    if connection.dialect.name == "sqlite":
        return [f"DROP TRIGGER IF EXISTS {name}" for name, *_ in _sqlite_triggers()]
    functions = [f"usage_{table}" for table in _bodies()] + ["usage_jobs_forget"]
    return [f"DROP FUNCTION IF EXISTS {name}() CASCADE" for name in functions]


def _creating(dialect: str, job_counters: Mapping[str, str]) -> list[str]:
    if dialect == "sqlite":
        return [
            f"CREATE TRIGGER {name} {event} ON {table} WHEN {condition} BEGIN {body}; END"
            for name, event, table, condition, body in _sqlite_triggers(job_counters)
        ]
    return [*_postgresql_functions(job_counters), *_postgresql_triggers()]


@dataclass(frozen=True)
class _Body:
    """What a trigger of a table does with the row before and after a change."""

    watched: tuple[str, ...]
    removed: str
    added: str


def _bodies(job_counters: Mapping[str, str] = JOB_COUNTERS) -> Mapping[str, _Body]:
    def job(row: str, sign: str) -> str:
        counts = [
            f"{sign}(CASE WHEN {counted.format(row=row)} THEN 1 ELSE 0 END)"
            for counted in job_counters.values()
        ]
        return _counting(_JOB_SUBJECTS.format(row=row), counts, tuple(job_counters))

    def counted(table: CountedTable, row: str, sign: str) -> str:
        counts = [f"{sign}({sql.format(row=row)})" for sql in (table.stored, table.uploaded)]
        return _counting(table.subjects.format(row=row), counts, BYTE_COUNTERS)

    jobs = _Body(
        JOB_COLUMNS,
        f"{job('OLD', '-')}; {_REMOVE_WAITING.format(row='OLD')}",
        f"{job('NEW', '')}; {_ADD_WAITING.format(row='NEW')}",
    )
    return {
        "jobs": jobs,
        **{
            table.name: _Body(table.watched, counted(table, "OLD", "-"), counted(table, "NEW", ""))
            for table in COUNTED
        },
    }


def _counting(subjects: str, counts: list[str], counters: tuple[str, ...]) -> str:
    added = ", ".join(f"{name} = usage.{name} + excluded.{name}" for name in counters)
    return (
        f"INSERT INTO usage (subject_id, {', '.join(counters)}) "
        f"SELECT s.id, {', '.join(counts)} FROM ({subjects}) s WHERE true "
        f"ON CONFLICT (subject_id) DO UPDATE SET {added}"
    )


def _sqlite_triggers(
    job_counters: Mapping[str, str] = JOB_COUNTERS,
) -> Iterator[tuple[str, str, str, str, str]]:
    """Yield name, event, table, condition and body of each trigger."""
    for table, body in _bodies(job_counters).items():
        differs = " OR ".join(f"OLD.{name} IS NOT NEW.{name}" for name in body.watched)
        both = f"{body.removed}; {body.added}"
        columns = ", ".join(body.watched)
        yield f"usage_{table}_insert", "AFTER INSERT", table, "true", body.added
        yield f"usage_{table}_update", f"AFTER UPDATE OF {columns}", table, differs, both
        yield f"usage_{table}_delete", "AFTER DELETE", table, "true", body.removed
    yield "usage_jobs_forget", "BEFORE DELETE", "jobs", "true", _FORGET_ARTIFACTS


def _postgresql_functions(job_counters: Mapping[str, str]) -> Iterator[str]:
    for table, body in _bodies(job_counters).items():
        before, after = (
            f"ROW({', '.join(f'{row}.{name}' for name in body.watched)})" for row in ("OLD", "NEW")
        )
        yield (
            f"CREATE FUNCTION usage_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"IF TG_OP = 'UPDATE' THEN IF {before} IS NOT DISTINCT FROM {after} "
            "THEN RETURN NULL; END IF; END IF; "
            f"IF TG_OP <> 'INSERT' THEN {body.removed}; END IF; "
            f"IF TG_OP <> 'DELETE' THEN {body.added}; END IF; "
            "RETURN NULL; END $$"
        )
    yield (
        "CREATE FUNCTION usage_jobs_forget() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN {_FORGET_ARTIFACTS}; RETURN OLD; END $$"
    )


def _postgresql_triggers() -> Iterator[str]:
    for table, body in _bodies().items():
        columns = ", ".join(body.watched)
        yield (
            f"CREATE TRIGGER usage_{table} AFTER INSERT OR UPDATE OF {columns} OR DELETE "
            f"ON {table} FOR EACH ROW EXECUTE FUNCTION usage_{table}()"
        )
    yield (
        "CREATE TRIGGER usage_jobs_forget BEFORE DELETE ON jobs "
        "FOR EACH ROW EXECUTE FUNCTION usage_jobs_forget()"
    )
