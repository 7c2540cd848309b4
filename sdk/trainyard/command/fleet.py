"""`models`, `workers` and `queue`: what the server has to train with."""

from typing import Annotated, Any

import typer

from trainyard.command.shared import AsJson, Url, opened
from trainyard.command.text import duration, put_json, put_rows

models = typer.Typer(no_args_is_help=True, help="List models: architectures and weights.")
workers = typer.Typer(invoke_without_command=True, help="List the slots of all workers.")


@models.command("list")
def list_models(
    *,
    task: Annotated[str | None, typer.Option(help="Only models of this task.")] = None,
    kind: Annotated[str | None, typer.Option(help="architecture or weights.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """List the models that jobs can start from."""
    with opened(url) as client:
        found = client.models.list(task=task, kind=kind).all()
    if as_json:
        put_json(found)
    else:
        rows = (view.model_dump() for view in found)
        put_rows(rows, ("name", "kind", "state", "task", "architecture", "size_bytes", "message"))


@models.callback()
def _models() -> None:
    """List models: architectures and weights."""


@workers.callback()
def default_of_workers(context: typer.Context, *, url: Url = None, as_json: AsJson = False) -> None:
    """List the slots of all workers."""
    if context.invoked_subcommand is None:
        list_workers(url=url, as_json=as_json)


@workers.command("list")
def list_workers(*, url: Url = None, as_json: AsJson = False) -> None:
    """List the slots: state, whether it takes jobs, and what it runs."""
    with opened(url) as client:
        found = client.request("GET", "/v1/workers")["data"]
    if as_json:
        put_json(found)
        return
    put_rows(map(_slot, found), ("id", "name", "state", "cordon", "job", "queues"))


def _slot(row: dict[str, Any]) -> dict[str, Any]:
    kinds = [name for name in ("draining", "cordoned") if row.get(name)]
    job = row.get("job")
    return {**row, "cordon": kinds, "job": job and (job.get("name") or job.get("id"))}


def queue(*, url: Url = None, as_json: AsJson = False) -> None:
    """Show which jobs wait, in their order, and what each waits for."""
    with opened(url) as client:
        entries: list[dict[str, Any]] = []
        cursor: str | None = None
        while True:
            page = client.request("GET", "/v1/queue", params={"limit": 200, "cursor": cursor})
            entries += page["data"]
            cursor = page["next"]
            if cursor is None:
                break
    if as_json:
        put_json(entries)
    else:
        put_rows(map(_entry, entries), ("place", "id", "name", "queue", "waits for", "starts in"))


def _entry(entry: dict[str, Any]) -> dict[str, Any]:
    job = entry["job"]
    return {
        "place": entry["place"],
        "id": job["id"],
        "name": job["name"],
        "queue": job["queue"],
        "waits for": entry["waits_for"],
        "starts in": duration(entry["starts_in_seconds"]),
    }
