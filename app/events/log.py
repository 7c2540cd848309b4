"""The order of the event log, and how readers follow it without losing or repeating an event.

A position is the id of the transaction that inserted the row, then the row's own number. SQLite has
one writer at a time, so rows appear in the order of their numbers, and all transaction ids are 0.
PostgreSQL's transactions commit in another order than they take numbers. A reader sees only rows
whose transaction is older than every transaction that still runs (`pg_snapshot_xmin`): no row can
appear in front of one that it has seen.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from pydantic import JsonValue
from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    bindparam,
    column,
    func,
    select,
    table,
    text,
    tuple_,
)
from sqlalchemy.orm import Session

from app.core.pages import BadCursor, CursorSeal
from app.events.tables import EventRow, Level

SCANNED_AT_ONCE: Final = 5000
"""Rows that one read looks at, when it wants the rows of some projects only."""

_KIND = "log"
# The sequence also knows the numbers of deleted rows.
_STATE_ON_SQLITE: Final = """
SELECT (SELECT generation FROM event_log) AS generation,
(SELECT seq FROM sqlite_sequence WHERE name = 'events') AS bound,
newest.transaction_id, newest.position
FROM (SELECT 1) AS one LEFT JOIN (
SELECT transaction_id, position FROM events
ORDER BY transaction_id DESC, position DESC LIMIT 1) AS newest ON true"""
_STATE_ON_POSTGRESQL: Final = """
SELECT (SELECT generation FROM event_log) AS generation,
pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS bound,
newest.transaction_id, newest.position
FROM (SELECT 1) AS one LEFT JOIN (
SELECT transaction_id, position FROM events
WHERE transaction_id < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
ORDER BY transaction_id DESC, position DESC LIMIT 1) AS newest ON true"""
_STATE: Final = {"sqlite": text(_STATE_ON_SQLITE), "postgresql": text(_STATE_ON_POSTGRESQL)}


@dataclass(frozen=True, order=True)
class LogPosition:
    """A place in the log: behind the row with these numbers, in front of the next one.

    Positions are comparable within a generation. Without a generation, a position counts as one of
    the current generation.
    """

    transaction_id: int
    position: int
    generation: str = field(default="", compare=False)


START: Final = LogPosition(0, 0)
"""In front of the oldest row."""


@dataclass(frozen=True)
class LogRow:
    """One row of the log: an event of a job, or a state of a dataset (`dataset.<state>`)."""

    at: LogPosition
    project_id: str
    job_id: str | None
    dataset_id: str | None
    version_id: str | None
    seq: int | None
    type: str
    level: Level
    data: dict[str, JsonValue]
    created_at: datetime


@dataclass(frozen=True)
class LogPage:
    """Rows in order, and the position from which the next read continues.

    Attributes:
        rows: may be empty although `has_more` is true, if all scanned rows are of other projects.
        sealed_to: everything up to here was read.
        has_more: whether the log has sealed rows behind `sealed_to`.
        gap: the given position is of another generation or ahead of the log, so events may have
            been missed; `sealed_to` is then the newest position.
    """

    rows: Sequence[LogRow]
    sealed_to: LogPosition
    has_more: bool = False
    gap: bool = False


def newest_sealed(session: Session) -> LogPosition:
    """Return the position behind the newest row that a reader may see."""
    return _state(session).newest


def read_log(
    session: Session,
    after: LogPosition | None,
    *,
    project_ids: Collection[str] | None,
    limit: int,
    job_id: str | None = None,
) -> LogPage:
    """Return up to `limit` rows behind `after`, oldest first.

    Args:
        session: to read with. It runs one statement if there is nothing new, otherwise two, or
            three with `project_ids`.
        after: where the reader is; None is in front of the oldest row.
        project_ids: only rows of these projects; None means all. At most `SCANNED_AT_ONCE` rows of
            the log are looked at.
        limit: the largest number of rows.
        job_id: only rows of this job, which are found by its index; None means all.
    """
    state = _state(session)
    start = replace(after or START, generation=state.newest.generation)
    if after is not None and not state.knows(after):
        return LogPage((), state.newest, gap=True)
    if state.newest <= start:
        return LogPage((), start)
    end = state.newest
    if project_ids is not None and job_id is None:
        end = _scanned_to(session, start, end)
    wanted = _rows_of(project_ids, job_id)
    found = session.execute(wanted, _bounds(start, end) | {"limit": limit}).all()
    rows = [_log_row(row, end.generation) for row in found]
    sealed_to = rows[-1].at if len(rows) == limit else end
    return LogPage(rows, sealed_to, has_more=sealed_to < state.newest)


class PositionSeal:
    """Seals positions for clients, who cannot read or forge them, and opens them again."""

    def __init__(self, cursors: CursorSeal) -> None:
        self._cursors = cursors

    def seal(self, at: LogPosition) -> str:
        """Return the text for a position. Equal positions have equal texts."""
        return self._cursors.seal(_KIND, [at.generation, str(at.transaction_id), str(at.position)])

    def open(self, sealed: str) -> LogPosition | None:
        """Return the position in a text; None if no server of this instance sealed it.

        Whether it is of the log's current generation is found when it is read (`LogPage.gap`).
        """
        try:
            generation, transaction_id, position = self._cursors.open(_KIND, sealed)
        except BadCursor:
            return None
        return LogPosition(int(str(transaction_id)), int(str(position)), str(generation))


@dataclass(frozen=True)
class _State:
    """The log at one moment.

    Attributes:
        newest: behind the newest row that a reader may see.
        bound: on PostgreSQL, the oldest transaction that still runs; on SQLite the highest number
            that a row ever had.
        bounds_transactions: which of both it is.
    """

    newest: LogPosition
    bound: int
    bounds_transactions: bool

    def knows(self, at: LogPosition) -> bool:
        """Return whether the log can have given out this position."""
        if at.generation not in {"", self.newest.generation}:
            return False
        if self.bounds_transactions:
            return at.transaction_id < self.bound
        return at.transaction_id == 0 and at.position <= self.bound


def _state(session: Session) -> _State:
    dialect = session.get_bind().dialect.name
    row = session.execute(_STATE[dialect]).one()
    newest = LogPosition(row.transaction_id or 0, row.position or 0, row.generation or "")
    return _State(newest, row.bound or 0, bounds_transactions=dialect == "postgresql")


def _place() -> ColumnElement[Any]:
    return tuple_(EventRow.transaction_id, EventRow.position)


def _bound(name: str) -> ColumnElement[Any]:
    return tuple_(bindparam(f"{name}_transaction"), bindparam(f"{name}_position"))


def _bounds(after: LogPosition, upto: LogPosition) -> dict[str, object]:
    return {
        "after_transaction": after.transaction_id,
        "after_position": after.position,
        "upto_transaction": upto.transaction_id,
        "upto_position": upto.position,
    }


# Rows of an earlier release have no project of their own.
_JOBS = table("jobs", column("id"), column("project_id"))
_PROJECT = func.coalesce(
    EventRow.project_id,
    select(_JOBS.c.project_id).where(_JOBS.c.id == EventRow.job_id).scalar_subquery(),
)
_BETWEEN = (_place() > _bound("after"), _place() <= _bound("upto"))
_ORDER = (EventRow.transaction_id, EventRow.position)
# Built once: building a statement takes longer than running it.
_ALL_ROWS: Select[*tuple[Any, ...]] = (
    select(
        EventRow.transaction_id,
        EventRow.position,
        _PROJECT.label("project_id"),
        EventRow.job_id,
        EventRow.dataset_id,
        EventRow.version_id,
        EventRow.seq,
        EventRow.type,
        EventRow.level,
        EventRow.data,
        EventRow.created_at,
    )
    .where(*_BETWEEN)
    .order_by(*_ORDER)
    .limit(bindparam("limit"))
)
_END_OF_SCAN = select(*_ORDER).where(*_BETWEEN).order_by(*_ORDER).offset(bindparam("skipped"))


def _rows_of(project_ids: Collection[str] | None, job_id: str | None) -> Select[*tuple[Any, ...]]:
    rows = _ALL_ROWS
    if project_ids is not None:
        rows = rows.where(_PROJECT.in_(project_ids))
    return rows if job_id is None else rows.where(EventRow.job_id == job_id)


def _scanned_to(session: Session, after: LogPosition, newest: LogPosition) -> LogPosition:
    """Return the position of the last row that this read looks at."""
    bounds = _bounds(after, newest) | {"skipped": SCANNED_AT_ONCE - 1}
    last = session.execute(_END_OF_SCAN.limit(1), bounds).first()
    if last is None:
        return newest
    return replace(newest, transaction_id=last.transaction_id, position=last.position)


def _log_row(row: Row[Any], generation: str) -> LogRow:
    return LogRow(
        at=LogPosition(row.transaction_id, row.position, generation),
        project_id=row.project_id,
        job_id=row.job_id,
        dataset_id=row.dataset_id,
        version_id=row.version_id,
        seq=row.seq,
        type=row.type,
        level=row.level,
        data=row.data,
        created_at=row.created_at,
    )
