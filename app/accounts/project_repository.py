"""Queries and writes of projects and their members.

`project_ids` are those that the caller sees; None stands for all, as administrators see them.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, delete, func, insert, select, true, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.accounts.errors import NameTaken, ProjectNotFound
from app.accounts.tables import MemberRole, Membership, Project, User
from app.accounts.user_repository import REFERENCE
from app.core.database import announce, database_now, upsert
from app.core.ids import new_id
from app.core.wake_ups import ACCESS


class Member(NamedTuple):
    """A member of a project."""

    user_id: str
    name: str
    role: MemberRole


def project_page(
    session: Session, project_ids: Collection[str] | None, *, after: str | None, limit: int
) -> Sequence[Project]:
    """Return up to `limit` projects whose names come after a name, by name."""
    statement = select(Project).where(_seen(project_ids)).order_by(Project.name).limit(limit)
    if after is not None:
        statement = statement.where(Project.name > after)
    return session.scalars(statement).all()


def project_named(session: Session, project_ids: Collection[str] | None, reference: str) -> Project:
    """Return the project with this id, or else with this name.

    Raises:
        ProjectNotFound: the caller sees none.
    """
    return _project(session, project_ids, reference, lock=False)


def lock_project(session: Session, project_ids: Collection[str] | None, reference: str) -> Project:
    """Return a project like `project_named`, with its row locked."""
    return _project(session, project_ids, reference, lock=True)


def insert_project(session: Session, name: str) -> Project:
    """Insert a project without members.

    Raises:
        NameTaken: another project has the name.
    """
    values = {"id": new_id("prj"), "name": name, "created_at": database_now()}
    try:
        return session.scalars(insert(Project).values(values).returning(Project)).one()
    except IntegrityError:
        raise NameTaken("project") from None


def update_project(session: Session, project_id: str, values: Mapping[str, object]) -> Project:
    """Change columns of a project and return the row.

    Raises:
        NameTaken: another project has the name.
    """
    announce(session, ACCESS)
    statement = update(Project).where(Project.id == project_id).values(values).returning(Project)
    try:
        return session.scalars(statement.execution_options(populate_existing=True)).one()
    except IntegrityError:
        raise NameTaken("project") from None


def member_page(
    session: Session, project_id: str, *, after: str | None, limit: int
) -> list[Member]:
    """Return up to `limit` members whose names come after a name, by name."""
    statement = (
        select(User.id, User.name, Membership.role)
        .join(Membership, Membership.user_id == User.id)
        .where(Membership.project_id == project_id)
    )
    if after is not None:
        statement = statement.where(User.name > after)
    rows = session.execute(statement.order_by(User.name).limit(limit))
    return [Member(*row) for row in rows]


def role_of(session: Session, project_id: str, user_id: str) -> MemberRole | None:
    """Return the role of a user in a project; None without one."""
    statement = select(Membership.role).where(
        Membership.project_id == project_id, Membership.user_id == user_id
    )
    return session.scalars(statement).one_or_none()


def has_other_admin(session: Session, project_id: str, user_id: str) -> bool:
    """Return whether the project has another admin, who is not disabled."""
    statement = (
        select(func.count())
        .select_from(Membership)
        .join(User, User.id == Membership.user_id)
        .where(
            Membership.project_id == project_id,
            Membership.role == MemberRole.ADMIN,
            Membership.user_id != user_id,
            User.disabled_at.is_(None),
        )
    )
    return bool(session.scalar(statement))


def put_membership(session: Session, project_id: str, user_id: str, role: MemberRole) -> None:
    """Give a user this role in a project, instead of the one they have."""
    row = {"user_id": user_id, "project_id": project_id, "role": role}
    session.execute(upsert(session, Membership, row, key=("user_id", "project_id")))
    announce(session, ACCESS)


def delete_membership(session: Session, project_id: str, user_id: str) -> None:
    """End the membership of a user in a project."""
    statement = delete(Membership).where(
        Membership.project_id == project_id, Membership.user_id == user_id
    )
    session.execute(statement)
    announce(session, ACCESS)


def _project(
    session: Session, project_ids: Collection[str] | None, reference: str, *, lock: bool
) -> Project:
    if REFERENCE.match(reference) is None:
        raise ProjectNotFound
    for column in (Project.id, Project.name):
        statement = select(Project).where(_seen(project_ids), column == reference)
        if lock:
            statement = statement.with_for_update()
        project = session.scalars(statement).one_or_none()
        if project is not None:
            return project
    raise ProjectNotFound


def _seen(project_ids: Collection[str] | None) -> ColumnElement[bool]:
    return true() if project_ids is None else Project.id.in_(project_ids)
