"""Delete outdated rows: trashed jobs, training states, uploads, idempotency keys, API keys.

Uploaded archives that are no longer used lose their reference, and then their bytes.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import ColumnElement, Select, and_, delete, func, or_, select, tuple_, update
from sqlalchemy.orm import Session

from app.accounts.tables import ApiKey
from app.artifacts.names import STATE, ArtifactKind
from app.artifacts.repository import condemn, drop_superseded_checkpoints
from app.artifacts.resume_sets import KeptSets
from app.artifacts.tables import Artifact
from app.core.crash_points import CrashPoint, crash_point
from app.core.database import Database, database_now
from app.datasets.tables import DatasetVersion, VersionState
from app.jobs.states import JobState
from app.jobs.tables import IdempotencyKey, Job
from app.uploads.tables import Upload

IDEMPOTENCY: Final = timedelta(hours=24)
"""How long a repeated submit with the same idempotency key returns the same job."""
AT_ONCE: Final = 500


def trashed_jobs(session: Session, *, after: timedelta, limit: int) -> list[str]:
    """Return up to `limit` jobs that have been in the trash longer than `after`, oldest first."""
    statement = select(Job.id).where(Job.trashed_at < database_now(-after))
    return list(session.scalars(statement.order_by(Job.trashed_at).limit(limit)))


def purge_job(database: Database, job_id: str, *, after: timedelta, grace: timedelta) -> bool:
    """Delete a trashed job permanently. Return False if it was restored or is already deleted.

    One transaction deletes its rows, condemns its bytes and clears the `parent_id` of the jobs made
    from it. These jobs lose nothing else: they have their own references to the weights that they
    start from.
    """
    ripe = select(Job.id).where(Job.id == job_id, Job.trashed_at < database_now(-after))
    with database.write() as unit:
        session = unit.session
        if session.scalars(ripe.with_for_update()).one_or_none() is None:
            return False
        made = session.scalars(select(Artifact.sha256).where(Artifact.job_id == job_id))
        condemn(session, made, grace=grace)
        session.execute(update(Job).where(Job.parent_id == job_id).values(parent_id=None))
        session.execute(delete(Job).where(Job.id == job_id))
        crash_point(CrashPoint.JOB_PURGE_BEFORE_COMMIT)
    return True


def jobs_with_outdated_states(session: Session, *, after: timedelta, limit: int) -> list[str]:
    """Return up to `limit` jobs that ended longer than `after` ago and have a training state."""
    statement = _outdated_states(after).distinct()
    return list(session.scalars(statement.order_by(Artifact.job_id).limit(limit)))


def count_outdated_states(session: Session, *, after: timedelta) -> int:
    """Return how many jobs ended longer than `after` ago and have a training state."""
    outdated = _outdated_states(after).distinct().subquery()
    return session.scalar(select(func.count()).select_from(outdated)) or 0


def drop_outdated_state(
    database: Database, job_id: str, *, after: timedelta, grace: timedelta
) -> bool:
    """Drop the training state of a job that ended longer than `after` ago.

    Return False if the job was deleted or retried meanwhile. One transaction deletes the rows of
    its resume sets and condemns their bytes. A job that did not succeed keeps the checkpoints that
    a retry needs, as long as the job exists.
    """
    ended = select(Job.state).where(Job.id == job_id, Job.ended_at < database_now(-after))
    with database.write() as unit:
        state = unit.session.scalars(ended.with_for_update()).one_or_none()
        if state is None:
            return False
        kept = KeptSets.of_long_ended(succeeded=state is JobState.SUCCEEDED)
        drop_superseded_checkpoints(unit.session, job_id, kept, grace=grace)
        crash_point(CrashPoint.STATE_DROP_BEFORE_COMMIT)
    return True


def _outdated_states(after: timedelta) -> Select[str]:
    return (
        select(Artifact.job_id)
        .join(Job, Job.id == Artifact.job_id)
        .where(
            Artifact.kind == ArtifactKind.CHECKPOINT,
            Artifact.name == STATE,
            Job.ended_at < database_now(-after),
        )
    )


@dataclass(frozen=True)
class UploadRetention:
    """How long uploaded archives are kept after their last use."""

    ready: timedelta
    invalid: timedelta


def remove_unused_uploads(
    database: Database, retention: UploadRetention, *, grace: timedelta
) -> int:
    """End one batch of references to uploaded archives that are no longer used.

    A version keeps the digest of its archive, so an equal upload is still recognised. Returns how
    many references were ended.
    """
    due = _unused_uploads(retention).limit(AT_ONCE).with_for_update(skip_locked=True)
    with database.write() as unit:
        ids = unit.session.scalars(due).all()
        statement = (
            update(DatasetVersion)
            .where(DatasetVersion.id.in_(ids), DatasetVersion.upload_removed_at.is_(None))
            .values(upload_removed_at=database_now())
            .returning(DatasetVersion.archive_sha256)
        )
        digests = unit.session.scalars(statement).all() if ids else ()
        condemn(unit.session, digests, grace=grace)
        crash_point(CrashPoint.UPLOADS_REMOVED_BEFORE_COMMIT)
    return len(digests)


def count_unused_uploads(session: Session, retention: UploadRetention) -> int:
    """Return how many references `remove_unused_uploads` would end in all."""
    unused = _unused_uploads(retention).subquery()
    return session.scalar(select(func.count()).select_from(unused)) or 0


def _unused_uploads(retention: UploadRetention) -> Select[str]:
    return select(DatasetVersion.id).where(
        DatasetVersion.upload_removed_at.is_(None),
        or_(
            *_unused(VersionState.READY, retention.ready),
            *_unused(VersionState.INVALID, retention.invalid),
        ),
    )


def _unused(state: VersionState, after: timedelta) -> tuple[ColumnElement[bool], ...]:
    version, before = DatasetVersion, database_now(-after)
    never_noted = and_(version.upload_used_at.is_(None), version.created_at < before)
    return (
        and_(version.state == state, version.upload_used_at < before),
        and_(version.state == state, never_noted),
    )


def delete_expired_uploads(database: Database, *, grace: timedelta) -> int:
    """Delete one batch of expired uploads and condemn their stored bytes; return how many."""
    with database.write() as unit:
        expired = unit.session.scalars(_expired_uploads().limit(AT_ONCE).with_for_update()).all()
        condemn(unit.session, (it.sha256 for it in expired if it.sha256), grace=grace)
        unit.session.execute(delete(Upload).where(Upload.id.in_([it.id for it in expired])))
    return len(expired)


def count_expired_uploads(session: Session) -> int:
    """Return how many uploads `delete_expired_uploads` would delete in all."""
    return session.scalar(select(func.count()).select_from(_expired_uploads().subquery())) or 0


def unfinished_among(session: Session, upload_ids: Collection[str]) -> set[str]:
    """Return those of `upload_ids` that still need their file in a spool."""
    statement = select(Upload.id).where(Upload.id.in_(upload_ids), Upload.sha256.is_(None))
    return set(session.scalars(statement))


def _expired_uploads() -> Select[Upload]:
    return select(Upload).where(Upload.expires_at < database_now()).order_by(Upload.expires_at)


def delete_expired_rows(database: Database, *, grace: timedelta) -> int:
    """Delete one batch of idempotency keys and API keys of no further use; return how many.

    Expired or revoked API keys are kept for `grace`, so that an operator can see why they are
    refused. `app.accounts.browser.session_keeper` deletes sessions.
    """
    with database.write() as unit:
        session = unit.session
        keys = session.execute(_idempotency_keys(AT_ONCE)).all()
        session.execute(
            delete(IdempotencyKey).where(
                tuple_(IdempotencyKey.owner_id, IdempotencyKey.key).in_(
                    [(row.owner_id, row.key) for row in keys]
                )
            )
        )
        credentials = list(session.scalars(_api_keys(grace).limit(AT_ONCE)))
        session.execute(delete(ApiKey).where(ApiKey.id.in_(credentials)))
    return len(keys) + len(credentials)


def count_expired_rows(session: Session, *, grace: timedelta) -> int:
    """Return how many rows `delete_expired_rows` would delete in all."""
    selects = (_idempotency_keys(None), _api_keys(grace))
    counts = (session.scalar(select(func.count()).select_from(rows.subquery())) for rows in selects)
    return sum(count or 0 for count in counts)


def _idempotency_keys(limit: int | None) -> Select[str, str]:
    return (
        select(IdempotencyKey.owner_id, IdempotencyKey.key)
        .where(IdempotencyKey.created_at < database_now(-IDEMPOTENCY))
        .order_by(IdempotencyKey.created_at)
        .limit(limit)
    )


def _api_keys(grace: timedelta) -> Select[str]:
    since = database_now(-grace)
    return select(ApiKey.id).where(or_(ApiKey.expires_at < since, ApiKey.revoked_at < since))
