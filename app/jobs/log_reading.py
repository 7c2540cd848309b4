"""Reading the log of a running attempt from its pieces. Callers check access to the job first."""

from typing import Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.jobs.tables import LogChunk

MOST_PIECE_BYTES: Final = 256 * 1024
"""No worker stores a longer piece."""


def log_size(session: Session, job_id: str, attempt: int) -> int:
    """Return the current size in bytes of a running attempt's stored log."""
    statement = (
        select(LogChunk.offset + func.length(LogChunk.bytes))
        .where(LogChunk.job_id == job_id, LogChunk.attempt == attempt)
        .order_by(LogChunk.offset.desc())
        .limit(1)
    )
    return session.scalars(statement).first() or 0


def log_bytes(session: Session, job_id: str, attempt: int, *, start: int, length: int) -> bytes:
    """Return a part of a running attempt's log."""
    statement = (
        select(LogChunk.offset, LogChunk.bytes)
        .where(
            LogChunk.job_id == job_id,
            LogChunk.attempt == attempt,
            LogChunk.offset < start + length,
            LogChunk.offset > start - MOST_PIECE_BYTES,  # found by the key; the next one is not
            LogChunk.offset + func.length(LogChunk.bytes) > start,
        )
        .order_by(LogChunk.offset)
    )
    chunks = session.execute(statement).all()
    if not chunks:
        return b""
    skipped = start - chunks[0].offset
    return b"".join(bytes(chunk.bytes) for chunk in chunks)[skipped : skipped + length]
