"""Create and change projects, and manage their members.

Administrators of the instance create, rename and archive. Members are managed by the admins of the
project, and by administrators, who so can make themselves members; all of it is recorded.
"""

from collections.abc import Collection

from sqlalchemy.orm import Session

from app.accounts.authentication import Principal
from app.accounts.entity_tags import check_tag, tag_of_project
from app.accounts.errors import LastProjectAdmin, MemberNotFound
from app.accounts.project_repository import (
    Member,
    delete_membership,
    has_other_admin,
    insert_project,
    lock_project,
    put_membership,
    role_of,
    update_project,
)
from app.accounts.requests import ProjectChange
from app.accounts.tables import MemberRole, Project
from app.accounts.user_repository import user_named
from app.audit.record import COMMAND, Actor, record_change
from app.core.database import Database, database_now


def seen_projects(principal: Principal) -> Collection[str] | None:
    """Return the ids of the projects that a caller sees; None for all.

    To see a project is not to see what is in it: that takes a membership.
    """
    return None if principal.is_administrator else principal.project_ids


def create_project(database: Database, actor: Actor, *, name: str, admin_id: str) -> Project:
    """Create a project with one member, its admin.

    Raises:
        NameTaken: another project has the name.
    """
    with database.write() as unit:
        project = insert_project(unit.session, name)
        details = {"name": name}
        record_change(
            unit.session,
            actor,
            "project.created",
            target=project.id,
            project_id=project.id,
            details=details,
        )
        _put(unit.session, actor, project, admin_id, MemberRole.ADMIN)
    return project


def change_project(
    database: Database,
    actor: Actor,
    reference: str,
    change: ProjectChange,
    *,
    if_match: str | None = None,
) -> Project:
    """Rename a project, archive it, or put it into use again, for an administrator.

    Raises:
        ProjectNotFound: there is no project with this id or name.
        ChangedMeanwhile: the project is not as in `if_match`.
        NameTaken: another project has the name.
    """
    with database.write() as unit:
        project = lock_project(unit.session, None, reference)
        check_tag(tag_of_project(project), if_match)
        happened: dict[str, dict[str, object]] = {}
        if change.name not in {None, project.name}:
            happened["project.renamed"] = {"name": change.name}
        if change.archived not in {None, project.archived_at is not None}:
            action = "project.archived" if change.archived else "project.restored"
            happened[action] = {"archived_at": database_now() if change.archived else None}
        if not happened:
            return project
        values = {name: value for values in happened.values() for name, value in values.items()}
        before = project.name
        project = update_project(unit.session, project.id, values)
        for action in happened:
            record_change(
                unit.session,
                actor,
                action,
                target=project.id,
                project_id=project.id,
                details={"name": project.name, "name_before": before},
            )
    return project


def put_member(
    database: Database, principal: Principal | None, names: tuple[str, str], role: MemberRole
) -> Member:
    """Give a user a role in a project.

    Args:
        database: to write to.
        principal: the caller; None for a command on the server's machine.
        names: the references of project and user.
        role: the new role.

    Raises:
        ProjectNotFound: the caller sees no such project.
        InsufficientRole, ProjectArchived: the caller does not manage its members.
        UserNotFound: there is no such user.
        LastProjectAdmin: the user is the only admin, and the caller is no administrator.
    """
    with database.write() as unit:
        project = _lock_managed(unit.session, principal, names[0])
        user = user_named(unit.session, names[1])
        if role is not MemberRole.ADMIN:
            _check_admin_remains(unit.session, principal, project, user.id)
        _put(unit.session, _actor(principal), project, user.id, role)
    return Member(user.id, user.name, role)


def remove_member(database: Database, principal: Principal | None, names: tuple[str, str]) -> None:
    """End a user's membership; the arguments are those of `put_member`.

    Raises:
        ProjectNotFound, InsufficientRole, ProjectArchived, UserNotFound, LastProjectAdmin: as
            `put_member`.
        MemberNotFound: the user is no member.
    """
    with database.write() as unit:
        project = _lock_managed(unit.session, principal, names[0])
        user = user_named(unit.session, names[1])
        before = role_of(unit.session, project.id, user.id)
        if before is None:
            raise MemberNotFound
        _check_admin_remains(unit.session, principal, project, user.id)
        delete_membership(unit.session, project.id, user.id)
        record_change(
            unit.session,
            _actor(principal),
            "member.removed",
            target=user.id,
            project_id=project.id,
            details={"user": user.name, "role_before": before},
        )


def _actor(principal: Principal | None) -> Actor:
    return COMMAND if principal is None else principal.actor()


def _lock_managed(session: Session, principal: Principal | None, reference: str) -> Project:
    """Return a project whose members the caller manages; its row is locked."""
    if principal is None or principal.is_administrator:
        return lock_project(session, None, reference)
    project = lock_project(session, principal.project_ids, reference)
    principal.require_role(project.id, MemberRole.ADMIN)
    return project


def _check_admin_remains(
    session: Session, principal: Principal | None, project: Project, user_id: str
) -> None:
    is_admin = role_of(session, project.id, user_id) is MemberRole.ADMIN
    if principal is None or principal.is_administrator or not is_admin:
        return
    if not has_other_admin(session, project.id, user_id):
        raise LastProjectAdmin


def _put(session: Session, actor: Actor, project: Project, user_id: str, role: MemberRole) -> None:
    before = role_of(session, project.id, user_id)
    if before is role:
        return
    put_membership(session, project.id, user_id, role)
    record_change(
        session,
        actor,
        "member.added" if before is None else "member.changed",
        target=user_id,
        project_id=project.id,
        details={"role": role, "role_before": before},
    )
