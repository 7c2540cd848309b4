"""Queries of the audit log."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.audit.tables import AuditRecord


def records_before(
    session: Session, before: str | None, *, project_id: str | None, limit: int
) -> Sequence[AuditRecord]:
    """Return up to `limit` records with smaller ids than `before`, newest first.

    Args:
        session: of one snapshot.
        before: id of a record; None for the newest.
        project_id: only records of this project; None for all.
        limit: the maximum number.
    """
    statement = select(AuditRecord).order_by(AuditRecord.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(AuditRecord.id < before)
    if project_id is not None:
        statement = statement.where(AuditRecord.project_id == project_id)
    return session.scalars(statement).all()
