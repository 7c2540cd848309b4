"""`python -m worker.trainer.inspection FILE REPORT MEMORY_BYTES`: say what weights are, as JSON.

A process of its own, in the environment of a trainer: reading weights is reading a stranger's
pickle. Free of torch until memory is limited, and so readable for the worker that starts it.
"""

import importlib
import sys
from pathlib import Path
from typing import Final

from pydantic import Field, ValidationError

from app.jobs.spec.job_spec import Task
from worker.trainer.interrupts import die_with_parent, limit_memory
from worker.trainer.protocol import ExitCode, ProtocolModel

MAX_CLASSES: Final = 100_000
MAX_CLASS_NAME: Final = 1000
MAX_REPORT_BYTES: Final = 16 * 1024 * 1024


class WeightsReport(ProtocolModel):
    """What a model file holds; `architecture` is the shipped yaml that it equals layer by layer."""

    task: Task
    architecture: str | None = Field(max_length=100)
    classes: tuple[str, ...]
    parameters: int


class Inspection(ProtocolModel):
    """Either what was found, or one sentence that says why the file is of no use."""

    found: WeightsReport | None = None
    refusal: str | None = Field(default=None, max_length=1000)


def read_inspection(report: Path) -> Inspection | None:
    """Return what the process wrote; None: it ended before it could."""
    try:
        with report.open("rb") as file:
            return Inspection.model_validate_json(file.read(MAX_REPORT_BYTES))
    except (FileNotFoundError, ValidationError):
        return None


def main(arguments: list[str]) -> int:
    """Inspect the file, write the report and return the exit code."""
    file, report, memory_bytes = arguments
    if not die_with_parent():
        return ExitCode.SUPERVISOR_GONE
    limit_memory(int(memory_bytes))
    inspect = importlib.import_module("worker.trainer.weights").inspect
    said: Inspection = inspect(Path(file))
    Path(report).write_text(said.model_dump_json(), encoding="utf-8")
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
