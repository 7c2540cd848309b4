"""`trainyard models`: weights that jobs start from."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.shared import LIST_PAGE, Home, exit_on_expected_errors, failure, migrated_settings, say

if TYPE_CHECKING:
    from app.models.tables import Model

UNVOUCHED = (
    "trainyard: nothing vouches for these bytes: compare the SHA-256 below with a trusted source, "
    "then add them again with --sha256"
)

models = typer.Typer(no_args_is_help=True, help="Manage base models: weights that jobs start from.")


@models.command("add")
def add_weights(  # noqa: PLR0913 -- one for each option
    *,
    file: Annotated[Path | None, typer.Argument(help="A .pt file.")] = None,
    official: Annotated[
        str | None,
        typer.Option(help="Name of official weights to download, such as yolo26n.pt."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name in jobs, for a FILE only. Default: the file's name.")
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="Required task, for a FILE only. Default: the task that a worker finds."),
    ] = None,
    sha256: Annotated[
        str | None, typer.Option(help="SHA-256 that the weights must have, in hex.")
    ] = None,
    wait: Annotated[
        float, typer.Option(help="Seconds to wait for a worker to inspect the weights.", min=0)
    ] = 0,
    home: Home = None,
) -> None:
    """Add weights for jobs to start from, from a FILE or by --official NAME.

    Jobs can use them after a worker has inspected them. With --wait, the exit status is 1 if the
    worker refuses them or does not inspect them in time. No other command downloads weights.
    """
    with exit_on_expected_errors():
        from app.core.database import Database  # noqa: PLC0415
        from app.core.storage import ArtifactStore  # noqa: PLC0415
        from app.models import bring_in  # noqa: PLC0415
        from app.models.download import DownloadSource  # noqa: PLC0415

        _check_options(file, official, for_file=(name, task))
        settings = migrated_settings(home)
        database = Database(settings.effective_database_url, pool_size=1)
        store = ArtifactStore.from_settings(settings)
        checked = {"name": name, "task": task, "sha256": sha256}
        if file is not None:
            model = bring_in.add_model(database, store, file=file, **checked)
        else:
            assert official is not None  # noqa: S101 -- checked above
            source = DownloadSource(settings.models_base_url, settings.models_hosts)
            add = partial(bring_in.add_official, database, store, name=official)
            model = add(source=source, sha256=sha256)
        if model.vouched is False:
            typer.echo(UNVOUCHED, err=True)
        model = bring_in.wait_for_inspection(database, model, seconds=wait)
        _say_state(model, waited=wait > 0)


def _check_options(
    file: Path | None, official: str | None, *, for_file: tuple[str | None, ...]
) -> None:
    """End the command unless the weights have one source, and options that belong to it."""
    if (file is None) == (official is None):
        raise failure("pass either a FILE or --official NAME")
    if official is not None and any(each is not None for each in for_file):
        raise failure("--name and --task are for a FILE: official weights have a name and a task")


def _say_state(model: "Model", *, waited: bool) -> None:
    """Print the weights; end the command if they are refused, or were waited for in vain."""
    say(_line_of(model))
    if model.state == "refused":
        raise failure(model.message or "the weights were refused")
    if waited and model.state == "inspecting":
        raise failure("no worker has inspected the weights yet; is one running?")


@models.command("list")
def list_weights(*, home: Home = None) -> None:
    """List the added weights with their state, task and architecture."""
    with exit_on_expected_errors():
        from app.core.database import Database  # noqa: PLC0415
        from app.models.repository import models_after  # noqa: PLC0415

        database = Database(migrated_settings(home).effective_database_url, pool_size=1)
        last = ("", "")
        while True:
            with database.read() as unit:
                page = models_after(unit.session, (), after=last, limit=LIST_PAGE)
            for model in page:
                say(_line_of(model))
            if len(page) < LIST_PAGE:
                return
            last = (page[-1].name, page[-1].id)


def _line_of(model: "Model") -> str:
    parts = [
        model.name,
        model.state.value,
        model.task or "-",
        model.architecture or "-",
        f"sha256 {model.sha256}",
        f"{model.size_bytes} bytes",
    ]
    if model.vouched is not None:
        parts.append("vouched" if model.vouched else "unvouched")
    return "  ".join([*parts, *([model.message] if model.message else [])])
