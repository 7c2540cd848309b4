"""`trainyard quotas`: limits of projects and users."""

import re
from typing import TYPE_CHECKING, Annotated, Final

import typer

from app.cli.shared import Home, failure, opened_database, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.quotas.repository import Quota, QuotaUse

quotas = typer.Typer(no_args_is_help=True, help="Manage quotas of projects and users.")

DIGITS: Final = re.compile("[0-9]{1,18}")
Project = Annotated[str | None, typer.Option(help="Name of a project.")]
User = Annotated[str | None, typer.Option(help="Name of a user.")]
Limit = Annotated[str | None, typer.Option(help='A number, or "none".')]


@quotas.command("set")
def set_quotas(  # noqa: PLR0913 -- the options of the command
    *,
    project: Project = None,
    user: User = None,
    queued_jobs: Limit = None,
    running_jobs: Limit = None,
    stored_bytes: Limit = None,
    uploaded_bytes: Limit = None,
    verifier_seconds: Limit = None,
    home: Home = None,
) -> None:
    """Set quotas of a project or a user; options that are left out keep their limit."""
    with opened_database(home) as database:
        from app.audit.record import COMMAND  # noqa: PLC0415
        from app.quotas.repository import Quota  # noqa: PLC0415
        from app.quotas.set_quotas import (  # noqa: PLC0415
            set_project_quotas,
            set_user_quotas,
            subject_named,
        )

        _require_one(project, user)
        asked = {
            Quota.QUEUED_JOBS: queued_jobs,
            Quota.RUNNING_JOBS: running_jobs,
            Quota.STORED_BYTES: stored_bytes,
            Quota.UPLOADED_BYTES: uploaded_bytes,
            Quota.VERIFIER_SECONDS: verifier_seconds,
        }
        limits = {quota: _limit(quota, text) for quota, text in asked.items() if text is not None}
        with database.read() as unit:
            subject_id = subject_named(unit.session, project=project, user=user)
        change = set_user_quotas if project is None else set_project_quotas
        _print(change(database, COMMAND, subject_id, limits))


@quotas.command("show")
def show_quotas(*, project: Project = None, user: User = None, home: Home = None) -> None:
    """Show the quotas of a project or a user, and what is used."""
    with opened_database(home) as database:
        from app.quotas.repository import usage_of  # noqa: PLC0415
        from app.quotas.set_quotas import subject_named  # noqa: PLC0415

        _require_one(project, user)
        with database.read() as unit:
            subject_id = subject_named(unit.session, project=project, user=user)
            _print(usage_of(unit.session, subject_id))


def _require_one(project: str | None, user: str | None) -> None:
    if (project is None) == (user is None):
        raise failure("pass either --project or --user")


def _limit(quota: "Quota", text: str) -> int | None:
    if text == "none":
        return None
    if not DIGITS.fullmatch(text):
        raise failure(f'{text!r} is neither a number nor "none"')
    if int(text) > quota.maximum:
        raise failure(f"{quota}: {text} is above {quota.maximum}, the highest limit")
    return int(text)


def _print(measured: "Mapping[Quota, QuotaUse]") -> None:
    for quota, it in measured.items():
        limit = "no limit" if it.limit is None else f"limit {it.limit}"
        say(f"{quota}: {it.used} used, {limit}")
