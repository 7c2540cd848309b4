"""What the inspection of a model file found. Free of torch: the worker reads it."""

from pathlib import Path
from typing import Final

from pydantic import Field, ValidationError

from app.core.tasks import Task
from worker.trainer.protocol import ProtocolModel

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
