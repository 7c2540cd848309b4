"""The orders of a list of jobs, and positions in them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, UnaryExpression, literal, tuple_

from app.jobs.tables import Job

Position = Sequence[str | float | None]
"""A position in an order, as JSON: the value of the order's column, and the job's id."""

_COLUMNS: Final[dict[str, Any]] = {
    "created": Job.created_at,
    "ended": Job.ended_at,
    "name": Job.name,
    "best": Job.best_rank,
}


@dataclass(frozen=True)
class Segment:
    """A part of an order in which no key is null, or all are.

    Attributes:
        condition: the jobs of the segment; None for all.
        columns: of the order, the last one unique.
        keyed: those whose values differ; a position has one value for each.
        descending: the direction of all columns.
    """

    condition: ColumnElement[bool] | None
    columns: tuple[Any, ...]
    keyed: tuple[Any, ...]
    descending: bool

    @property
    def conditions(self) -> tuple[ColumnElement[bool], ...]:
        """The condition as none or one."""
        return () if self.condition is None else (self.condition,)

    @property
    def directed(self) -> list[UnaryExpression[Any]]:
        """The terms of an ORDER BY."""
        return [each.desc() if self.descending else each.asc() for each in self.columns]

    def after(self, keys: Sequence[Any]) -> ColumnElement[bool]:
        """Return the condition of the jobs behind a position."""
        here, there = self._compared(keys)
        behind: ColumnElement[bool] = here < there if self.descending else here > there
        return behind

    def up_to(self, keys: Sequence[Any]) -> ColumnElement[bool]:
        """Return the condition of the jobs up to a position and at it."""
        here, there = self._compared(keys)
        before: ColumnElement[bool] = here >= there if self.descending else here <= there
        return before

    def _compared(self, keys: Sequence[Any]) -> tuple[Any, Any]:
        there = (literal(v, c.type) for c, v in zip(self.keyed, keys, strict=True))
        return tuple_(*self.keyed), tuple_(*there)


@dataclass(frozen=True)
class JobOrder:
    """A list's order: `created`, `ended` (ended jobs only), `name` or `best`.

    `best` is by the rank of the best value, descending from the best job on. Jobs without one are
    last in both directions, because nothing is known of them.
    """

    key: str = "created"
    descending: bool = True

    def position(self, job: Job) -> Position:
        """Return a job's position in this order, as JSON."""
        value = getattr(job, _COLUMNS[self.key].key)
        return [value.isoformat() if isinstance(value, datetime) else value, job.id]

    def position_of(self, segment: Segment, keys: Sequence[Any]) -> Position:
        """Return the position of a job of which only its keys in a segment are known."""
        *first, job_id = keys
        value = first[0] if len(segment.keyed) > 1 else None
        return [value.isoformat() if isinstance(value, datetime) else value, job_id]

    def segments(self, after: Position | None) -> list[tuple[Segment, Sequence[Any] | None]]:
        """Return the segments from a position on, each with the keys behind which it starts."""
        column = _COLUMNS[self.key]
        both = (column, Job.id)
        if self.key in {"created", "name"}:
            segments = [Segment(None, both, both, self.descending)]
        else:
            segments = [Segment(column.is_not(None), both, both, self.descending)]
        if self.key == "best":
            segments.append(Segment(column.is_(None), both, (Job.id,), self.descending))
        if after is None:
            return [(segment, None) for segment in segments]
        value, job_id = after
        if value is None:
            return [(segments[-1], [job_id])]
        is_time = self.key in {"created", "ended"}
        start = [datetime.fromisoformat(str(value)) if is_time else value, job_id]
        return [(segments[0], start), *((segment, None) for segment in segments[1:])]
