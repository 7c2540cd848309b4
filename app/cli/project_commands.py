"""`trainyard projects`: the owners of jobs and datasets, and their members."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from app.cli.shared import (
    LIST_PAGE,
    AsJson,
    Home,
    failure,
    opened_database,
    print_fields,
    print_rows,
)

if TYPE_CHECKING:
    from app.accounts.tables import Project

projects = typer.Typer(no_args_is_help=True, help="Manage projects and their members.")

COLUMNS = ("name", "created_at", "archived_at")
Name = Annotated[str, typer.Argument(help="Name or id of the project.")]
UserName = Annotated[str, typer.Argument(help="Name or id of the user.")]


@projects.command("create")
def create_new_project(
    name: Annotated[str, typer.Argument(help="Letters from a to z, digits and . _ @ + -")],
    *,
    admin: Annotated[
        str | None, typer.Option(help="The user who manages it. Default: the first administrator.")
    ] = None,
    home: Home = None,
) -> None:
    """Create a project and print its id."""
    with opened_database(home) as database:
        from pydantic import ValidationError  # noqa: PLC0415

        from app.accounts.issue_key import owner_named  # noqa: PLC0415
        from app.accounts.manage_projects import create_project  # noqa: PLC0415
        from app.accounts.requests import ProjectRequest  # noqa: PLC0415
        from app.audit.record import COMMAND  # noqa: PLC0415

        try:
            ProjectRequest(name=name)
        except ValidationError:
            raise failure("a name has letters from a to z, digits and . _ @ + -") from None
        with database.read() as unit:
            admin_id = owner_named(unit.session, admin).id
        typer.echo(create_project(database, COMMAND, name=name, admin_id=admin_id).id)


@projects.command("list")
def list_projects(*, as_json: AsJson = False, home: Home = None) -> None:
    """List all projects by name."""
    with opened_database(home) as database:
        from app.accounts.project_repository import project_page  # noqa: PLC0415

        found: list[Project] = []
        last = None
        while True:
            with database.read() as unit:
                page = project_page(unit.session, None, after=last, limit=LIST_PAGE)
            found += page
            if len(page) < LIST_PAGE:
                break
            last = page[-1].name
        print_rows([_fields(project) for project in found], COLUMNS, as_json=as_json)


@projects.command("show")
def show_project(name: Name, *, as_json: AsJson = False, home: Home = None) -> None:
    """Show one project with its members."""
    with opened_database(home) as database:
        from app.accounts.project_repository import member_page, project_named  # noqa: PLC0415

        members: list[str] = []
        last = None
        with database.read() as unit:
            project = project_named(unit.session, None, name)
            while True:
                page = member_page(unit.session, project.id, after=last, limit=LIST_PAGE)
                members += [f"{member.name} ({member.role})" for member in page]
                if len(page) < LIST_PAGE:
                    break
                last = page[-1].name
        print_fields({**_fields(project), "members": members}, as_json=as_json)


@projects.command("archive")
def archive_project(name: Name, *, home: Home = None) -> None:
    """Let a project be read only. Jobs that wait or run go on."""
    _change(home, name, archived=True)


@projects.command("restore")
def restore_project(name: Name, *, home: Home = None) -> None:
    """Put an archived project into use again."""
    _change(home, name, archived=False)


@projects.command("add-member")
def add_member(
    name: Name,
    user: UserName,
    *,
    role: Annotated[str, typer.Option(help="viewer, member or admin.")] = "member",
    home: Home = None,
) -> None:
    """Make a user a member of a project, or change their role."""
    with opened_database(home) as database:
        from app.accounts.manage_projects import put_member  # noqa: PLC0415
        from app.accounts.tables import MemberRole  # noqa: PLC0415

        if role not in set(MemberRole):
            raise failure(f"--role: one of {', '.join(MemberRole)}")
        put_member(database, None, (name, user), MemberRole(role))


@projects.command("remove-member")
def remove_existing_member(name: Name, user: UserName, *, home: Home = None) -> None:
    """End a membership. What the member made stays."""
    with opened_database(home) as database:
        from app.accounts.manage_projects import remove_member  # noqa: PLC0415

        remove_member(database, None, (name, user))


def _change(home: Path | None, name: str, **changes: Any) -> None:  # noqa: ANN401 -- fields of `ProjectChange`
    with opened_database(home) as database:
        from app.accounts.manage_projects import change_project  # noqa: PLC0415
        from app.accounts.requests import ProjectChange  # noqa: PLC0415
        from app.audit.record import COMMAND  # noqa: PLC0415

        change_project(database, COMMAND, name, ProjectChange(**changes))


def _fields(project: "Project") -> dict[str, Any]:
    return {
        "id": project.id,
        "name": project.name,
        "created_at": project.created_at,
        "archived_at": project.archived_at,
    }
