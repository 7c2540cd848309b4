"""The pieces of a running attempt's log, and the artifacts that replace them at its end."""

from collections.abc import Iterator, Mapping, Sequence

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from app.artifacts.names import ArtifactKind
from app.artifacts.repository import artifact_named, insert_artifact
from app.artifacts.tables import Artifact
from app.core.database import announce, upsert
from app.core.storage import StoredObject
from app.core.wake_ups import PROGRESS
from app.jobs.locks import Hold, guarded_update
from app.jobs.tables import Job, LogChunk

LAST_LOG = "train.log"


def append_log(session: Session, hold: Hold, *, offset: int, chunk: bytes) -> None:
    """Store a piece of the attempt's log; `offset` is the number of bytes before it.

    Idempotent: callers repeat it when they did not receive the answer to a commit.
    """
    guarded_update(session, hold, {"last_seq": Job.last_seq})
    key = {"job_id": hold.job_id, "attempt": hold.attempt, "offset": offset}
    piece = {**key, "bytes": chunk}
    session.execute(upsert(session, LogChunk, piece, key=tuple(key)))
    announce(session, PROGRESS)


def attempts_with_logs(session: Session, job_id: str) -> Sequence[int]:
    """Return the attempts of a job whose logs are still stored in pieces."""
    statement = select(LogChunk.attempt).where(LogChunk.job_id == job_id).distinct()
    return sorted(session.scalars(statement))


def log_pieces(session: Session, job_id: str, attempt: int) -> Iterator[bytes]:
    """Yield the pieces of an attempt's log in order."""
    statement = (
        select(LogChunk.bytes)
        .where(LogChunk.job_id == job_id, LogChunk.attempt == attempt)
        .order_by(LogChunk.offset)
        .execution_options(yield_per=16)
    )
    yield from session.scalars(statement)


def replace_log_pieces(session: Session, hold: Hold, logs: Mapping[int, StoredObject]) -> None:
    """Record stored logs as artifacts by attempt, and delete their pieces.

    The log of the held attempt is `train.log`, those of earlier attempts `train.<attempt>.log`.
    """
    guarded_update(session, hold, {"last_seq": Job.last_seq})
    _rename_log_of_earlier_attempt(session, hold)
    for attempt, stored in logs.items():
        insert_artifact(
            session,
            hold.job_id,
            stored,
            attempt=attempt,
            kind=ArtifactKind.LOG,
            name=LAST_LOG if attempt == hold.attempt else _log_name(attempt),
            epoch=None,
        )
        session.execute(
            delete(LogChunk).where(LogChunk.job_id == hold.job_id, LogChunk.attempt == attempt)
        )


def _rename_log_of_earlier_attempt(session: Session, hold: Hold) -> None:
    last = artifact_named(session, hold.job_id, LAST_LOG)
    if last is not None and last.attempt != hold.attempt:
        session.execute(
            update(Artifact).where(Artifact.id == last.id).values(name=_log_name(last.attempt))
        )


def _log_name(attempt: int) -> str:
    return f"train.{attempt}.log"
