"""Find the trainer plugins that are installed here, with the help of a separate process."""

import os
import signal
import subprocess
import sys
import tempfile
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from app.core.crash_points import TESTING_VARIABLE
from app.core.guarded_files import FileRefused, read_regular, tail_of_regular
from app.core.logging import get_logger
from app.core.processes import signal_group, spawn
from app.fleet.repository import ReportedPlugin
from worker.trainer import null_trainer
from worker.trainer.environment import trainer_environment
from worker.trainer.plugins import GROUP

ARGV: Final = (sys.executable, "-m", "worker.trainer.plugin_report")
PATIENCE_SECONDS: Final = 180.0
"""Time limit for all plugins together; importing torch without bytecode takes half a minute."""
MAX_REPORT_BYTES: Final = 8 * 1024 * 1024
MAX_LOGGED_BYTES: Final = 2000

_REPORT: Final = TypeAdapter(tuple[ReportedPlugin, ...])

log = get_logger(__name__)


def installed_plugins(*, patience_seconds: float = PATIENCE_SECONDS) -> tuple[ReportedPlugin, ...]:
    """Return the description of each installed plugin, or why it cannot be used.

    Starts no process if no plugin is installed. Plugins are foreign code: the slot starts no matter
    what they do to the process that describes them.
    """
    test_plugins = (_null_trainer(),) if os.environ.get(TESTING_VARIABLE) == "1" else ()
    names = sorted({point.name for point in entry_points(group=GROUP)})
    if not names:
        return test_plugins
    with tempfile.TemporaryDirectory(prefix="trainyard-plugins-") as folder:
        reported = _describe(Path(folder), patience_seconds) or tuple(
            ReportedPlugin(name=name[:100], version="unknown", error="It could not be described.")
            for name in names
        )
    for plugin in reported:
        if plugin.error is None:
            log.info("plugin.found", plugin=plugin.name, version=plugin.version)
        else:
            log.warning("plugin.left_out", plugin=plugin.name, error=plugin.error)
    return (*test_plugins, *reported)


def _null_trainer() -> ReportedPlugin:
    return ReportedPlugin(
        name=null_trainer.NAME,
        version=version("trainyard-server"),
        tasks=("detect",),
        options_schema=null_trainer.NullOptions.model_json_schema(),
    )


def _describe(folder: Path, patience_seconds: float) -> tuple[ReportedPlugin, ...] | None:
    report, output_file = folder / "report.json", folder / "output.log"
    environment = trainer_environment(folder, gpu=None, base=os.environ)
    with output_file.open("wb") as output:
        process = spawn([*ARGV, str(report)], env=environment, output=output, cwd=folder)
    try:
        process.wait(patience_seconds)
    except subprocess.TimeoutExpired:
        log.warning("plugins.not_described", reason="timeout", seconds=patience_seconds)
    finally:
        signal_group(process, signal.SIGKILL)
        process.wait()
    try:
        return _REPORT.validate_json(read_regular(report, most_bytes=MAX_REPORT_BYTES))
    except (FileNotFoundError, FileRefused, ValidationError) as error:
        tail = tail_of_regular(output_file, most_bytes=MAX_LOGGED_BYTES)
        log.warning("plugins.not_described", reason=type(error).__name__, output=tail)
        return None
