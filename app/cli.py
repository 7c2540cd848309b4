"""The `trainyard` command. Each command imports what it needs, so that `--help` comes at once."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from app.models.tables import Model

EXIT_FAILURE = 1
LIST_PAGE = 200

cli = typer.Typer(
    name="trainyard",
    help="Trains Ultralytics YOLO models behind a REST API.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
models = typer.Typer(no_args_is_help=True, help="Base models: weights that training starts from.")
keys = typer.Typer(no_args_is_help=True, help="API keys.")
cli.add_typer(models, name="models")
cli.add_typer(keys, name="keys")

Home = Annotated[Path | None, typer.Option(help="Directory of the instance [TRAINYARD_HOME].")]
Host = Annotated[str | None, typer.Option(help="Address to listen on [TRAINYARD_HOST].")]
Port = Annotated[int | None, typer.Option(help="Port to listen on; 0: a free one.")]
BehindProxy = Annotated[
    bool | None, typer.Option("--behind-proxy", help="A proxy that ends TLS stands in front.")
]
InsecureHttp = Annotated[
    bool | None, typer.Option("--insecure-http", help="Allow other machines, unencrypted.")
]


@cli.command("up")
def run_all(
    *,
    home: Home = None,
    host: Host = None,
    port: Port = None,
    behind_proxy: BehindProxy = None,
    insecure_http: InsecureHttp = None,
) -> None:
    """Run everything on this machine: migrate, broker, server and one worker slot."""
    with _told_plainly():
        from app.configuration import load_settings  # noqa: PLC0415
        from app.up import up  # noqa: PLC0415

        settings = load_settings(
            home=home,
            host=host,
            port=port,
            behind_proxy=behind_proxy,
            insecure_http=insecure_http,
        )
        raise typer.Exit(up(settings))


@cli.command("server")
def run_server(
    *,
    home: Home = None,
    host: Host = None,
    port: Port = None,
    behind_proxy: BehindProxy = None,
    insecure_http: InsecureHttp = None,
    listener: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run the HTTP server alone; the database must have been migrated."""
    with _told_plainly():
        import socket  # noqa: PLC0415

        from app.configuration import load_settings, refuse_open_bind  # noqa: PLC0415
        from app.listening import listen  # noqa: PLC0415
        from app.server import serve  # noqa: PLC0415

        settings = load_settings(
            home=home,
            host=host,
            port=port,
            behind_proxy=behind_proxy,
            insecure_http=insecure_http,
        )
        refuse_open_bind(settings)
        handed_in = listener is not None  # `trainyard up` keeps the port while we restart
        opened = (
            socket.socket(fileno=listener) if handed_in else listen(settings.host, settings.port)
        )
        raise typer.Exit(serve(settings, opened))


@cli.command("worker")
def run_worker(
    *,
    home: Home = None,
    slots: Annotated[str, typer.Option(help='"auto", "cpu", or GPUs such as "0;1".')] = "auto",
    queues: Annotated[str | None, typer.Option(help="Queues to serve, by comma.")] = None,
) -> None:
    """Run training jobs: one Celery process for each slot."""
    from importlib.util import find_spec  # noqa: PLC0415

    if any(find_spec(name) is None for name in ("worker", "torch", "ultralytics")):
        raise _failure("the worker's packages are not installed: pip install 'trainyard[worker]'")
    with _told_plainly():
        from app.configuration import load_settings  # noqa: PLC0415

        os.environ["TRAINYARD_HOME"] = str(load_settings(home=home).home)
    more = [] if queues is None else ["--queues", queues]
    os.execv(sys.executable, [sys.executable, "-m", "worker", "--slots", slots, *more])  # noqa: S606


@cli.command("migrate")
def migrate(*, home: Home = None) -> None:
    """Bring the database to the schema of this release."""
    with _told_plainly():
        from app.configuration import load_settings  # noqa: PLC0415
        from app.core.migrations import upgrade  # noqa: PLC0415

        settings = load_settings(home=home)
        typer.echo(f"The database is at revision {upgrade(settings.effective_database_url)}.")


@cli.command("collect")
def collect_garbage(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell only what would go.")] = False,
    home: Home = None,
) -> None:
    """Remove now what nothing needs any more, as servers do from time to time."""
    with _told_plainly():
        from app.configuration import load_settings  # noqa: PLC0415
        from app.core.database import Database  # noqa: PLC0415
        from app.core.storage import ArtifactStore  # noqa: PLC0415
        from app.ops.collector import Collector  # noqa: PLC0415

        settings = load_settings(home=home)
        database = Database(settings.effective_database_url, pool_size=1)
        collector = Collector(database, ArtifactStore.from_settings(settings), settings)
        collected = collector.foresee() if dry_run else collector.collect()
        for name, count in collected:
            typer.echo(f"{name.replace('_', ' ')}: {count}")


@cli.command("storage")
def tell_storage(*, home: Home = None) -> None:
    """Tell how many bytes of the store are used for what."""
    with _told_plainly():
        from app.configuration import load_settings  # noqa: PLC0415
        from app.core.database import Database  # noqa: PLC0415
        from app.ops.storage_use import stored_bytes  # noqa: PLC0415

        settings = load_settings(home=home)
        with Database(settings.effective_database_url, pool_size=1).read() as unit:
            for use, size in stored_bytes(unit.session).items():
                typer.echo(f"{use.replace('_', ' ')}: {size}")


@models.command("add")
def add_weights(
    *,
    file: Annotated[Path | None, typer.Argument(help="A .pt file.")] = None,
    official: Annotated[
        str | None, typer.Option(help="Download by name, such as yolo26n.pt, now and never again.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="As jobs name it; default: the file's.")] = None,
    task: Annotated[
        str | None, typer.Option(help="What it has to do; default: what a worker finds.")
    ] = None,
    wait: Annotated[
        float, typer.Option(help="Seconds to wait until a worker has looked at it.", min=0)
    ] = 0,
    home: Home = None,
) -> None:
    """Bring weights in, from a FILE or by --official NAME, for jobs to start from.

    They are ready once a worker has looked at them; refused ones end this with 1.
    """
    with _told_plainly():
        from app.configuration import load_settings  # noqa: PLC0415
        from app.core.database import Database  # noqa: PLC0415
        from app.core.storage import ArtifactStore  # noqa: PLC0415
        from app.models.bring_in import (  # noqa: PLC0415
            add_model,
            add_official,
            wait_for_inspection,
        )

        settings = load_settings(home=home)
        database = Database(settings.effective_database_url, pool_size=1)
        store = ArtifactStore.from_settings(settings)
        if file is not None and official is None:
            model = add_model(database, store, file=file, name=name, task=task)
        elif official is not None and file is None:
            base_url = settings.models_base_url
            model = add_official(database, store, name=official, base_url=base_url)
        else:
            raise _failure("give either a FILE or --official NAME")
        model = wait_for_inspection(database, model, seconds=wait)
        typer.echo(_line_of(model))
        if model.state == "refused":
            raise _failure(model.message or "the weights were refused")
        if wait and model.state == "inspecting":
            raise _failure("no worker has looked at the weights yet; is one running?")


@models.command("list")
def list_weights(*, home: Home = None) -> None:
    """List the weights that were brought in, and what they were found to be."""
    with _told_plainly():
        from app.configuration import load_settings  # noqa: PLC0415
        from app.core.database import Database  # noqa: PLC0415
        from app.models.repository import models_after  # noqa: PLC0415

        database = Database(load_settings(home=home).effective_database_url, pool_size=1)
        last = ""
        while True:
            with database.read() as unit:
                page = models_after(unit.session, (), name=last, task=None, limit=LIST_PAGE)
            for model in page:
                typer.echo(_line_of(model))
            if len(page) < LIST_PAGE:
                return
            last = page[-1].name


def _line_of(model: "Model") -> str:
    parts = [
        model.name,
        model.state.value,
        model.task or "-",
        model.architecture or "-",
        f"sha256 {model.sha256}",
        f"{model.size_bytes} bytes",
    ]
    return "  ".join([*parts, *([model.message] if model.message else [])])


@keys.command("create")
def create_key(
    *,
    label: Annotated[str, typer.Option(help="What the key is for.")],
    home: Home = None,
) -> None:
    """Make another API key and print it; it is shown this once."""
    with _told_plainly():
        from app.accounts.issue_key import issue_key  # noqa: PLC0415
        from app.configuration import load_settings  # noqa: PLC0415
        from app.core.database import Database  # noqa: PLC0415

        database = Database(load_settings(home=home).effective_database_url, pool_size=1)
        typer.echo(issue_key(database, label=label))


def main() -> None:
    """The entry point of the installed command."""
    cli()


@contextmanager
def _told_plainly() -> Iterator[None]:
    """End with one line on stderr for what a person can put right: 78 for settings, else 1."""
    from app.configuration import EXIT_BAD_CONFIGURATION, BadConfiguration  # noqa: PLC0415
    from app.core.errors import TrainyardError  # noqa: PLC0415

    try:
        yield
    except BadConfiguration as error:
        raise _failure(str(error), EXIT_BAD_CONFIGURATION) from None
    except (TrainyardError, LookupError) as error:
        raise _failure(str(error)) from None


def _failure(reason: str, status: int = EXIT_FAILURE) -> typer.Exit:
    typer.echo(f"trainyard: {reason}", err=True)
    return typer.Exit(status)


if __name__ == "__main__":
    main()
