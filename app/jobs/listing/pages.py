"""Pages of a list of jobs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session, load_only

from app.jobs.listed import ListedJob, with_records
from app.jobs.listing.orders import JobOrder, Position, Segment
from app.jobs.listing.parts import Conditions, Statement
from app.jobs.listing.readers import Candidates, ListReader, Path
from app.jobs.repository import LISTED
from app.jobs.tables import Job

SHORT: Final = (
    load_only(
        Job.id, Job.state, Job.phase, Job.created_at, Job.ended_at, Job.name, Job.best_rank,
        raiseload=True,
    ),
)  # fmt: skip
"""The columns of rows that show progress only, with those of the orders."""


@dataclass(frozen=True)
class ListedPage:
    """The jobs of a page, and the position after which the next page starts; None: the last page.

    A page can have fewer jobs than its limit, or none, although others follow.
    """

    jobs: Sequence[ListedJob]
    next: Position | None


def listed_page(
    session: Session,
    reader: ListReader,
    *,
    order: JobOrder,
    after: Position | None,
    limit: int,
    is_short: bool = False,
) -> ListedPage:
    """Return up to `limit` jobs after the position `after`, in order.

    Args:
        session: the transaction in which `reader` reads.
        reader: of the list.
        order: of the list.
        after: where the page starts; None for the beginning.
        limit: the maximum number of jobs.
        is_short: whether only state and progress are read.
    """
    columns = SHORT if is_short else LISTED
    jobs, position = _jobs(session, reader, order, after, limit=limit, columns=columns)
    return ListedPage(with_records(session, jobs, has_tags=not is_short), position)


def _jobs(
    session: Session,
    reader: ListReader,
    order: JobOrder,
    after: Position | None,
    *,
    limit: int,
    columns: Sequence[Any],
) -> tuple[Sequence[Job], Position | None]:
    chosen = reader.choose(order)
    jobs: list[Job] = []
    for segment, keys in order.segments(after):
        start = () if keys is None else (segment.after(keys),)
        last = _last_examined(session, chosen, segment, start)
        end = () if last is None else (segment.up_to(last),)
        wanted = limit + 1 - len(jobs)
        jobs += _read(session, chosen, segment, (*start, *end), limit=wanted, columns=columns)
        if len(jobs) > limit:
            return jobs[:limit], order.position(jobs[limit - 1])
        if last is not None:
            return jobs, order.position_of(segment, last)
    return jobs, None


def _last_examined(
    session: Session,
    chosen: Candidates | Path,
    segment: Segment,
    start: Conditions,
) -> Sequence[Any] | None:
    """Return the keys of the last job that a request examines; None if it examines all."""
    if isinstance(chosen, Candidates) or not chosen.holds:
        return None
    ends = _rows(session, chosen.ends(segment, start), segment)
    return ends[0][-len(segment.keyed) :] if ends else None


def _read(
    session: Session,
    chosen: Candidates | Path,
    segment: Segment,
    bounds: Conditions,
    *,
    limit: int,
    columns: Sequence[Any],
) -> Sequence[Job]:
    selected = select(Job).options(*columns)
    if isinstance(chosen, Path) and chosen.only_branch is not None:
        wanted = selected.where(*chosen.only_branch, *segment.conditions, *bounds)
        ordered = wanted.order_by(*segment.directed)
        return session.scalars(ordered.limit(limit)).all()
    rows = _rows(session, chosen.first(segment, bounds, limit=limit), segment)[:limit]
    ids = [row[-1] for row in rows]
    by_id = {job.id: job for job in session.scalars(selected.where(Job.id.in_(ids)))} if ids else {}
    return [by_id[job_id] for job_id in ids]


def _rows(
    session: Session, statements: Iterable[Statement], segment: Segment
) -> list[Sequence[Any]]:
    """Return the rows of statements, which select the columns of the segment, in its order.

    Python compares them as the databases do: texts by code points, and no key is null.
    """
    rows = [row for statement in statements for row in session.execute(statement)]
    keys = len(segment.keyed)
    return sorted(rows, key=lambda row: tuple(row[-keys:]), reverse=segment.descending)
