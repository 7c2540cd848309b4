"""`datasets`: send, list, examine, fix and fetch datasets."""

from pathlib import Path
from typing import Annotated, Any

import typer

from trainyard.command.progress import shown_progress
from trainyard.command.shared import AsJson, Url, opened
from trainyard.command.text import put, put_fields, put_json, put_rows, say
from trainyard.errors import TrainyardError
from trainyard.operations.pushes import ARCHIVES
from trainyard.packing import read_dataset
from trainyard.views.datasets import DatasetView, FindingView

datasets = typer.Typer(no_args_is_help=True, help="Send, list, examine, fix and fetch datasets.")

Dataset = Annotated[
    str, typer.Argument(metavar="DATASET", help="Name or id, or a version as bccd@3.")
]
COLUMNS = ("id", "name", "number", "state", "task", "images", "class_count", "jobs")


@datasets.command("push")
def push(  # noqa: PLR0913 -- an argument for each option
    path: Annotated[Path, typer.Argument(help="A data.yaml, a folder or an archive.")],
    *,
    name: Annotated[str | None, typer.Option(help="Name of the dataset.")] = None,
    project: Annotated[str | None, typer.Option(help="Project of the server.")] = None,
    task: Annotated[str | None, typer.Option(help="Task; default: as the files say.")] = None,
    no_wait: Annotated[
        bool, typer.Option("--no-wait", help="Do not wait until it is verified.")
    ] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Send a dataset: of its files only those that the project lacks. Prints its id."""
    tell_layout(path, task)
    with opened(url) as client, shown_progress() as on_progress:
        view = client.datasets.push(
            path, name, project=project, task=task, wait=not no_wait, progress=on_progress
        )
    _print(view, as_json=as_json)


def tell_layout(path: Path, task: str | None) -> None:
    """Say what would be sent.

    Raises:
        LayoutError: it is no dataset.
    """
    if path.is_dir() or not path.name.lower().endswith(ARCHIVES):
        say(read_dataset(path, task).describe())


@datasets.command("list")
def list_datasets(
    *,
    project: Annotated[str | None, typer.Option(help="Only datasets of this project.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List the datasets, newest first."""
    with opened(url) as client:
        found = client.datasets.list(project=project).all()
    if as_json:
        put_json(found)
    else:
        put_rows((view.model_dump() for view in found), COLUMNS)


@datasets.command("show")
def show(dataset: Dataset, *, url: Url = None, as_json: AsJson = False) -> None:
    """Show a dataset with its newest version, or a version."""
    with opened(url) as client:
        view = client.datasets.get(dataset)
    if as_json:
        put_json(view)
        return
    fields = view.model_dump()
    put_fields({name: fields[name] for name in fields if name not in {"links", "options"}})


@datasets.command("findings")
def findings(
    dataset: Dataset,
    *,
    severity: Annotated[str | None, typer.Option(help="error, warning or info.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Print what the verification found, errors first, each with what to change."""
    with opened(url) as client:
        found = client.datasets.findings(dataset, severity=severity).all()
    if as_json:
        put_json(found)
        return
    for number, finding in enumerate(found, 1):
        put(f"{number}. {finding.severity} {finding.code}: {_place(finding)}{finding.message}")
        fixable = " (`trainyard datasets fix` does it)" if finding.request else ""
        put(f"   {finding.remedy}{fixable}")


@datasets.command("fix")
def fix(
    dataset: Dataset,
    number: Annotated[
        int | None, typer.Argument(help="Of the finding; default: the first that can be fixed.")
    ] = None,
    *,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Make the next version of a dataset with the fix of a finding, and print its id."""
    with opened(url) as client:
        found = client.datasets.findings(dataset).all()
        view = client.datasets.fix(_fixable(found, number))
    _print(view, as_json=as_json)


@datasets.command("pull")
def pull(
    dataset: Dataset,
    *,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File or folder.")] = None,
    version: Annotated[str | None, typer.Option(help="Id of the version.")] = None,
    format_: Annotated[str, typer.Option("--format", help="yolo or coco.")] = "yolo",
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Download a dataset as a zip, and print where it is."""
    with opened(url) as client:
        path = client.datasets.pull(dataset, output, version=version, format=format_)
    if as_json:
        put_json({"path": str(path)})
    else:
        put(str(path))


def _fixable(found: list[FindingView], number: int | None) -> FindingView:
    if number is not None and not 1 <= number <= len(found):
        raise typer.BadParameter(f"there are {len(found)} findings", param_hint="NUMBER")
    chosen = found if number is None else [found[number - 1]]
    for finding in chosen:
        if finding.request is not None:
            return finding
    what = "No finding" if number is None else f"Finding {number}"
    raise TrainyardError(f"{what} has a ready fix. See `trainyard datasets findings`.")


def _place(finding: FindingView) -> str:
    line = "" if finding.line is None else f", line {finding.line}"
    return "" if finding.file is None else f"{finding.file}{line}: "


def _print(view: DatasetView, *, as_json: bool) -> None:
    counts: dict[str, Any] = view.findings or {}
    if counts:
        shown = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        if shown:
            say(f"{shown}: see `trainyard datasets findings {view.name}`")
    if as_json:
        put_json(view)
    else:
        put(view.id)
