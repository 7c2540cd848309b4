"""Which version is verified next, fair between projects, and how a verification ends.

A project with a thousand waiting uploads must not delay the single upload of another. So the next
version is one of the project with the fewest running verifications, counted over all servers by
their leases; among equals, of the project whose last claim is longest ago; then the oldest.
The verifier's writes are guarded by the version's attempt number, as a worker's are by the job's.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session, aliased

from app.core.database import database_now, upsert
from app.core.leased_rows import MAX_CRASHES, LeasedRows, RowHold
from app.datasets.tables import Dataset, DatasetVersion, VerificationTurn, VersionState
from app.events.repository import append_version_event

VERIFICATIONS: Final = LeasedRows(
    DatasetVersion,
    work="verification",
    id_field="version_id",
    waiting=DatasetVersion.state == VersionState.VALIDATING,
    notes=(DatasetVersion.progress,),
)
"""The versions that wait for verification, of all projects."""


def awaits_verification(session: Session, *, max_bytes: int | None = None) -> bool:
    """Return whether a version of any project can be claimed now; see `claim_next_version`."""
    claimable = (*VERIFICATIONS.claimable(), *_at_most(max_bytes))
    return session.scalars(select(DatasetVersion.id).where(*claimable).limit(1)).first() is not None


def claim_next_version(
    session: Session, *, lease: timedelta, max_bytes: int | None = None
) -> DatasetVersion | None:
    """Claim the version that is verified next, and note the turn of its project.

    Args:
        session: a transaction without earlier writes.
        lease: how long the claim is valid without a renewal.
        max_bytes: the largest archive to claim; None claims any.

    Returns:
        The claimed version; None if no version can be claimed.
    """
    candidates = _in_turn().where(*_at_most(max_bytes))
    version = VERIFICATIONS.claim_first(session, candidates, lease=lease)
    if version is not None:
        project = select(Dataset.project_id).where(Dataset.id == version.dataset_id)
        turn = {"project_id": project.scalar_subquery(), "claimed_at": database_now()}
        session.execute(upsert(session, VerificationTurn, turn, key=("project_id",)))
        if version.attempt > 1:  # its verification begins again
            data = {"attempt": version.attempt}
            append_version_event(session, version.id, version.state, data=data)
    return version


def lock_dataset_of(session: Session, hold: RowHold) -> Dataset | None:
    """Return the dataset of a held version with its row locked.

    The lock keeps verifications of other versions of the dataset from ending at the same time.
    """
    statement = (
        select(Dataset)
        .join(DatasetVersion, DatasetVersion.dataset_id == Dataset.id)
        .where(*VERIFICATIONS.held_by(hold))
    )
    return session.scalars(statement.with_for_update(of=Dataset)).first()


def finish_verification(session: Session, hold: RowHold, values: Mapping[str, object]) -> bool:
    """Write the result of a verification and end it. Return False if the hold is no longer valid.

    `values` are columns of the version: `state` (ready or invalid), `report` and those derived from
    the report.
    """
    finished = VERIFICATIONS.finish(session, hold, _verified(values))
    if finished:
        append_version_event(session, hold.row_id, str(values["state"]))
    return finished


def record_crash(session: Session, hold: RowHold, *, verdict: Mapping[str, object]) -> int | None:
    """Count a crash of a verification and make the version claimable at once; the third ends it.

    `verdict` has the columns that end it, as in `finish_verification`. Returns the number of
    crashes so far, or None if the hold is no longer valid.
    """
    crashes = VERIFICATIONS.record_crash(session, hold, last=_verified(verdict))
    if crashes is not None and crashes >= MAX_CRASHES:
        append_version_event(session, hold.row_id, str(verdict["state"]))
    return crashes


def _in_turn() -> Select[str]:
    """Return the ids of all versions in the order in which projects have their turn."""
    running = _running_by_project().subquery()
    turn = VerificationTurn
    return (
        select(DatasetVersion.id)
        .join(Dataset, Dataset.id == DatasetVersion.dataset_id)
        .outerjoin(running, running.c.project_id == Dataset.project_id)
        .outerjoin(turn, turn.project_id == Dataset.project_id)
        .order_by(
            func.coalesce(running.c.number, 0),
            turn.claimed_at.is_not(None),  # the databases sort NULL to different ends
            turn.claimed_at,
            DatasetVersion.id,
        )
    )


def _running_by_project() -> Select[str, int]:
    version, dataset = aliased(DatasetVersion), aliased(Dataset)
    return (
        select(dataset.project_id, func.count().label("number"))
        .select_from(version)
        .join(dataset, dataset.id == version.dataset_id)
        .where(version.state == VersionState.VALIDATING, version.lease_expires_at >= database_now())
        .group_by(dataset.project_id)
    )


def _at_most(max_bytes: int | None) -> tuple[ColumnElement[bool], ...]:
    if max_bytes is None:
        return ()
    # A version that is made from stored files can be large without an archive.
    return (DatasetVersion.archive_bytes <= max_bytes, DatasetVersion.recipe.is_(None))


def _verified(values: Mapping[str, object]) -> dict[str, object]:
    return {**values, "verified_at": database_now(), "upload_used_at": database_now()}
