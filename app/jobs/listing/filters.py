"""The filters of a list of jobs: how each finds its jobs by an index, and how it checks one job."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, String, and_, or_, select, true, type_coerce
from sqlalchemy.orm import InstrumentedAttribute

from app.core.words import LAST_CHARACTER
from app.datasets.tables import DatasetVersion
from app.jobs.listing.parts import Conditions, Statement, together
from app.jobs.search import Search
from app.jobs.states import JobState
from app.jobs.tables import Job, JobTag, JobWord

FEW: Final = 1_000
"""The number of jobs that a request may read and sort."""
MAX_FOUND_PARTS: Final = 24
"""Parts of an index that are read in order to find the jobs of one filter."""

ENDED: Final = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)
COLUMNS: Final[dict[str, InstrumentedAttribute[Any]]] = {
    "dataset": Job.dataset_id,
    "model": Job.model,
    "queue": Job.queue,
    "task": Job.task,
    "best_metric": Job.best_metric,
}
"""The filters that are equalities of one column, with an index after the project."""


@dataclass(frozen=True)
class JobFilter:
    """The filters of a list. None and empty select every job outside of the trash.

    Attributes:
        dataset: id of a dataset or of one version.
        tags: key and value; a job must have all of them.
        ids: only these jobs; None for any.
        created_after, ended_after: exclusive.
    """

    states: tuple[JobState, ...] = ()
    dataset: str | None = None
    model: str | None = None
    task: str | None = None
    queue: str | None = None
    parent: str | None = None
    best_metric: str | None = None
    name_prefix: str | None = None
    tags: tuple[tuple[str, str], ...] = ()
    search: Search = field(default_factory=Search)
    ids: tuple[str, ...] | None = None
    created_after: datetime | None = None
    ended_after: datetime | None = None
    in_trash: bool = False

    @property
    def version(self) -> str | None:
        """The version, if the filter `dataset` names one."""
        return self.dataset if self.dataset and self.dataset.startswith("dsv_") else None


@dataclass(frozen=True)
class Scope:
    """The jobs that a caller's list can have: those of projects, in the trash or outside of it."""

    project_ids: tuple[str, ...]
    in_trash: bool

    @property
    def trashed(self) -> ColumnElement[bool]:
        """In the words of the partial indexes."""
        return Job.trashed_at.is_not(None) if self.in_trash else Job.trashed_at.is_(None)

    def found(
        self,
        order: InstrumentedAttribute[Any],
        *conditions: ColumnElement[bool],
        among: Sequence[Conditions] = ((),),
        of: type[Job | JobWord] = Job,
    ) -> Statement:
        """Return the ids of the jobs that match conditions; of many jobs, at least `FEW` + 1.

        Args:
            order: the column behind the equalities in the index to use. In its order, because a
                database that expects many jobs would read the table otherwise.
            conditions: what must hold.
            among: alternatives, each an equality of the index.
            of: the table of the index, which begins with the project.
        """
        job_id = Job.id if of is Job else JobWord.job_id
        rows = select(job_id).where(*conditions)
        parts = len(self.project_ids) * len(among)
        if not 0 < parts <= MAX_FOUND_PARTS:  # a union of no part is no statement
            either = or_(*(and_(true(), *each) for each in among))
            return rows.where(of.project_id.in_(self.project_ids), either)
        return together(
            [
                rows.where(of.project_id == project_id, *each).order_by(order).limit(FEW + 1)
                for project_id in self.project_ids
                for each in among
            ]
        )

    @property
    def indexed(self) -> tuple[ColumnElement[bool], ...]:
        """The conditions, for a statement that begins with an index of the project."""
        return (Job.project_id.in_(self.project_ids), self.trashed)

    @property
    def holds(self) -> tuple[ColumnElement[bool], ...]:
        """The conditions, for a statement that found its jobs already."""
        return (unindexed(Job.project_id).in_(self.project_ids), self.trashed)


@dataclass(frozen=True)
class Selection:
    """One filter.

    Attributes:
        name: of the field of `JobFilter`, with a number where it has several values.
        holds: the condition on one job. It uses no index of `jobs`, so that it never tempts a
            database to leave the order of the list.
        found: the ids of the jobs, by an index, also of jobs outside of the scope. None: no index
            finds them.
    """

    name: str
    holds: ColumnElement[bool]
    found: Statement | None


def selections_of(filters: JobFilter, scope: Scope) -> list[Selection]:
    """Return each filter, except for `ids` and the scope."""
    return [
        *_equalities(filters, scope),
        *_ranges(filters, scope),
        *(_word(number, word, scope) for number, word in enumerate(filters.search.words)),
        *(_tag(number, *tag) for number, tag in enumerate(filters.tags + filters.search.tags)),
        *(_id_range(number, *ids) for number, ids in enumerate(filters.search.ids)),
    ]


def unindexed(column: ColumnElement[Any] | InstrumentedAttribute[Any]) -> ColumnElement[Any]:
    """Return a text column as an expression that no index has."""
    return type_coerce(column, String).concat("")


def begins_with(column: InstrumentedAttribute[str], text: str) -> ColumnElement[bool]:
    """Return the condition as a range of an index, for a column in the order of code points."""
    return column.between(text, text + LAST_CHARACTER)


def dataset_of_version(version_id: str) -> ColumnElement[str]:
    """Return the id of the dataset of a version, as part of a statement."""
    statement = select(DatasetVersion.dataset_id).where(DatasetVersion.id == version_id)
    return statement.scalar_subquery()


def _equalities(filters: JobFilter, scope: Scope) -> Iterator[Selection]:
    for name, column in COLUMNS.items():
        value = getattr(filters, name)
        if value is not None and value != filters.version:
            order = Job.best_rank if name == "best_metric" else Job.created_at
            found = _in_scope(scope, order, column == value)
            yield Selection(name, unindexed(column) == value, found)
    if filters.version is not None:
        column = Job.dataset_version_id
        found = select(Job.id).where(column == filters.version).order_by(Job.id)
        yield Selection("dataset", unindexed(column) == filters.version, found)
    if filters.parent is not None:
        found = select(Job.id).where(Job.parent_id == filters.parent).order_by(Job.id)
        yield Selection("parent", unindexed(Job.parent_id) == filters.parent, found)
    if filters.states:
        found = _in_scope(scope, Job.created_at, among=_each(filters.states))
        states = [state.value for state in filters.states]
        yield Selection("states", unindexed(Job.state).in_(states), found)


def _ranges(filters: JobFilter, scope: Scope) -> Iterator[Selection]:
    if filters.name_prefix is not None:
        begins = begins_with(Job.name, filters.name_prefix)
        found = _in_scope(scope, Job.name, begins, among=_each(tuple(JobState)))
        yield Selection("name_prefix", begins, found)
    if filters.created_after is not None:
        after = Job.created_at > filters.created_after
        yield Selection("created_after", after, _in_scope(scope, Job.created_at, after))
    if filters.ended_after is not None:
        after = Job.ended_at > filters.ended_after
        found = _in_scope(scope, Job.ended_at, after, among=_each(ENDED))
        yield Selection("ended_after", after, found)


def _each(states: Sequence[JobState]) -> list[Conditions]:
    return [(Job.state == state,) for state in states]


def _in_scope(
    scope: Scope,
    column: InstrumentedAttribute[Any],
    *conditions: ColumnElement[bool],
    among: Sequence[Conditions] = ((),),
) -> Statement | None:
    """Return the ids by an index of the jobs outside of the trash."""
    return None if scope.in_trash else scope.found(column, scope.trashed, *conditions, among=among)


def _word(number: int, word: str, scope: Scope) -> Selection:
    begins = begins_with(JobWord.word, word)
    found = scope.found(JobWord.word, begins, of=JobWord)
    return Selection(f"word {number}", _has(JobWord.job_id, begins), found)


def _tag(number: int, key: str, value: str) -> Selection:
    is_tag = (JobTag.key == key, JobTag.value == value)
    found = select(JobTag.job_id).where(*is_tag).order_by(JobTag.job_id)
    return Selection(f"tag {number}", _has(JobTag.job_id, *is_tag), found)


def _id_range(number: int, lowest: str, highest: str) -> Selection:
    found = select(Job.id).where(Job.id.between(lowest, highest)).order_by(Job.id)
    return Selection(f"id {number}", unindexed(Job.id).between(lowest, highest), found)


def _has(
    job_id: InstrumentedAttribute[str], *conditions: ColumnElement[bool]
) -> ColumnElement[bool]:
    """Return whether a job has such a row.

    A value, because PostgreSQL turns an EXISTS into a join that reads the rows of all jobs.
    """
    row = select(job_id).where(job_id == Job.id, *conditions).limit(1).correlate(Job)
    return row.scalar_subquery().is_not(None)
