"""`trainyard doctor` and `trainyard audit`: whether an installation is sound."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from app.cli.shared import AsJson, Home, exit_on_expected_errors, failure, opened_database, say

MARKS = {"fine": "ok", "warning": "!!", "error": "XX"}

audit = typer.Typer(no_args_is_help=True, help="Check the audit log.")


def examine_installation(
    *,
    probe: Annotated[
        bool, typer.Option("--probe", help="Try every forbidden thing from inside a cage, too.")
    ] = False,
    as_json: AsJson = False,
    home: Home = None,
) -> None:
    """Check configuration, home, database, broker, store, disks, GPUs, cage and versions.

    Each problem has an advice. The exit status is 1 if something does not work or is not safe.
    """
    with exit_on_expected_errors():
        from app.configuration import load_settings  # noqa: PLC0415
        from app.doctor.examine import examine  # noqa: PLC0415
        from app.doctor.results import has_errors  # noqa: PLC0415

        results = examine(load_settings(home=home), probe=probe)
        if as_json:
            typer.echo(json.dumps([asdict(result) for result in results], indent=2))
        for result in () if as_json else results:
            say(f"{MARKS[result.verdict]}  {result.check}: {result.message}")
            if result.advice:
                say(f"    {result.advice}")
        if has_errors(results):
            raise typer.Exit(1)


@audit.command("verify")
def verify_audit_log(
    *,
    noted: Annotated[
        str | None, typer.Option(help="An end of the log that was printed before.")
    ] = None,
    home: Home = None,
) -> None:
    """Check that no record of the audit log was changed, inserted or removed.

    Prints the end of the log as POSITION:HASH. Keep it elsewhere and pass it with --noted later:
    someone who can write to the database could make the whole log again.
    """
    with opened_database(home) as database:
        from app.audit.chain import ChainEnd, verify_chain  # noqa: PLC0415

        end = None
        if noted is not None:
            try:
                end = ChainEnd.parse(noted)
            except ValueError:
                raise failure("--noted: write it as it was printed, POSITION:HASH") from None
        with database.read() as unit:
            found = verify_chain(unit.session, noted=end)
        if found.fault is not None:
            raise failure(f"{found.fault} Up to {found.end} the audit log is whole.")
        say(f"{found.checked} records are whole, up to {found.end}")
