"""Rows that wait for work by one process at a time, with a lease and an attempt number.

Dataset versions that wait for verification and models that wait for inspection are such rows. Only
the database's clock decides whether a lease has expired. Every write is guarded by the attempt
number, so a process that lost its row changes nothing. Jobs have a separate lease
(`app/jobs/locks.py`), which also fences off a trainer.
"""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Generic, Self, TypeVar

from sqlalchemy import ColumnElement, Select, case, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import InstrumentedAttribute, Mapped, Session

from app.core.background import Background
from app.core.database import Database, database_now
from app.core.logging import first_line, get_logger
from app.settings.timing import Timing

log = get_logger(__name__)

MAX_CRASHES: Final = 3
"""After this number of crashes a row is finished as failed."""

NOTES_SECONDS: Final = 1.0
"""Shortest time between two renewals of a lease that only write notes about the work."""


class LeasedRow:
    """The columns that a mapped class of leased rows must define."""

    id: Mapped[str]
    attempt: Mapped[int]
    crashes: Mapped[int]
    lease_expires_at: Mapped[datetime | None]


Row_co = TypeVar("Row_co", bound=LeasedRow, covariant=True)


@dataclass(frozen=True)
class RowHold:
    """The right to write to a row: valid until the row is finished or claimed again."""

    row_id: str
    attempt: int

    @classmethod
    def of(cls, claimed: LeasedRow) -> Self:
        """Return the hold on a claimed row."""
        return cls(claimed.id, claimed.attempt)


class LeasedRows(Generic[Row_co]):
    """The leased rows of one table: claims them, and guards writes with the claim.

    Args:
        table: the mapped class.
        work: a noun for the work, such as "verification", for logs and messages.
        id_field: the log field of the row's id.
        waiting: the condition for rows whose work is not finished, claimed or not.
        notes: nullable columns about the running work; null when a claim begins or ends.
    """

    def __init__(
        self,
        table: type[Row_co],
        *,
        work: str,
        id_field: str,
        waiting: ColumnElement[bool],
        notes: Sequence[InstrumentedAttribute[Any]] = (),
    ) -> None:
        self.work = work
        self.id_field = id_field
        self._table = table
        self._waiting = waiting
        self._ended: dict[str, object] = dict.fromkeys((note.key for note in notes), None)

    def claimable(self) -> tuple[ColumnElement[bool], ...]:
        """Return the condition for waiting rows without a valid lease."""
        lease = self._table.lease_expires_at
        return (self._waiting, or_(lease.is_(None), lease < database_now()))

    def held_by(self, hold: RowHold) -> tuple[ColumnElement[bool], ...]:
        """Return the condition that guards every write under a hold."""
        return (
            self._table.id == hold.row_id,
            self._table.attempt == hold.attempt,
            self._waiting,
        )

    def claim(
        self, session: Session, *, lease: timedelta, rung_for: str | None = None
    ) -> Row_co | None:
        """Claim the row `rung_for` or else the oldest one: increment its attempt, start its lease.

        An expired lease counts as a crash, because a process that stops cleanly releases its row.
        Returns None if no row can be claimed.
        """
        table = self._table
        order = [table.id] if rung_for is None else [table.id != rung_for, table.id]
        return self.claim_first(session, select(table.id).order_by(*order), lease=lease)

    def claim_first(
        self, session: Session, candidates: Select[str], *, lease: timedelta
    ) -> Row_co | None:
        """Claim the first claimable row of `candidates`, which selects ids in order; see `claim`.

        Returns None if no row can be claimed.
        """
        table = self._table
        first = (
            candidates.where(*self.claimable()).limit(1).with_for_update(skip_locked=True, of=table)
        )
        expired = case((table.lease_expires_at.is_(None), 0), else_=1)
        statement = (
            update(table)
            .where(table.id == first.scalar_subquery(), *self.claimable())
            .values(
                attempt=table.attempt + 1,
                crashes=table.crashes + expired,
                lease_expires_at=database_now(lease),
                **self._ended,
            )
            .returning(table)
        )
        return session.scalars(statement).first()

    def renew(
        self,
        session: Session,
        hold: RowHold,
        *,
        lease: timedelta,
        notes: Mapping[str, object] | None = None,
    ) -> bool:
        """Renew the lease and write notes about the work; return whether the hold is valid."""
        values = {"lease_expires_at": database_now(lease), **(notes or {})}
        return self._guarded_update(session, hold, values) is not None

    def release(
        self, session: Session, hold: RowHold, values: Mapping[str, object] | None = None
    ) -> bool:
        """End the lease without counting a crash, so that others can claim the row immediately.

        `values` are further columns to write. Returns whether the hold was still valid.
        """
        released = {**(values or {}), "lease_expires_at": None, **self._ended}
        return self._guarded_update(session, hold, released) is not None

    def record_crash(
        self, session: Session, hold: RowHold, *, last: Mapping[str, object]
    ) -> int | None:
        """Count a crash and end the lease, or finish the row after `MAX_CRASHES`.

        Args:
            session: a transaction without earlier writes.
            hold: guards the writes.
            last: the columns that finish the row.

        Returns:
            The number of crashes of the row; None if the hold is no longer valid.
        """
        crashed = {"lease_expires_at": None, "crashes": self._table.crashes + 1}
        values = {**crashed, **self._ended}
        crashes = self._guarded_update(session, hold, values)
        if crashes is not None and crashes >= MAX_CRASHES:
            self.finish(session, hold, last)
        return crashes

    def finish(
        self,
        session: Session,
        hold: RowHold,
        values: Mapping[str, object],
        *further: ColumnElement[bool],
    ) -> bool:
        """Write the result and end the lease; afterwards the row no longer waits.

        Args:
            session: a transaction without earlier writes.
            hold: guards the write.
            values: columns of the result; with them `waiting` is no longer true.
            further: conditions on the row in addition to the hold.

        Returns:
            Whether the result was written; False if the hold is no longer valid or `further` is not
            true.
        """
        ended = {**values, "lease_expires_at": None, **self._ended}
        return self._guarded_update(session, hold, ended, *further) is not None

    def gave_up(self, reason: str) -> str:
        """Return the message for the user about a row that crashed `MAX_CRASHES` times."""
        return f"The {self.work} failed {MAX_CRASHES} times: {reason}."

    def _guarded_update(
        self,
        session: Session,
        hold: RowHold,
        values: Mapping[str, object],
        *further: ColumnElement[bool],
    ) -> int | None:
        """Return the row's crashes after the update; None if the guard did not match."""
        statement = (
            update(self._table)
            .where(*self.held_by(hold), *further)
            .values(values)
            .returning(self._table.crashes)
            .execution_options(synchronize_session=False)
        )
        return session.scalars(statement).first()


class LeaseKeeper(Background):
    """Renews the lease of a claimed row in a background thread for the duration of a `with` block.

    Args:
        database: contains the row.
        rows: the leased rows of the row's table.
        hold: the hold on the claimed row.
        timing: the duration of the lease, the interval of renewals, and the time without a renewal
            after which the row counts as lost.
    """

    def __init__(
        self, database: Database, rows: LeasedRows[LeasedRow], hold: RowHold, timing: Timing
    ) -> None:
        super().__init__(f"{rows.work} lease")
        self._database = database
        self._rows = rows
        self._hold = hold
        self._timing = timing
        self._log = log.bind(work=rows.work, **{rows.id_field: hold.row_id}, attempt=hold.attempt)
        self._lost = threading.Event()
        self._waking = threading.Event()
        self._ending = threading.Event()
        self._notes: Mapping[str, object] | None = None

    def note(self, **notes: object) -> None:
        """Write notes about the work with the next renewal, within about a second.

        Call it from one thread. Returns at once; newer notes replace older ones.
        """
        self._notes = notes
        self._waking.set()

    def end(self) -> None:
        """Expect that the row is finished from now on: then it is not lost."""
        self._ending.set()

    def _stop(self) -> None:
        super()._stop()
        self._waking.set()

    @property
    def is_lost(self) -> bool:
        """Whether another process may have claimed the row; stop the work if so."""
        return self._lost.is_set()

    def _run(self) -> None:
        renewed_at = time.monotonic()
        while self._is_due_again():
            sent_at = time.monotonic()
            try:
                if not self._renew():
                    if self._ending.is_set():
                        return
                    self._log.warning("lease.fenced")
                    break
                renewed_at = sent_at
            except SQLAlchemyError as error:
                self._log.warning("lease.not_renewed", error=first_line(error))
                if time.monotonic() - renewed_at > self._timing.self_fence_seconds:
                    self._log.warning("lease.lost")
                    break
        else:
            return
        self._lost.set()

    def _is_due_again(self) -> bool:
        """Wait until the next renewal is due. Return False if the work is over."""
        heartbeat = self._timing.heartbeat_seconds
        rest = min(heartbeat, NOTES_SECONDS)
        if not self._stopping.wait(rest):
            self._waking.wait(heartbeat - rest)
        return not self._stopping.is_set()

    def _renew(self) -> bool:
        self._waking.clear()
        notes = self._notes
        with self._database.write() as unit:
            return self._rows.renew(unit.session, self._hold, lease=self._timing.lease, notes=notes)
