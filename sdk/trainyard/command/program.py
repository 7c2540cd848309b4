"""The command's root: it finds verbs in tables, and imports only the one that runs."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from trainyard.command.tables import OWN, Verb, tables
from trainyard.version import VERSION

NO_RICH: Final = None
"""Help is plain text: rich takes longer to import than everything else of it."""


class Verbs(TyperGroup):
    """The root of the command. A verb that two distributions have is a group of both."""

    _tables: dict[str, dict[str, Verb]] | None = None

    @property
    def tables(self) -> dict[str, dict[str, Verb]]:
        """Every table of verbs by the name of its distribution, read once."""
        if self._tables is None:
            self._tables = tables()
        return self._tables

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 -- Typer calls it so
        """Return the names of all verbs."""
        return list({name: None for table in self.tables.values() for name in table})

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002 -- Typer calls it so
        """Import a verb; while shells complete words, too."""
        found = [table[cmd_name] for table in self.tables.values() if cmd_name in table]
        if not found:
            return None
        made = [_made(cmd_name, verb) for verb in found]
        return made[0] if len(made) == 1 else BothWays(cmd_name, *made)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Name the nearest verbs when one is unknown."""
        self.commands = dict.fromkeys(self.list_commands(ctx))  # type: ignore[assignment]
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 -- Typer calls it so
        """Write the help of all verbs from the tables."""
        for name, table in self.tables.items():
            title = "Commands" if name == OWN else f"Commands of the {name}"
            own = self.tables[OWN] if name != OWN else {}
            rows = [(verb, row.help) for verb, row in table.items() if verb not in own]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Complete a verb without importing the others."""
        from typer._click.shell_completion import CompletionItem  # noqa: PLC0415 -- has no public name

        verbs = {name: row for table in self.tables.values() for name, row in table.items()}
        found = [
            CompletionItem(name, help=row.help)
            for name, row in verbs.items()
            if name.startswith(incomplete)
        ]
        return found or super(TyperGroup, self).shell_complete(ctx, incomplete)


class BothWays(TyperGroup):
    """A verb that both the client and the server have, such as `models`.

    The client's subverbs ask a server. The server's read the database of an instance on this
    machine, and are there for operators.
    """

    def __init__(self, name: str, client: TyperGroup, server: TyperGroup) -> None:
        commands = {**server.commands, **client.commands}
        super().__init__(
            name=name,
            commands=commands,
            help=client.help,
            callback=client.callback,
            params=client.params,
            invoke_without_command=client.invoke_without_command,
            no_args_is_help=client.no_args_is_help,
            rich_markup_mode=NO_RICH,
        )
        self._server = server

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Choose the server's subverb unless the client's was meant."""
        chosen = self._server.commands.get(args[0]) if reads_this_machine(args) else None
        if chosen is not None:
            return args[0], chosen, args[1:]
        return super().resolve_command(ctx, args)


def reads_this_machine(words: Sequence[str]) -> bool:
    """Return whether a subverb that both have reads the database of this machine.

    Scripts from before there was a client name a home or nothing, so they get what they had.
    """
    options = {word.partition("=")[0] for word in words}
    if "--home" in options or "--url" in options:
        return "--home" in options
    if os.environ.get("TRAINYARD_URL"):
        return False
    return bool(os.environ.get("TRAINYARD_HOME")) or not _names_a_server()


def _names_a_server() -> bool:
    from trainyard.configuration import PROJECT_FILE, user_file  # noqa: PLC0415 -- seldom needed

    return Path(PROJECT_FILE).exists() or user_file().exists()


def _made(name: str, verb: Verb) -> Any:
    target = verb.load()
    is_group = isinstance(target, typer.Typer)
    command: Any = get_group(target) if is_group else get_command(single(name, target))
    command.name = name
    if not isinstance(command, TyperCommand | TyperGroup):
        raise TypeError(f"{verb.target} is no verb")
    command.rich_markup_mode = NO_RICH
    return command


def single(name: str, function: Callable[..., Any]) -> typer.Typer:
    """Return the Typer program of one verb."""
    program = typer.Typer(**PLAIN)
    program.command(name)(function)
    return program


PLAIN: Final[dict[str, Any]] = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": NO_RICH,
}

app = typer.Typer(
    **{**PLAIN, "add_completion": True}, name="trainyard", cls=Verbs, no_args_is_help=True
)


def _print_version(asked: bool) -> None:  # noqa: FBT001 -- Typer calls it so
    if asked:
        typer.echo(VERSION)
        raise typer.Exit


@app.callback()
def trainyard(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Train Ultralytics YOLO models: `yolo train …` becomes `trainyard train …`."""


def main() -> None:
    """Run the command; the entry point of the installed script."""
    try:
        app()
    except Exception as error:
        from trainyard.command.exits import told  # noqa: PLC0415 -- imports the client's errors

        status = told(error)
        if status is None:
            raise
        sys.exit(status)
