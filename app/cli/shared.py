"""What all commands share: the option for the home, expected errors, and tables of text."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from app.core.files import private_files

if TYPE_CHECKING:
    from app.core.database import Database
    from app.settings import Settings

LIST_PAGE: Final = 200
DURATION: Final = re.compile(r"(?P<number>[0-9]{1,6})(?P<unit>[smhd])\Z")
UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
NOTHING: Final = "-"

Home = Annotated[Path | None, typer.Option(help="Directory of the instance [TRAINYARD_HOME].")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@contextmanager
def exit_on_expected_errors() -> Iterator[None]:
    """Exit with one line on stderr on errors that the user can fix, see `app.core.exits`.

    Every verb that touches a home runs in here, so that its files are the owner's only.
    """
    from app.core.exits import one_line_for_expected_errors  # noqa: PLC0415

    with private_files(), one_line_for_expected_errors():
        yield


def failure(reason: str) -> SystemExit:
    """Print the reason on stderr and return the exit that ends the command."""
    from app.core.exits import ended  # noqa: PLC0415

    return ended(reason)


def say(text: str) -> None:
    """Print a line; names of users cannot control the terminal."""
    typer.echo(printable(text))


def migrated_settings(home: Path | None) -> "Settings":
    """Return the settings of the instance, after its database was found to be of this release.

    Raises:
        BadConfiguration: a setting is wrong, or the database has not the schema of this release:
            a command that knows fewer tables could, for example, remove what the others need.
        DatabaseUnreachable: the database does not respond.
    """
    from app.configuration import load_settings  # noqa: PLC0415
    from app.core.start_checks import check_database  # noqa: PLC0415

    settings = load_settings(home=home)
    check_database(settings)
    return settings


@contextmanager
def opened_database(home: Path | None) -> Iterator["Database"]:
    """Open the database of the instance; expected errors end the command."""
    with exit_on_expected_errors():
        from app.core.database import Database  # noqa: PLC0415

        database = Database(migrated_settings(home).effective_database_url, pool_size=1)
        try:
            yield database
        finally:
            database.dispose()


def parse_duration(text: str) -> timedelta:
    """Return the duration in text such as 90d, 12h, 30m or 45s.

    Raises:
        typer.BadParameter: the text has another form.
    """
    found = DURATION.match(text)
    if found is None:
        message = "write a number and a unit, such as 90d, 12h, 30m or 45s"
        raise typer.BadParameter(message)
    return timedelta(**{UNITS[found["unit"]]: int(found["number"])})


def print_rows(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], *, as_json: bool) -> None:
    """Print rows as a table with these columns, or whole as a JSON array."""
    if as_json:
        typer.echo(json.dumps(rows, default=_as_text, indent=2))
        return
    table = [list(columns), *([_cell(row[name]) for name in columns] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        typer.echo("  ".join(cells).rstrip())


def print_fields(row: Mapping[str, Any], *, as_json: bool) -> None:
    """Print one row as lines of names and values, or as a JSON object."""
    if as_json:
        typer.echo(json.dumps(row, default=_as_text, indent=2))
        return
    width = max(map(len, row))
    for name, value in row.items():
        typer.echo(f"{name.ljust(width)}  {_cell(value)}")


def printable(text: str) -> str:
    """Return the text with escapes for what people cannot see, so that no terminal obeys it."""
    from app.core.plain_text import shown_lines  # noqa: PLC0415

    return shown_lines(text)


def _cell(value: object) -> str:
    match value:
        case None:
            return NOTHING
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.strftime("%Y-%m-%d %H:%M")
        case list():
            return " ".join(map(_cell, value)) or NOTHING
        case _:
            return printable(str(value)).replace("\n", " ")


def _as_text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
