"""`trainyard users`: the people who use the instance."""

import sys
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
    from app.accounts.tables import User

users = typer.Typer(no_args_is_help=True, help="Manage users.")

COLUMNS = ("name", "administrator", "has_password", "created_at", "disabled_at")
Name = Annotated[str, typer.Argument(help="Name or id of the user.")]


@users.command("create")
def create_new_user(
    name: Annotated[str, typer.Argument(help="Letters from a to z, digits and . _ @ + -")],
    *,
    administrator: Annotated[
        bool, typer.Option("--administrator", help="Let the user administer the instance.")
    ] = False,
    home: Home = None,
) -> None:
    """Create a user and print the id. Give access by `projects add-member` and `keys create`."""
    with opened_database(home) as database:
        from pydantic import ValidationError  # noqa: PLC0415

        from app.accounts.manage_users import create_user  # noqa: PLC0415
        from app.accounts.requests import UserRequest  # noqa: PLC0415
        from app.audit.record import COMMAND  # noqa: PLC0415

        try:
            request = UserRequest(name=name, administrator=administrator)
        except ValidationError:
            raise failure("a name has letters from a to z, digits and . _ @ + -") from None
        typer.echo(create_user(database, COMMAND, request).id)


@users.command("list")
def list_users(*, as_json: AsJson = False, home: Home = None) -> None:
    """List all users by name."""
    with opened_database(home) as database:
        from app.accounts.user_repository import user_page  # noqa: PLC0415

        found: list[User] = []
        last = None
        while True:
            with database.read() as unit:
                page = user_page(unit.session, after=last, limit=LIST_PAGE)
            found += page
            if len(page) < LIST_PAGE:
                break
            last = page[-1].name
        print_rows([_fields(user) for user in found], COLUMNS, as_json=as_json)


@users.command("show")
def show_user(name: Name, *, as_json: AsJson = False, home: Home = None) -> None:
    """Show one user."""
    with opened_database(home) as database:
        from app.accounts.user_repository import user_named  # noqa: PLC0415

        with database.read() as unit:
            fields = _fields(user_named(unit.session, name))
        print_fields(fields, as_json=as_json)


@users.command("disable")
def disable_user(name: Name, *, home: Home = None) -> None:
    """Refuse all keys and sessions of a user from now on. What the user made stays."""
    _change(home, name, disabled=True)


@users.command("enable")
def enable_user(name: Name, *, home: Home = None) -> None:
    """Let a disabled user in again, with the same keys."""
    _change(home, name, disabled=False)


@users.command("promote")
def promote_user(name: Name, *, home: Home = None) -> None:
    """Let a user administer the instance."""
    _change(home, name, administrator=True)


@users.command("demote")
def demote_user(name: Name, *, home: Home = None) -> None:
    """Let a user no longer administer the instance."""
    _change(home, name, administrator=False)


@users.command("set-password")
def set_user_password(name: Name, *, home: Home = None) -> None:
    """Set the password of a user, and end the user's sessions.

    It is asked for twice on a terminal, and otherwise the first line of the standard input.
    """
    with opened_database(home) as database:
        from app.accounts.browser.sign_in import set_password  # noqa: PLC0415
        from app.audit.record import COMMAND  # noqa: PLC0415

        set_password(database, COMMAND, name, _read_password())


def _read_password() -> str:
    if sys.stdin.isatty():
        typed: str = typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        return typed
    try:
        return sys.stdin.buffer.readline().decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise failure("the password is not UTF-8") from None


def _change(home: Path | None, name: str, **changes: Any) -> None:  # noqa: ANN401 -- fields of `UserChange`
    with opened_database(home) as database:
        from app.accounts.manage_users import change_user  # noqa: PLC0415
        from app.accounts.requests import UserChange  # noqa: PLC0415
        from app.audit.record import COMMAND  # noqa: PLC0415

        change_user(database, COMMAND, name, UserChange(**changes))


def _fields(user: "User") -> dict[str, Any]:
    return {
        "id": user.id,
        "name": user.name,
        "administrator": user.is_admin,
        "has_password": user.password_hash is not None,
        "created_at": user.created_at,
        "disabled_at": user.disabled_at,
    }
