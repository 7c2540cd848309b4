"""How a list reads few jobs, whatever its filters and its order are.

Either an index has the list's order and all of its filters. Or one of the filters has few jobs,
which are read and sorted. Or else every filter has many jobs, so that the jobs in the list's order
soon match: then a request examines a bounded number of them, and its page ends there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.jobs.listing.filters import (
    COLUMNS,
    ENDED,
    FEW,
    JobFilter,
    Scope,
    Selection,
    begins_with,
    dataset_of_version,
    selections_of,
)
from app.jobs.listing.orders import JobOrder, Segment
from app.jobs.listing.parts import MAX_PARTS, Conditions, Statement, together
from app.jobs.states import JobState
from app.jobs.tables import Job

EXAMINED: Final = 5_000
"""The number of jobs in the list's order that a request may examine."""
LEAST_EXAMINED: Final = 100
"""The least number of them in each part of an index, for callers with very many projects."""

STATES: Final = "states"
TRASH: Final = "trash"
"""Names of a filter, and of what takes its place in the trash."""
CREATED: Final = ("dataset", "model", "queue", "task")
"""The equalities whose jobs an index has in the order of their creation."""


@dataclass(frozen=True)
class Candidates:
    """A filter has few jobs: `found` are their ids, `holds` what else they must match."""

    found: Sequence[str] | Statement
    holds: Conditions

    @property
    def conditions(self) -> Conditions:
        """The conditions of the list's jobs."""
        return (Job.id.in_(self.found), *self.holds)

    def first(self, segment: Segment, more: Conditions, *, limit: int) -> Iterator[Statement]:
        """Yield a statement for the first jobs: the columns of the segment, in its order."""
        chosen = select(*segment.columns).where(*self.conditions, *segment.conditions, *more)
        yield chosen.order_by(*segment.directed).limit(limit)


@dataclass(frozen=True)
class Path:
    """Indexes in the list's order.

    Attributes:
        scope: of the list; the indexes begin with the project.
        prefixes: the equalities behind the project, one for each part of the indexes.
        range: what all parts have in common.
        covered: names of the filters that these conditions are.
        holds: the conditions of the other filters, each of which many jobs match.
    """

    scope: Scope
    prefixes: Sequence[Conditions]
    range: Conditions
    covered: frozenset[str]
    holds: Conditions = ()

    @property
    def branches(self) -> list[Conditions]:
        """The conditions of each part of an index, beginning with equalities."""
        return [
            (Job.project_id == project_id, *prefix, self.scope.trashed)
            for project_id in self.scope.project_ids
            for prefix in self.prefixes
        ]

    @property
    def only_branch(self) -> Conditions | None:
        """The conditions, if a single part of an index has all jobs of the list."""
        branches = self.branches
        return (*branches[0], *self.range, *self.holds) if len(branches) == 1 else None

    def first(self, segment: Segment, more: Conditions, *, limit: int) -> Iterator[Statement]:
        """Yield statements for the first jobs of each part: the columns of the segment."""
        common = (*self.range, *self.holds, *segment.conditions, *more)
        return self._parts(segment, common, limit=limit)

    def ends(self, segment: Segment, more: Conditions) -> Iterator[Statement]:
        """Yield statements for the last job of each part that a request examines.

        All parts together have `EXAMINED` jobs up to there. A part with fewer has no such job.
        """
        share = max(EXAMINED // len(self.branches), LEAST_EXAMINED) if self.branches else 0
        common = (*self.range, *segment.conditions, *more)
        return self._parts(segment, common, limit=1, offset=share)

    def _parts(
        self, segment: Segment, common: Conditions, *, limit: int, offset: int = 0
    ) -> Iterator[Statement]:
        branches = iter(self.branches)
        while chunk := list(islice(branches, MAX_PARTS)):
            rows = [select(*segment.columns).where(*branch, *common) for branch in chunk]
            ordered = [each.order_by(*segment.directed).limit(limit) for each in rows]
            yield together([each.offset(offset) if offset else each for each in ordered])


class ListReader:
    """Chooses how to read the jobs of a caller's projects that match filters."""

    def __init__(self, session: Session, scope: Scope, filters: JobFilter) -> None:
        self.scope = scope
        self._session = session
        self._filters = filters

    @property
    def is_whole(self) -> bool:
        """Whether the list has all jobs of its scope, states aside."""
        return self._filters.ids is None and not self._without(STATES)

    def choose(self, order: JobOrder, *, without: str = "") -> Candidates | Path:
        """Return how to read the list in an order, `without` the filter of this name."""
        wanted = self._without(without)
        if self._filters.ids is not None:
            return Candidates(self._filters.ids, self._within(wanted))
        path = self._path(order, without=without)
        rest = [each for each in wanted if each.name not in path.covered]
        if not rest:
            return path
        return self._few(wanted) or replace(path, holds=tuple(each.holds for each in rest))

    def holds(self, *, without: str) -> Conditions:
        """Return the conditions of all filters except for the one of this name."""
        return tuple(each.holds for each in self._without(without))

    def _without(self, name: str) -> list[Selection]:
        return [each for each in self._selections if each.name != name]

    def _few(self, wanted: Sequence[Selection]) -> Candidates | None:
        names = {each.name for each in wanted}
        found = {name: each for name, each in self._numbers.items() if name in names | {TRASH}}
        name = min(found, key=lambda name: found[name][0], default=None)
        if name is None or found[name][0] > FEW:
            return None
        others = [each for each in wanted if each.name != name]
        return Candidates(found[name][1].limit(FEW), self._within(others))

    def _within(self, selections: Sequence[Selection]) -> Conditions:
        return (*self.scope.holds, *(each.holds for each in selections))

    @cached_property
    def _selections(self) -> list[Selection]:
        return selections_of(self._filters, self.scope)

    @cached_property
    def _numbers(self) -> dict[str, tuple[int, Statement]]:
        """The number of jobs of each filter, up to `FEW` + 1, and their ids, by one statement."""
        found = {each.name: each.found for each in self._selections if each.found is not None}
        if self.scope.in_trash:
            found[TRASH] = self.scope.found(Job.created_at, self.scope.trashed)
        if not found:
            return {}
        counts = [
            select(func.count()).select_from(ids.limit(FEW + 1).subquery()).scalar_subquery()
            for ids in found.values()
        ]
        numbers = self._session.execute(select(*counts)).one()
        return {
            name: (number, ids) for (name, ids), number in zip(found.items(), numbers, strict=True)
        }

    def _path(self, order: JobOrder, *, without: str) -> Path:
        filters = replace(self._filters, states=()) if without == STATES else self._filters
        prefixes, covered = _prefixes(filters, order)
        condition, in_range = _range(filters, order)
        return Path(self.scope, prefixes, condition, frozenset({*covered, *in_range}))


def _prefixes(filters: JobFilter, order: JobOrder) -> tuple[list[Conditions], set[str]]:
    """Return the equalities behind the project with which the index of an order begins.

    A state is one of the columns wherever its filter is wanted often; without the filter, there is
    one part for each state.
    """
    if filters.in_trash:
        return [()], set()
    if order.key in {"ended", "name"}:
        all_states = ENDED if order.key == "ended" else tuple(JobState)
        states = [state for state in all_states if state in (filters.states or all_states)]
        return [(Job.state == state,) for state in states], {STATES}
    names = ("dataset", "best_metric") if order.key == "best" else tuple(CREATED)
    for name in names:
        value = getattr(filters, name)
        if value is not None and value == filters.version:
            return [(COLUMNS[name] == dataset_of_version(value),)], set()
        if value is not None:
            return [(COLUMNS[name] == value,)], {name}
    if filters.states and order.key == "created":
        return [(Job.state == state,) for state in dict.fromkeys(filters.states)], {STATES}
    return [()], set()


def _range(filters: JobFilter, order: JobOrder) -> tuple[Conditions, set[str]]:
    """Return the filter that is a range of the order's column, and its name."""
    if order.key == "created" and filters.created_after is not None:
        return (Job.created_at > filters.created_after,), {"created_after"}
    if order.key == "ended" and filters.ended_after is not None:
        return (Job.ended_at > filters.ended_after,), {"ended_after"}
    if order.key == "name" and filters.name_prefix is not None:
        return (begins_with(Job.name, filters.name_prefix),), {"name_prefix"}
    return (), set()
