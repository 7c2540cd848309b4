"""The `trainyard` command.

Each command imports its modules when it runs, so that `--help` stays fast.
"""

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
    help="Train Ultralytics YOLO models behind a REST API.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
models = typer.Typer(no_args_is_help=True, help="Manage base models: weights that jobs start from.")
keys = typer.Typer(no_args_is_help=True, help="Manage API keys.")
cli.add_typer(models, name="models")
cli.add_typer(keys, name="keys")

Home = Annotated[Path | None, typer.Option(help="Directory of the instance [TRAINYARD_HOME].")]
Host = Annotated[str | None, typer.Option(help="Address to listen on [TRAINYARD_HOST].")]
Port = Annotated[int | None, typer.Option(help="Port to listen on; 0 selects a free port.")]
BehindProxy = Annotated[
    bool | None,
    typer.Option("--behind-proxy", help="Declare that a TLS proxy is in front of the server."),
]
InsecureHttp = Annotated[
    bool | None,
    typer.Option("--insecure-http", help="Allow unencrypted HTTP from other machines."),
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
    """Run everything on this machine: migration, broker, server and one worker slot."""
    with _exit_on_expected_errors():
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
    """Run only the HTTP server. Migrate the database first."""
    with _exit_on_expected_errors():
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
        inherited = listener is not None  # `trainyard up` keeps the port open while we restart
        opened = (
            socket.socket(fileno=listener) if inherited else listen(settings.host, settings.port)
        )
        raise typer.Exit(serve(settings, opened))


@cli.command("worker")
def run_worker(
    *,
    home: Home = None,
    slots: Annotated[
        str, typer.Option(help='"auto", "cpu", or GPU indices such as "0;1".')
    ] = "auto",
    queues: Annotated[
        str | None, typer.Option(help="Queues to serve, separated by commas.")
    ] = None,
) -> None:
    """Run training jobs, with one Celery process per slot."""
    from importlib.util import find_spec  # noqa: PLC0415

    if any(find_spec(name) is None for name in ("worker", "torch", "ultralytics")):
        raise _failure("the worker's packages are not installed: pip install 'trainyard[worker]'")
    with _exit_on_expected_errors():
        from app.configuration import load_settings  # noqa: PLC0415

        os.environ["TRAINYARD_HOME"] = str(load_settings(home=home).home)
    more = [] if queues is None else ["--queues", queues]
    os.execv(sys.executable, [sys.executable, "-m", "worker", "--slots", slots, *more])  # noqa: S606


@cli.command("migrate")
def migrate(*, home: Home = None) -> None:
    """Migrate the database to the schema of this release."""
    with _exit_on_expected_errors():
        from app.configuration import load_settings  # noqa: PLC0415
        from app.core.migrations import upgrade  # noqa: PLC0415

        settings = load_settings(home=home)
        typer.echo(f"The database is at revision {upgrade(settings.effective_database_url)}.")


@cli.command("collect")
def collect_garbage(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print what would be removed.")
    ] = False,
    home: Home = None,
) -> None:
    """Remove unneeded data now. Servers do the same periodically."""
    with _exit_on_expected_errors():
        from app.configuration import load_settings  # noqa: PLC0415
        from app.core.database import Database  # noqa: PLC0415
        from app.core.storage import ArtifactStore  # noqa: PLC0415
        from app.ops.collector import Collector  # noqa: PLC0415

        settings = load_settings(home=home)
        database = Database(settings.effective_database_url, pool_size=1)
        collector = Collector(database, ArtifactStore.from_settings(settings), settings)
        collected = collector.dry_run() if dry_run else collector.collect()
        for name, count in collected:
            typer.echo(f"{name.replace('_', ' ')}: {count}")


@cli.command("storage")
def show_storage(*, home: Home = None) -> None:
    """Show how many bytes of the store each use takes."""
    with _exit_on_expected_errors():
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
        str | None,
        typer.Option(help="Name of official weights to download, such as yolo26n.pt."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name for use in jobs. Default: the file's name.")
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="Required task of the weights. Default: the task that a worker finds."),
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
    with _exit_on_expected_errors():
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
            raise _failure("pass either a FILE or --official NAME")
        model = wait_for_inspection(database, model, seconds=wait)
        typer.echo(_line_of(model))
        if model.state == "refused":
            raise _failure(model.message or "the weights were refused")
        if wait and model.state == "inspecting":
            raise _failure("no worker has inspected the weights yet; is one running?")


@models.command("list")
def list_weights(*, home: Home = None) -> None:
    """List the added weights with their state, task and architecture."""
    with _exit_on_expected_errors():
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
    label: Annotated[str, typer.Option(help="Purpose of the key.")],
    home: Home = None,
) -> None:
    """Create another API key and print it. It cannot be shown again."""
    with _exit_on_expected_errors():
        from app.accounts.issue_key import issue_key  # noqa: PLC0415
        from app.configuration import load_settings  # noqa: PLC0415
        from app.core.database import Database  # noqa: PLC0415

        database = Database(load_settings(home=home).effective_database_url, pool_size=1)
        typer.echo(issue_key(database, label=label))


def main() -> None:
    """Run the command; the entry point of the installed script."""
    cli()


@contextmanager
def _exit_on_expected_errors() -> Iterator[None]:
    """Exit with one line on stderr on errors that the user can fix.

    The exit status is 78 for configuration errors, and 1 for others.
    """
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
