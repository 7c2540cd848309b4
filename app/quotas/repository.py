"""Check quotas and note what is used: one row per project and user, read by its primary key.

A check after a write is exact: the write has locked the rows until the transaction ends.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, cast

from sqlalchemy import Row, Table, bindparam, case, func, select, update
from sqlalchemy.orm import Session

from app.core.database import database_now, upsert
from app.quotas.counters import JOB_COUNTERS
from app.quotas.errors import QueueFull, QuotaExceeded
from app.quotas.tables import Usage

MAX_NUMBER: Final = 2**31 - 1
"""The highest limit of jobs or seconds: what their columns hold on every database."""
MAX_BYTES: Final = 2**53


class Quota(StrEnum):
    """What a quota limits, for a project and for a user."""

    QUEUED_JOBS = "queued_jobs"
    RUNNING_JOBS = "running_jobs"
    STORED_BYTES = "stored_bytes"
    UPLOADED_BYTES = "uploaded_bytes"
    VERIFIER_SECONDS = "verifier_seconds"

    @property
    def maximum(self) -> int:
        """The highest limit that can be set."""
        return MAX_BYTES if self in {Quota.STORED_BYTES, Quota.UPLOADED_BYTES} else MAX_NUMBER


@dataclass(frozen=True)
class Consumer:
    """The project and the user that something counts for."""

    project_id: str
    user_id: str


@dataclass(frozen=True)
class QuotaUse:
    """The limit of a quota, and how much of it is used. Without a limit it is None."""

    limit: int | None
    used: int


def check_within(session: Session, consumer: Consumer, *quotas: Quota) -> None:
    """Check after a write, in its transaction, that no quota is exceeded.

    Raises:
        QueueFull: more jobs wait than allowed.
        QuotaExceeded: more bytes or seconds are used than allowed.
    """
    _check(session, consumer, quotas, more=0)


def check_room(session: Session, consumer: Consumer, *quotas: Quota, more: int = 1) -> None:
    """Check before a write that `more` of each quota is left; `check_within` is exact.

    Raises:
        QueueFull, QuotaExceeded: less is left.
    """
    _check(session, consumer, quotas, more=more)


def usage_of(session: Session, subject_id: str) -> dict[Quota, QuotaUse]:
    """Return the limits of a project or user, and what it uses."""
    rows = _rows(session, [subject_id])
    return rows.get(subject_id) or {quota: QuotaUse(None, 0) for quota in Quota}


def counted_jobs(
    session: Session, project_ids: Collection[str], *, in_trash: bool
) -> Mapping[str, int]:
    """Return the number of jobs of projects by state, outside of the trash or in it."""
    names = {
        state: f"trashed_{state}_jobs" if in_trash else f"{state}_jobs"
        for state in ("queued", "running", "paused", "succeeded", "failed", "cancelled")
    }
    known = {state: name for state, name in names.items() if name in JOB_COUNTERS}
    sums = [func.coalesce(func.sum(getattr(Usage, name)), 0) for name in known.values()]
    row = session.execute(select(*sums).where(Usage.subject_id.in_(project_ids))).one()
    return dict.fromkeys(names, 0) | dict(zip(known, map(int, row), strict=True))


def set_limits(session: Session, subject_id: str, limits: dict[Quota, int | None]) -> None:
    """Set the limits of a project or user; others keep their value. None is no limit."""
    values = {f"max_{quota}": limit for quota, limit in limits.items()}
    if values:
        row = {"subject_id": subject_id, **values}
        session.execute(upsert(session, Usage, row, key=("subject_id",)))


def add_verifier_seconds(session: Session, subject_ids: Sequence[str], seconds: float) -> None:
    """Add processor time of a verification to today's, in UTC by the database's clock."""
    today = _today(session)
    is_today = Usage.verifier_day == today
    statement = (
        update(Usage)
        .where(Usage.subject_id.in_(subject_ids))
        .values(
            verifier_seconds=case((is_today, Usage.verifier_seconds), else_=0.0) + seconds,
            verifier_day=today,
        )
        .execution_options(synchronize_session=False)
    )
    session.execute(statement)


def _check(session: Session, consumer: Consumer, quotas: Sequence[Quota], *, more: int) -> None:
    rows = _rows(session, [consumer.project_id, consumer.user_id])
    for subject_id, whose in ((consumer.project_id, "project"), (consumer.user_id, "user")):
        for quota in quotas:
            found = rows.get(subject_id, {}).get(quota, QuotaUse(None, 0))
            if found.limit is None or found.used + more <= found.limit:
                continue
            if quota is Quota.QUEUED_JOBS:
                raise QueueFull(whose, found.limit, found.used)
            raise QuotaExceeded(quota, whose, found.limit, found.used)


# Built once: every submit runs it twice, and building it takes longer than running it.
_OF_SUBJECTS = select(*cast("Table", Usage.__table__).c, database_now().label("now")).where(
    Usage.subject_id.in_(bindparam("subject_ids", expanding=True))
)


def _rows(session: Session, subject_ids: Sequence[str]) -> dict[str, dict[Quota, QuotaUse]]:
    """Return limits and use by project or user and quota. One statement."""
    found = session.connection().execute(_OF_SUBJECTS, {"subject_ids": list(subject_ids)})
    return {row.subject_id: _measured(row) for row in found}


def _measured(row: Row[*tuple[Any, ...]]) -> dict[Quota, QuotaUse]:
    seconds = round(row.verifier_seconds) if row.verifier_day == row.now.date().isoformat() else 0
    return {
        Quota.QUEUED_JOBS: QuotaUse(row.max_queued_jobs, row.queued_jobs),
        Quota.RUNNING_JOBS: QuotaUse(row.max_running_jobs, row.running_jobs),
        Quota.STORED_BYTES: QuotaUse(row.max_stored_bytes, row.stored_bytes),
        Quota.UPLOADED_BYTES: QuotaUse(row.max_uploaded_bytes, row.uploaded_bytes),
        Quota.VERIFIER_SECONDS: QuotaUse(row.max_verifier_seconds, seconds),
    }


def _today(session: Session) -> str:
    now = session.scalars(select(database_now())).one()
    return now.date().isoformat()
