"""`trainyard up`, `server`, `worker` and what else an operator runs on the machine."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from app.cli.shared import Home, exit_on_expected_errors, failure, migrated_settings, say

if TYPE_CHECKING:
    from app.settings import Settings

cli = typer.Typer(
    name="trainyard",
    help="Train Ultralytics YOLO models behind a REST API.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Host = Annotated[str | None, typer.Option(help="Address to listen on [TRAINYARD_HOST].")]
Port = Annotated[int | None, typer.Option(help="Port to listen on; 0 selects a free port.")]
BehindProxy = Annotated[
    bool | None,
    typer.Option("--behind-proxy", help="Declare that a TLS proxy is in front of the server."),
]
TlsCert = Annotated[
    Path | None, typer.Option(help="PEM file of the certificate chain, to speak TLS.")
]
TlsKey = Annotated[Path | None, typer.Option(help="PEM file of the certificate's private key.")]
InsecureHttp = Annotated[
    bool | None,
    typer.Option("--insecure-http", help="Allow unencrypted HTTP from other machines."),
]


@cli.command("up")
def run_all(  # noqa: PLR0913 -- an argument for each option
    *,
    home: Home = None,
    host: Host = None,
    port: Port = None,
    behind_proxy: BehindProxy = None,
    insecure_http: InsecureHttp = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Do not open the first page in a browser.")
    ] = False,
) -> None:
    """Run everything on this machine: migration, broker, server and one worker slot."""
    with exit_on_expected_errors():
        from app.accounts.browser.setup import first_password  # noqa: PLC0415
        from app.configuration import load_settings  # noqa: PLC0415
        from app.instance_marker import check_instance  # noqa: PLC0415
        from app.up import up  # noqa: PLC0415

        settings = load_settings(
            home=home,
            host=host,
            port=port,
            behind_proxy=behind_proxy,
            insecure_http=insecure_http,
            tls_certificate_file=tls_cert,
            tls_key_file=tls_key,
        )
        first_password(settings.admin_password_file)
        check_instance(settings)
        raise typer.Exit(up(settings, opens_browser=not no_browser))


@cli.command("server")
def run_server(  # noqa: PLR0913 -- an argument for each option
    *,
    home: Home = None,
    host: Host = None,
    port: Port = None,
    behind_proxy: BehindProxy = None,
    insecure_http: InsecureHttp = None,
    tls_cert: TlsCert = None,
    tls_key: TlsKey = None,
    listener: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Run only the HTTP server. Migrate the database first.

    While no administrator has a password, it prints a set-up link, which is valid for 30 minutes.
    """
    with exit_on_expected_errors():
        from app.accounts.browser.setup import first_password  # noqa: PLC0415
        from app.configuration import load_settings, refuse_open_bind  # noqa: PLC0415

        settings = load_settings(
            home=home,
            host=host,
            port=port,
            behind_proxy=behind_proxy,
            insecure_http=insecure_http,
            tls_certificate_file=tls_cert,
            tls_key_file=tls_key,
        )
        refuse_open_bind(settings)
        password = first_password(settings.admin_password_file)
        _serve(settings, listener, offers_setup=password is None)


def _serve(settings: "Settings", listener: int | None, *, offers_setup: bool) -> None:
    """Check what the server needs, then serve; imports the server last, which takes seconds."""
    import socket  # noqa: PLC0415

    from app.core.start_checks import check_broker, check_database  # noqa: PLC0415

    check_database(settings)
    check_broker(settings)

    from app.instance_marker import check_instance  # noqa: PLC0415

    check_instance(settings)

    from app.core.home import locked_home  # noqa: PLC0415
    from app.listening import listen, url_of  # noqa: PLC0415
    from app.server import serve  # noqa: PLC0415

    if listener is not None:  # of `trainyard up`, which keeps port and lock while we restart
        raise typer.Exit(serve(settings, socket.socket(fileno=listener)))
    with locked_home(settings.home, by="server", holder="server"):
        opened = listen(settings.host, settings.port)
        if offers_setup:
            _print_setup_link(settings, url_of(opened, tls=settings.has_tls))
        raise typer.Exit(serve(settings, opened))


@cli.command("setup-link")
def print_setup_link(*, home: Home = None) -> None:
    """Print a new link that makes the first administrator, valid for 30 minutes.

    It is refused if an administrator has a password.
    """
    with exit_on_expected_errors():
        from app.listening import configured_url  # noqa: PLC0415

        settings = migrated_settings(home)
        if not _print_setup_link(settings, configured_url(settings)):
            raise failure("an administrator has a password; a set-up link would be refused")


def _print_setup_link(settings: "Settings", local_url: str) -> bool:
    """Print a set-up link; return whether one is needed."""
    from app.accounts.browser.setup import new_setup_link, setup_url  # noqa: PLC0415
    from app.core.database import Database  # noqa: PLC0415

    database = Database(settings.effective_database_url, pool_size=1)
    try:
        token = new_setup_link(database)
    finally:
        database.dispose()
    if token is not None:
        link = setup_url(settings, token, local_url=local_url)
        say(f"Set up the first administrator within 30 minutes: {link}")
    return token is not None


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
        raise failure("the worker's packages are not installed, see docs/install.md: A GPU machine")
    with exit_on_expected_errors():
        from app.configuration import load_settings  # noqa: PLC0415

        os.environ["TRAINYARD_HOME"] = str(load_settings(home=home).home)
    more = [] if queues is None else ["--queues", queues]
    os.execv(sys.executable, [sys.executable, "-m", "worker", "--slots", slots, *more])  # noqa: S606


@cli.command("migrate")
def migrate(*, home: Home = None) -> None:
    """Migrate the database to the schema of this release."""
    with exit_on_expected_errors():
        from app.configuration import load_settings  # noqa: PLC0415
        from app.core.migrations import upgrade  # noqa: PLC0415

        settings = load_settings(home=home)
        say(f"The database is at revision {upgrade(settings.effective_database_url)}.")


@cli.command("collect")
def collect_garbage(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print what would be removed.")
    ] = False,
    home: Home = None,
) -> None:
    """Remove unneeded data now. Servers do the same periodically."""
    with exit_on_expected_errors():
        from app.core.database import Database  # noqa: PLC0415
        from app.core.storage import ArtifactStore  # noqa: PLC0415
        from app.instance_marker import check_instance  # noqa: PLC0415
        from app.ops.collector import Collector  # noqa: PLC0415

        settings = migrated_settings(home)
        check_instance(settings)
        database = Database(settings.effective_database_url, pool_size=1)
        collector = Collector(database, ArtifactStore.from_settings(settings), settings)
        collected = collector.dry_run() if dry_run else collector.collect()
        for name, count in collected:
            say(f"{name.replace('_', ' ')}: {count}")


@cli.command("verify")
def verify_store(*, home: Home = None) -> None:
    """Hash all stored bytes now; the exit status is 1 if some are damaged."""
    with exit_on_expected_errors():
        from app.core.database import Database  # noqa: PLC0415
        from app.core.storage import ArtifactStore  # noqa: PLC0415
        from app.instance_marker import check_instance  # noqa: PLC0415
        from app.ops.scrubber import verify_all  # noqa: PLC0415

        settings = migrated_settings(home)
        check_instance(settings)
        database = Database(settings.effective_database_url, pool_size=1)
        store = ArtifactStore.from_settings(settings)
        found = verify_all(database, store, lambda sha256: say(f"damaged: {sha256}"))
        say(f"{found.objects} stored objects, {len(found.damaged)} damaged")
        if found.damaged:
            raise typer.Exit(1)


@cli.command("storage")
def show_storage(*, home: Home = None) -> None:
    """Show how many bytes of the store each use takes."""
    with exit_on_expected_errors():
        from app.core.database import Database  # noqa: PLC0415
        from app.ops.storage_use import stored_bytes  # noqa: PLC0415

        settings = migrated_settings(home)
        with Database(settings.effective_database_url, pool_size=1).read() as unit:
            for use, size in stored_bytes(unit.session).items():
                say(f"{use.replace('_', ' ')}: {size}")
