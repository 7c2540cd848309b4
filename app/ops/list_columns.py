"""Complete what lists of jobs need and servers and workers of an earlier release do not write.

These run beside this release during an upgrade. Afterwards there is nothing to complete.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, and_, exists, func, or_, select, update
from sqlalchemy.orm import Session

from app.core.database import Database, upsert
from app.core.logging import get_logger
from app.core.words import words_of
from app.jobs.spec.metric_table import direction_of
from app.jobs.tables import Job, JobWord

log = get_logger(__name__)

BATCH: Final = 500
NO_WORDS: Final = and_(Job.name != "", ~exists().where(JobWord.job_id == Job.id))
WRONG_RANK: Final = and_(
    Job.best_value.is_not(None),
    or_(Job.best_rank.is_(None), func.abs(Job.best_rank) != func.abs(Job.best_value)),
)


def complete_list_columns(database: Database, *, batch: int = BATCH) -> int:
    """Add missing words of names, and missing or outdated ranks. Return the number of jobs.

    `batch` is the number of jobs in one transaction.
    """
    completed = sum(_add_words(database, ids) for ids in _batches(database, NO_WORDS, batch))
    completed += sum(_set_ranks(database, ids) for ids in _batches(database, WRONG_RANK, batch))
    if completed:
        log.info("lists.completed", jobs=completed)
    return completed


def _batches(
    database: Database, condition: ColumnElement[bool], batch: int
) -> Iterator[Sequence[str]]:
    """Yield the ids of the jobs of a condition, in order."""
    rows = select(Job.id).where(condition).order_by(Job.id).limit(batch)
    after = ""
    while True:
        with database.read() as unit:
            ids = unit.session.scalars(rows.where(Job.id > after)).all()
        if not ids:
            return
        yield ids
        after = ids[-1]


def _add_words(database: Database, ids: Sequence[str]) -> int:
    """Add the words of jobs that still have their names; a renamed job has its words."""
    with database.write() as unit:
        missing = _locked(unit.session, ids, NO_WORDS)
        rows = [
            {"job_id": job.id, "word": word, "project_id": job.project_id}
            for job in missing
            for word in words_of(job.name)
        ]
        if rows:
            # A job that is renamed right now may have the same words already.
            unit.session.execute(upsert(unit.session, JobWord, rows, key=("job_id", "word")))
    return len({row["job_id"] for row in rows})


def _set_ranks(database: Database, ids: Sequence[str]) -> int:
    with database.write() as unit:
        wrong = _locked(unit.session, ids, WRONG_RANK)
        for job in wrong:
            rank = -job.best_value if _is_lower_better(job) else job.best_value
            ranked = update(Job).where(Job.id == job.id).values(best_rank=rank)
            unit.session.execute(ranked.execution_options(synchronize_session=False))
    return len(wrong)


def _locked(session: Session, ids: Sequence[str], condition: ColumnElement[bool]) -> list[Row[Any]]:
    """Return those of these jobs that still meet the condition, locked."""
    columns = (
        Job.id, Job.project_id, Job.name, Job.task, Job.best_metric, Job.best_value,
        Job.resolved_spec,
    )  # fmt: skip
    chosen = select(*columns).where(Job.id.in_(ids), condition)
    return list(session.execute(chosen.order_by(Job.id).with_for_update(of=Job)))


def _is_lower_better(job: Row[Any]) -> bool:
    customize: Mapping[str, Any] = job.resolved_spec.get("customize") or {}
    chosen: Mapping[str, Any] = customize.get("best_model") or {}
    known = direction_of(job.task, job.best_metric or "")
    return (known or chosen.get("direction")) == "lower"
