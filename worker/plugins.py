"""Which trainer plugins are installed here, asked of a process of its own."""

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
from app.core.logging import get_logger
from app.core.processes import signal_group, spawn
from app.fleet.repository import ReportedPlugin
from worker.trainer import null_trainer
from worker.trainer.environment import trainer_environment
from worker.trainer.plugins import GROUP

ARGV: Final = (sys.executable, "-m", "worker.trainer.plugin_report")
PATIENCE_SECONDS: Final = 180.0
"""For all plugins together; importing torch without bytecode takes half a minute."""
MAX_REPORT_BYTES: Final = 8 * 1024 * 1024
MAX_LOGGED_CHARACTERS: Final = 2000

_REPORT: Final = TypeAdapter(tuple[ReportedPlugin, ...])

log = get_logger(__name__)


def installed_plugins(*, patience_seconds: float = PATIENCE_SECONDS) -> tuple[ReportedPlugin, ...]:
    """Return what each installed plugin says of itself, or why it cannot be used.

    Costs nothing where none is installed. Plugins are others' code: whatever they do to the process
    that describes them, the slot starts.
    """
    of_tests = (_null_trainer(),) if os.environ.get(TESTING_VARIABLE) == "1" else ()
    names = sorted({point.name for point in entry_points(group=GROUP)})
    if not names:
        return of_tests
    with tempfile.TemporaryDirectory(prefix="trainyard-plugins-") as folder:
        reported = _ask(Path(folder), patience_seconds) or tuple(
            ReportedPlugin(name=name[:100], version="unknown", error="It could not be described.")
            for name in names
        )
    for each in reported:
        if each.error is None:
            log.info("plugin.found", plugin=each.name, version=each.version)
        else:
            log.warning("plugin.left_out", plugin=each.name, error=each.error)
    return (*of_tests, *reported)


def _null_trainer() -> ReportedPlugin:
    return ReportedPlugin(
        name=null_trainer.NAME,
        version=version("trainyard"),
        tasks=("detect",),
        options_schema=null_trainer.NullOptions.model_json_schema(),
    )


def _ask(folder: Path, patience_seconds: float) -> tuple[ReportedPlugin, ...] | None:
    report, said = folder / "report.json", folder / "said.log"
    environment = trainer_environment(folder, gpu=None, base=os.environ)
    with said.open("wb") as output:
        process = spawn([*ARGV, str(report)], env=environment, output=output, cwd=folder)
    try:
        process.wait(patience_seconds)
    except subprocess.TimeoutExpired:
        log.warning("plugins.not_described", reason="timeout", seconds=patience_seconds)
    finally:
        signal_group(process, signal.SIGKILL)
        process.wait()
    try:
        with report.open("rb") as file:
            return _REPORT.validate_json(file.read(MAX_REPORT_BYTES))
    except (FileNotFoundError, ValidationError) as error:
        words = said.read_text(errors="replace")[-MAX_LOGGED_CHARACTERS:]
        log.warning("plugins.not_described", reason=type(error).__name__, said=words)
        return None
