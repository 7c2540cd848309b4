"""Rows that wait for work which one process at a time may do: claims with a lease and an attempt.

A dataset version that waits for its verification and a model that waits for its inspection are such
rows. Only the database's clock judges a lease, and every write is guarded by the number of the
attempt: a process that lost its row changes nothing. Jobs have a lease of their own
(`app/jobs/locks.py`), which also fences off a trainer.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Generic, Self, TypeVar

from sqlalchemy import ColumnElement, case, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Mapped, Session

from app.core.background import Background
from app.core.database import Database, database_now
from app.core.logging import get_logger
from app.settings import Timing

log = get_logger(__name__)

MAX_CRASHES: Final = 3
"""A row whose work crashed so often is finished as a failure."""


class LeasedRow:
    """The columns that a mapped class of leased rows has; each class defines them by itself."""

    id: Mapped[str]
    attempt: Mapped[int]
    crashes: Mapped[int]
    lease_expires_at: Mapped[datetime | None]


Row_co = TypeVar("Row_co", bound=LeasedRow, covariant=True)


@dataclass(frozen=True)
class RowHold:
    """The right to write to a row: valid while the row waits and no later claim was made."""

    row_id: str
    attempt: int

    @classmethod
    def of(cls, claimed: LeasedRow) -> Self:
        """Return the right that a claim gave."""
        return cls(claimed.id, claimed.attempt)


class LeasedRows(Generic[Row_co]):
    """The rows of one table, and every statement that claims them or is guarded by a claim.

    Args:
        table: the mapped class.
        work: what is done to a row, as a noun, for logs and messages.
        id_field: what logs call the row's id.
        waiting: the condition of a row whose work is not done yet, claimed or not.
    """

    def __init__(
        self, table: type[Row_co], *, work: str, id_field: str, waiting: ColumnElement[bool]
    ) -> None:
        self.work = work
        self.id_field = id_field
        self._table = table
        self._waiting = waiting

    def claimable(self) -> tuple[ColumnElement[bool], ...]:
        """The condition of a row that waits and has no valid lease."""
        lease = self._table.lease_expires_at
        return (self._waiting, or_(lease.is_(None), lease < database_now()))

    def held_by(self, hold: RowHold) -> tuple[ColumnElement[bool], ...]:
        """The guard of every write under a hold."""
        return (
            self._table.id == hold.row_id,
            self._table.attempt == hold.attempt,
            self._waiting,
        )

    def claim(
        self, session: Session, *, lease: timedelta, rung_for: str | None = None
    ) -> Row_co | None:
        """Claim the row that was rung for, or else the oldest: its attempt rises, its lease begins.

        A lease that ran out counts as a crash: a process that ends in order releases its row.
        """
        table = self._table
        order = [table.id] if rung_for is None else [table.id != rung_for, table.id]
        first = (
            select(table.id)
            .where(*self.claimable())
            .order_by(*order)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        ran_out = case((table.lease_expires_at.is_(None), 0), else_=1)
        statement = (
            update(table)
            .where(table.id == first.scalar_subquery(), *self.claimable())
            .values(
                attempt=table.attempt + 1,
                crashes=table.crashes + ran_out,
                lease_expires_at=database_now(lease),
            )
            .returning(table)
        )
        return session.scalars(statement).first()

    def renew(self, session: Session, hold: RowHold, *, lease: timedelta) -> bool:
        """Prolong the lease; False: the hold is not valid any more."""
        values = {"lease_expires_at": database_now(lease)}
        return self._guarded_update(session, hold, values) is not None

    def release(self, session: Session, hold: RowHold) -> bool:
        """Let others claim the row at once; its work was interrupted and is not at fault."""
        return self._guarded_update(session, hold, {"lease_expires_at": None}) is not None

    def record_crash(
        self, session: Session, hold: RowHold, *, last: Mapping[str, object]
    ) -> int | None:
        """Count a crash and let others claim the row at once, or finish it after `MAX_CRASHES`.

        Args:
            session: a transaction that wrote nothing before.
            hold: what the writes are guarded by.
            last: the columns that finish the row.

        Returns:
            The crashes of the row so far; None: the hold is not valid any more.
        """
        values = {"lease_expires_at": None, "crashes": self._table.crashes + 1}
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
        """Write the result, so that the row waits no more, and end the lease.

        Args:
            session: a transaction that wrote nothing before.
            hold: what the write is guarded by.
            values: columns of the row; they end the condition `waiting`.
            further: conditions of the row beside the hold.

        Returns:
            Whether it was written; False: the hold is not valid any more, or `further` not true.
        """
        ended = {**values, "lease_expires_at": None}
        return self._guarded_update(session, hold, ended, *further) is not None

    def gave_up(self, reason: str) -> str:
        """Return the message of a row that crashed `MAX_CRASHES` times, for its user."""
        return f"The {self.work} broke off {MAX_CRASHES} times: {reason}."

    def _guarded_update(
        self,
        session: Session,
        hold: RowHold,
        values: Mapping[str, object],
        *further: ColumnElement[bool],
    ) -> int | None:
        """Return the row's crashes after the update; None where the guard kept it from the row."""
        statement = (
            update(self._table)
            .where(*self.held_by(hold), *further)
            .values(values)
            .returning(self._table.crashes)
            .execution_options(synchronize_session=False)
        )
        return session.scalars(statement).first()


class LeaseKeeper(Background):
    """Renews the lease of a claimed row from a thread of its own, between `with` and its end.

    Args:
        database: where the row is.
        rows: the rows that the claimed one is one of.
        hold: what the claim gave.
        timing: how long a lease is, how often it is renewed, and how long the database may be
            silent before the row counts as lost.
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

    @property
    def is_lost(self) -> bool:
        """Whether another process may have claimed the row: nothing more is done for it."""
        return self._lost.is_set()

    def _run(self) -> None:
        renewed_at = time.monotonic()
        while not self._stopping.wait(self._timing.heartbeat_seconds):
            sent_at = time.monotonic()
            try:
                if not self._renew():
                    self._log.warning("lease.fenced")
                    break
                renewed_at = sent_at
            except SQLAlchemyError as error:
                self._log.warning("lease.not_renewed", error=str(error).partition("\n")[0])
                if time.monotonic() - renewed_at > self._timing.self_fence_seconds:
                    self._log.warning("lease.lost")
                    break
        else:
            return
        self._lost.set()

    def _renew(self) -> bool:
        lease = timedelta(seconds=self._timing.lease_seconds)
        with self._database.write() as unit:
            return self._rows.renew(unit.session, self._hold, lease=lease)
