"""`trainyard keys`: API keys, for the operator of the machine."""

from datetime import timedelta
from typing import Annotated

import typer

from app.cli.shared import (
    LIST_PAGE,
    AsJson,
    Home,
    failure,
    opened_database,
    parse_duration,
    print_fields,
    print_rows,
)

keys = typer.Typer(no_args_is_help=True, help="Manage API keys.")

DAY = timedelta(days=1)
COLUMNS = (
    "prefix",
    "label",
    "owner",
    "project",
    "created_at",
    "last_used_at",
    "expires_at",
    "revoked_at",
)
Key = Annotated[str, typer.Argument(help="Id of the key, or its prefix as in the list.")]


@keys.command("create")
def create_key(
    *,
    label: Annotated[str, typer.Option(help="Purpose of the key.")],
    scope: Annotated[
        list[str] | None,
        typer.Option(help="What the key may be used for; repeat it for several. Default: all."),
    ] = None,
    expires: Annotated[
        timedelta | None,
        typer.Option(
            parser=parse_duration, metavar="DURATION", help="Such as 90d or 12h. Default: never."
        ),
    ] = None,
    project: Annotated[
        str | None, typer.Option(help="The only project that the key may be used for.")
    ] = None,
    user: Annotated[
        str | None, typer.Option(help="For whom the key acts. Default: the first administrator.")
    ] = None,
    home: Home = None,
) -> None:
    """Create an API key and print it. It cannot be shown again."""
    with opened_database(home) as database:
        from app.accounts.issue_key import issue_key  # noqa: PLC0415
        from app.accounts.keys import ALL_SCOPES  # noqa: PLC0415

        unknown = sorted(set(scope or ()) - set(ALL_SCOPES))
        if unknown:
            raise failure(f"there is no scope {unknown[0]}; scopes are {', '.join(ALL_SCOPES)}")
        typer.echo(
            issue_key(
                database,
                label=label,
                scopes=scope or ALL_SCOPES,
                user=user,
                project=project,
                lifetime=expires,
            )
        )


@keys.command("list")
def list_keys(*, as_json: AsJson = False, home: Home = None) -> None:
    """List all keys, newest first, without their secrets; `-` means never or none."""
    with opened_database(home) as database:
        from app.accounts.key_repository import EVERY_KEY, ListedKey, key_page  # noqa: PLC0415

        found: list[ListedKey] = []
        last = None
        while True:
            with database.read() as unit:
                page = key_page(unit.session, EVERY_KEY, after=last, limit=LIST_PAGE)
            found += page
            if len(page) < LIST_PAGE:
                break
            last = page[-1].row.id
        print_rows([listed.fields() for listed in found], COLUMNS, as_json=as_json)


@keys.command("show")
def show_key(key: Key, *, as_json: AsJson = False, home: Home = None) -> None:
    """Show one key with its scopes, without its secret."""
    with opened_database(home) as database:
        from app.accounts.key_repository import EVERY_KEY, visible_key  # noqa: PLC0415

        with database.read() as unit:
            fields = visible_key(unit.session, EVERY_KEY, key).fields()
        print_fields(fields, as_json=as_json)


@keys.command("revoke")
def revoke_existing_key(key: Key, *, home: Home = None) -> None:
    """End a key now. Requests that begin afterwards are refused by every server."""
    with opened_database(home) as database:
        from app.accounts.key_repository import EVERY_KEY  # noqa: PLC0415
        from app.accounts.manage_keys import revoke_key  # noqa: PLC0415
        from app.audit.record import COMMAND  # noqa: PLC0415

        revoke_key(database, EVERY_KEY, COMMAND, key)


@keys.command("rotate")
def rotate_existing_key(
    key: Key,
    *,
    overlap: Annotated[
        timedelta | None,
        typer.Option(
            parser=parse_duration,
            metavar="DURATION",
            help="How long the old key is valid beside the new one, such as 0s. Default: 24h.",
        ),
    ] = None,
    home: Home = None,
) -> None:
    """Replace a key by a new one with the same rights, and print the new one."""
    with opened_database(home) as database:
        from app.accounts.key_repository import EVERY_KEY, lock_visible_key  # noqa: PLC0415
        from app.accounts.manage_keys import replace_key  # noqa: PLC0415
        from app.audit.record import COMMAND  # noqa: PLC0415

        with database.write() as unit:
            old = lock_visible_key(unit.session, EVERY_KEY, key).row
            issued = replace_key(
                unit.session, COMMAND, old, overlap=overlap if overlap is not None else DAY
            )
        typer.echo(issued.text)
