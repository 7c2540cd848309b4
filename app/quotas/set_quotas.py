"""Read and set the quotas of projects and users."""

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.accounts.authentication import Principal
from app.accounts.tables import Project, User
from app.audit.record import Actor, record_change
from app.core.database import Database
from app.quotas.errors import QuotasNotFound
from app.quotas.repository import Quota, QuotaUse, set_limits, usage_of

Limits = Mapping[Quota, int | None]
"""New limits by quota; None is no limit, and a quota that is left out keeps its limit."""


def set_project_quotas(
    database: Database, actor: Actor, project_id: str, limits: Limits
) -> dict[Quota, QuotaUse]:
    """Set quotas of a project; return all its quotas.

    Raises:
        QuotasNotFound: there is no project with this id.
    """
    return _set(database, actor, Project.id, project_id, limits)


def set_user_quotas(
    database: Database, actor: Actor, user_id: str, limits: Limits
) -> dict[Quota, QuotaUse]:
    """Set quotas of a user; return all their quotas.

    Raises:
        QuotasNotFound: there is no user with this id.
    """
    return _set(database, actor, User.id, user_id, limits)


def read_quotas(session: Session, principal: Principal, subject_id: str) -> dict[Quota, QuotaUse]:
    """Return the quotas of a project or user.

    Administrators see all; others see those of their projects and their own.

    Raises:
        QuotasNotFound: the caller sees no project or user with this id.
    """
    may_see = subject_id in principal.project_ids or subject_id == principal.user_id
    if not may_see:
        known = principal.is_administrator and (
            _exists(session, Project.id, subject_id) or _exists(session, User.id, subject_id)
        )
        if not known:
            raise QuotasNotFound
    return usage_of(session, subject_id)


def subject_named(session: Session, *, project: str | None, user: str | None) -> str:
    """Return the id of the project or user of this name.

    Raises:
        QuotasNotFound: there is none.
    """
    statement = (
        select(User.id).where(User.name == user)
        if project is None
        else select(Project.id).where(Project.name == project)
    )
    found = session.scalars(statement).first()
    if found is None:
        raise QuotasNotFound
    return found


def _set(
    database: Database,
    actor: Actor,
    column: InstrumentedAttribute[str],
    subject_id: str,
    limits: Limits,
) -> dict[Quota, QuotaUse]:
    is_project = column is Project.id
    with database.write() as unit:
        if not _exists(unit.session, column, subject_id):
            raise QuotasNotFound
        set_limits(unit.session, subject_id, dict(limits))
        record_change(
            unit.session,
            actor,
            "quotas.set",
            target=subject_id,
            project_id=subject_id if is_project else None,
            details={quota.value: limit for quota, limit in limits.items()},
        )
        return usage_of(unit.session, subject_id)


def _exists(session: Session, column: InstrumentedAttribute[str], subject_id: str) -> bool:
    return session.scalars(select(column).where(column == subject_id)).first() is not None
