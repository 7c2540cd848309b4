"""How much is in a project: numbers that do not need a membership."""

from collections.abc import Collection, Mapping
from functools import reduce
from operator import add
from typing import Final, NamedTuple

from sqlalchemy import ScalarSelect, Select, func, literal, select
from sqlalchemy.orm import Session

from app.accounts.tables import Membership, Project
from app.datasets.tables import Dataset
from app.quotas.counters import JOB_COUNTERS
from app.quotas.tables import Usage

MAX_COUNT: Final = 10_000
"""Counting goes no further, so that a list of projects does not read millions of rows."""


class ProjectSummary(NamedTuple):
    """Numbers of what a project has, each at most `MAX_COUNT`, and its bytes with their limit."""

    jobs: int
    datasets: int
    members: int
    stored_bytes: int
    quota_bytes: int | None


def contents_of(session: Session, project_ids: Collection[str]) -> Mapping[str, ProjectSummary]:
    """Return the numbers of these projects, by id."""
    owned = (Dataset.project_id, Membership.project_id)
    counts = [_count(select(literal(1)).where(column == Project.id)) for column in owned]
    # The counters, which triggers keep; those of jobs include the trash.
    jobs = reduce(add, (getattr(Usage, name) for name in JOB_COUNTERS))
    rows = session.execute(
        select(Project.id, jobs, *counts, Usage.stored_bytes, Usage.max_stored_bytes)
        .outerjoin(Usage, Usage.subject_id == Project.id)
        .where(Project.id.in_(project_ids))
    )
    return {
        project_id: ProjectSummary(min(jobs or 0, MAX_COUNT), datasets, members, size or 0, limit)
        for project_id, jobs, datasets, members, size, limit in rows
    }


def _count(rows: Select[int]) -> ScalarSelect[int]:
    few = rows.limit(MAX_COUNT).correlate(Project).subquery()
    return select(func.count()).select_from(few).scalar_subquery()
