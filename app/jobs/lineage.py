"""Extended jobs: the joint of each, and the whole curve over a job and its ancestors.

A job's epochs up to its joint are those of its parent. Callers check access to the job first; its
ancestors are in the same project.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import CTE, Integer, func, literal, or_, select
from sqlalchemy.orm import Session, aliased

from app.jobs.tables import Epoch, Job, Joint

MAX_GENERATIONS: Final = 200
"""The maximum number of jobs in a curve. Earlier ancestors are left out."""


@dataclass(frozen=True)
class Generation:
    """The part of a curve that one job trained.

    Args:
        job_id: None if the job was deleted, or is too many generations back.
        first_epoch: counted from 1.
        last_epoch: the epoch that the next generation continues from; None for the youngest.
    """

    job_id: str | None
    first_epoch: int
    last_epoch: int | None


def joint_of(session: Session, job_id: str) -> Joint | None:
    """Return the epoch where a job continues its parent's training; None if it is no extension."""
    return session.get(Joint, job_id)


def generations_of(session: Session, job_ids: Collection[str]) -> dict[str, list[Generation]]:
    """Return the jobs whose epochs form the curve of each job, oldest first, the job itself last.

    Ancestors without an epoch of their own are left out.
    """
    line = _line(job_ids)
    rows: dict[str, list[Any]] = {}
    for row in session.execute(select(line).order_by(line.c.root, line.c.back)):
        rows.setdefault(row.root, []).append(row)
    return {root: _generations(of_root) for root, of_root in rows.items()}


def _generations(rows: Sequence[Any]) -> list[Generation]:
    found = [
        Generation(row.job_id, (row.joint or 0) + 1, row.last_epoch)
        for row in rows
        if row.last_epoch is None or row.last_epoch > (row.joint or 0)
    ]
    oldest = rows[-1].joint
    missing = [] if oldest is None else [Generation(None, 1, oldest)]
    return [*missing, *reversed(found)]


def last_epoch_of(session: Session, job_id: str) -> int:
    """Return the last epoch that a job has finished or taken over from its parent; 0 if none."""
    last = session.scalar(select(func.max(Epoch.epoch)).where(Epoch.job_id == job_id))
    if last is not None:
        return last
    joint = joint_of(session, job_id)
    return 0 if joint is None else joint.epoch


def epochs_of_line(session: Session, job_id: str, *, among: Collection[int]) -> Sequence[Epoch]:
    """Return those of the epochs `among` that a job and its ancestors trained, in order."""
    line = _line([job_id])
    statement = (
        select(Epoch)
        .join(line, Epoch.job_id == line.c.job_id)
        .where(
            or_(line.c.last_epoch.is_(None), Epoch.epoch <= line.c.last_epoch),
            Epoch.epoch.in_(among),
        )
        .order_by(Epoch.epoch)
    )
    return session.scalars(statement).all()


def _line(job_ids: Collection[str]) -> CTE:
    """Select each job (`root`) and its ancestors, as long as each continues its parent."""
    youngest: Any = (
        select(
            Job.id.label("job_id"),
            Job.parent_id.label("parent_id"),
            Joint.epoch.label("joint"),
            literal(None, Integer).label("last_epoch"),
            literal(0).label("back"),
            Job.id.label("root"),
        )
        .outerjoin(Joint, Joint.job_id == Job.id)
        .where(Job.id.in_(job_ids))
        .cte("line", recursive=True)
    )
    parent, joint = aliased(Job), aliased(Joint)
    older = (
        select(
            parent.id,
            parent.parent_id,
            joint.epoch,
            youngest.c.joint,
            youngest.c.back + 1,
            youngest.c.root,
        )
        .join(youngest, parent.id == youngest.c.parent_id)
        .outerjoin(joint, joint.job_id == parent.id)
        .where(youngest.c.joint.is_not(None), youngest.c.back < MAX_GENERATIONS)
    )
    line: CTE = youngest.union_all(older)
    return line
