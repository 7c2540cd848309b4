"""Rows whose time is over: of jobs in the trash, training states, idempotency keys, credentials."""

from datetime import timedelta
from typing import Final

from sqlalchemy import Select, delete, func, or_, select, tuple_, update
from sqlalchemy.orm import Session

from app.accounts.tables import ApiKey, BrowserSession
from app.artifacts.names import STATE, ArtifactKind
from app.artifacts.repository import condemn, drop_superseded_checkpoints
from app.artifacts.resume_sets import KeptSets
from app.artifacts.tables import Artifact
from app.core.crash_points import CrashPoint, crash_point
from app.core.database import Database, database_now
from app.jobs.states import JobState
from app.jobs.tables import IdempotencyKey, Job

IDEMPOTENCY: Final = timedelta(hours=24)
"""How long a submit that is sent again with its key gets the same job."""
AT_ONCE: Final = 500


def trashed_jobs(session: Session, *, after: timedelta, limit: int) -> list[str]:
    """Return jobs that have been in the trash for so long, the first deleted first."""
    statement = select(Job.id).where(Job.trashed_at < database_now(-after))
    return list(session.scalars(statement.order_by(Job.trashed_at).limit(limit)))


def purge_job(database: Database, job_id: str, *, after: timedelta, grace: timedelta) -> bool:
    """Delete a trashed job for good; False where it was restored, or is gone.

    One transaction: its rows go, its bytes are condemned, and the jobs made from it lose nothing
    but the pointer to it. They name the weights that they start from by themselves.
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
    """Return jobs that ended so long ago and still keep their training state."""
    statement = _outdated_states(after).distinct()
    return list(session.scalars(statement.order_by(Artifact.job_id).limit(limit)))


def count_outdated_states(session: Session, *, after: timedelta) -> int:
    """Return how many jobs have a training state that they would lose."""
    outdated = _outdated_states(after).distinct().subquery()
    return session.scalar(select(func.count()).select_from(outdated)) or 0


def drop_outdated_state(
    database: Database, job_id: str, *, after: timedelta, grace: timedelta
) -> bool:
    """Drop the training state of a job that ended so long ago; False where that went on meanwhile.

    One transaction: the rows of its resume set go, and their bytes are condemned. A job that did
    not succeed keeps the weights that a retry goes on from, as long as it is there.
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


def delete_expired_rows(database: Database, *, grace: timedelta) -> int:
    """Delete keys and sessions that nobody can use any more, so many in one go; return how many.

    API keys and sessions stay for `grace`, so that somebody can see why they are refused.
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
        sessions = list(session.scalars(_sessions(grace).limit(AT_ONCE)))
        session.execute(delete(BrowserSession).where(BrowserSession.id.in_(sessions)))
    return len(keys) + len(credentials) + len(sessions)


def count_expired_rows(session: Session, *, grace: timedelta) -> int:
    """Return how many rows `delete_expired_rows` would delete in all."""
    asked = (_idempotency_keys(None), _api_keys(grace), _sessions(grace))
    counts = (session.scalar(select(func.count()).select_from(each.subquery())) for each in asked)
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


def _sessions(grace: timedelta) -> Select[str]:
    return select(BrowserSession.id).where(BrowserSession.expires_at < database_now(-grace))
