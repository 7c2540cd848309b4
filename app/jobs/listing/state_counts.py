"""How many jobs of a list are in each state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Select, and_, case, func, literal, select, true, union_all
from sqlalchemy.orm import Session

from app.jobs.listing.orders import JobOrder
from app.jobs.listing.parts import Conditions
from app.jobs.listing.readers import STATES, Candidates, ListReader, Path
from app.jobs.states import JobState
from app.jobs.tables import Job
from app.quotas.repository import counted_jobs

MAX_COUNT: Final = 1_000
"""Counting with filters stops here."""
EXAMINED: Final = 10_000
"""The number of jobs that counting examines where an index has exactly the jobs of the list."""
EXAMINED_OF_STATE: Final = 2_000
"""The number of jobs of each state that it examines otherwise, the newest of a project first."""


@dataclass(frozen=True)
class StateCounts:
    """The number of jobs in each state. There may be more in a state that is in `capped`."""

    numbers: Mapping[JobState, int]
    capped: tuple[JobState, ...] = ()


def state_counts(session: Session, reader: ListReader) -> StateCounts:
    """Count the jobs of a list by state, under its filters but for that of states.

    Without other filters, it reads the counters that triggers keep.
    """
    if reader.is_whole:
        scope = reader.scope
        counted = counted_jobs(session, scope.project_ids, in_trash=scope.in_trash)
        return StateCounts({state: counted[state] for state in JobState})
    chosen = reader.choose(JobOrder(), without=STATES)
    if isinstance(chosen, Candidates):
        return _of_few(session, chosen)
    if chosen.holds and not reader.scope.in_trash:
        return _of_each_state(session, reader)
    return _along(session, chosen)


def _of_few(session: Session, few: Candidates) -> StateCounts:
    counted = select(Job.state, func.count()).where(*few.conditions).group_by(Job.state)
    return _capped(dict(session.execute(counted).all()), incomplete=())


def _along(session: Session, path: Path) -> StateCounts:
    """Count along an index, whose parts differ in the project only."""
    conditions = (*path.scope.indexed, *path.prefixes[0], *path.range)
    rows = _examined(path.scope.project_ids, conditions, path.holds, limit=EXAMINED)
    counted = select(rows.c.state, func.count(), func.sum(rows.c.matches)).group_by(rows.c.state)
    found = session.execute(counted).all()
    is_complete = sum(examined for _, examined, _ in found) <= EXAMINED
    numbers = {state: int(matching) for state, _, matching in found}
    return _capped(numbers, incomplete=() if is_complete else tuple(JobState))


def _of_each_state(session: Session, reader: ListReader) -> StateCounts:
    """Count among the newest jobs of each state, because many jobs match each of the filters."""
    scope, holds = reader.scope, reader.holds(without=STATES)
    counts = []
    for state in JobState:
        conditions = (*scope.indexed, Job.state == state)
        rows = _examined(scope.project_ids, conditions, holds, limit=EXAMINED_OF_STATE)
        counts.append(select(literal(state.value), func.count(), func.sum(rows.c.matches)))
    found = session.execute(union_all(*counts)).all()
    return _capped(
        {JobState(state): int(matching or 0) for state, _, matching in found},
        incomplete=[JobState(state) for state, count, _ in found if count > EXAMINED_OF_STATE],
    )


def _examined(
    project_ids: Sequence[str], conditions: Conditions, holds: Conditions, *, limit: int
) -> Any:  # noqa: ANN401 -- a subquery
    """Return the state of each job that is examined, and whether it matches: 1 or 0."""
    matches = case((and_(true(), *holds), 1), else_=0).label("matches")
    rows: Select[Any] = select(Job.state, matches).where(*conditions)
    if len(project_ids) == 1:  # otherwise the database would sort all of them
        rows = rows.order_by(Job.created_at.desc(), Job.id.desc())
    return rows.limit(limit + 1).subquery()


def _capped(numbers: Mapping[JobState, int], *, incomplete: Sequence[JobState]) -> StateCounts:
    shown = {state: numbers.get(state, 0) for state in JobState}
    return StateCounts(
        {state: min(number, MAX_COUNT) for state, number in shown.items()},
        tuple(s for s, number in shown.items() if s in incomplete or number > MAX_COUNT),
    )
