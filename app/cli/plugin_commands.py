"""`trainyard plugins`: whether trainer plugins work, before any user's job needs them."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer

from app.cli.plugin_folder import PluginFolder, read_plugin_folder
from app.cli.shared import AsJson, exit_on_expected_errors, failure, say

REPORT: Final = (sys.executable, "-m", "worker.trainer.plugin_report")
UP: Final = (sys.executable, "-m", "app.cli", "up", "--no-browser", "--port", "0")
TRAIN: Final = (sys.executable, "-m", "trainyard.command", "train", "-f")
REPORT_SECONDS: Final = 180
START_SECONDS: Final = 180
STOP_SECONDS: Final = 60
SLOT_SILENCE: Final = timedelta(minutes=1)
LAST_CHARACTERS: Final = 2000
TINY: Final = {"epochs": 2, "imgsz": 64, "batch": 4, "plots": False}

T = TypeVar("T")

plugins = typer.Typer(no_args_is_help=True, help="Check and try trainer plugins.")


@plugins.command("check")
def check_plugins(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of a plugin that is not installed.")
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Import every installed plugin, or that of a folder, as a worker does; say which can be used.

    The exit status is 1 if one cannot be used.
    """
    with exit_on_expected_errors(), tempfile.TemporaryDirectory(prefix="trainyard-") as made:
        unpacked = None if folder is None else read_plugin_folder(folder)
        found = _reports(Path(made), unpacked)
        if as_json:
            typer.echo(json.dumps(found, indent=2))
        for plugin in () if as_json else found:
            what = plugin.get("error") or f"trains {', '.join(plugin['tasks'])}"
            say(f"{plugin['name']} {plugin['version']}: {what}")
        if not found:
            typer.echo("No plugin is installed in this environment.", err=True)
        if any("error" in plugin for plugin in found):
            raise typer.Exit(1)


@plugins.command("try")
def try_plugin(
    name: Annotated[str, typer.Argument(help="Name of the plugin's entry point.")],
    *,
    data: Annotated[Path, typer.Option(help="A data.yaml, a folder or an archive.")],
    model: Annotated[str, typer.Option(help="Architecture to train.")] = "yolo26n.yaml",
    options: Annotated[str, typer.Option(help="Options of the plugin, as JSON.")] = "{}",
) -> None:
    """Train two epochs with a plugin, with a server and a home that exist for that only.

    The exit status is that of `trainyard train`.
    """
    with exit_on_expected_errors(), tempfile.TemporaryDirectory(prefix="trainyard-") as made:
        folder = Path(made)
        trainer = {"name": name, "options": _options(options)}
        job = {"data": str(data.absolute()), "model": model, "train": TINY, "trainer": trainer}
        (folder / "job.json").write_text(json.dumps(job))
        with _server(folder) as environment:
            done = subprocess.run(
                [*TRAIN, str(folder / "job.json")], cwd=folder, env=environment, check=False
            )
    typer.echo("The server and the results are removed: this was only a try.", err=True)
    raise typer.Exit(done.returncode)


def _options(text: str) -> Any:  # noqa: ANN401 -- JSON
    try:
        return json.loads(text)
    except ValueError as error:
        raise failure(f"--options: {error}") from None


def _reports(folder: Path, unpacked: PluginFolder | None) -> list[dict[str, Any]]:
    """Describe plugins in a process of their own: importing one runs its code."""
    report = folder / "report.json"
    only = [] if unpacked is None else [unpacked.version, json.dumps(unpacked.points)]
    done = subprocess.run(
        [*REPORT, str(report), *only],
        cwd=folder,
        env=None if unpacked is None else unpacked.environment(),
        capture_output=True,
        text=True,
        timeout=REPORT_SECONDS,
        check=False,
    )
    if not report.exists():
        raise failure(f"the plugins could not be described: {done.stderr[-LAST_CHARACTERS:]}")
    found: list[dict[str, Any]] = json.loads(report.read_text())
    return found


@contextmanager
def _server(folder: Path) -> Iterator[dict[str, str]]:
    """Run everything in a new home; yield the environment of a client of that server."""
    home, log = folder / "home", folder / "up.log"
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith("TRAINYARD_")
    } | {"TRAINYARD_HOME": str(home), "YOLO_CONFIG_DIR": str(folder)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            UP, env=environment, stdout=output, stderr=output, start_new_session=True
        )
    try:
        url = _awaited(process, log, partial(_url, home))
        _awaited(process, log, partial(_slot, home))
        key = (home / "api-key").read_text().strip()
        yield {**environment, "TRAINYARD_URL": url, "TRAINYARD_API_KEY": key}
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(STOP_SECONDS)


def _awaited(process: "subprocess.Popen[bytes]", log: Path, find: Callable[[], T | None]) -> T:
    """Return what is found after some time, while a process runs."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        found = find()
        if found is not None:
            return found
        time.sleep(0.2)  # noqa: TID251 -- another process writes what is waited for
    raise failure(f"the server did not start: {log.read_text()[-LAST_CHARACTERS:]}")


def _url(home: Path) -> str | None:
    try:
        url: str = json.loads((home / "server.json").read_text())["url"]
    except (FileNotFoundError, ValueError):
        return None
    return url


def _slot(home: Path) -> str | None:
    """Return the slot, which registers with its plugins some time after the server is ready."""
    from app.core.database import Database  # noqa: PLC0415
    from app.fleet.repository import live_ids  # noqa: PLC0415

    database = Database(f"sqlite:///{home / 'trainyard.db'}", pool_size=1)
    try:
        with database.read() as unit:
            return next(iter(live_ids(unit.session, silent=SLOT_SILENCE)), None)
    finally:
        database.dispose()
