"""The result of inspecting a model file. Does not import torch, since the worker reads it."""

from pathlib import Path
from typing import Final

from pydantic import Field, ValidationError

from app.core.guarded_files import FileRefused, read_regular
from app.core.tasks import Task
from worker.trainer.protocol import ProtocolModel

MAX_CLASSES: Final = 100_000
MAX_CLASS_NAME: Final = 1000
MAX_REFUSAL: Final = 1000
MAX_REPORT_BYTES: Final = 16 * 1024 * 1024


class WeightsReport(ProtocolModel):
    """The content of a model file; `architecture` is the shipped yaml with exactly its layers."""

    task: Task
    architecture: str | None = Field(max_length=100)
    classes: tuple[str, ...]
    parameters: int


class Inspection(ProtocolModel):
    """Either the report of a file, or one sentence with the reason why no job can use the file."""

    found: WeightsReport | None = None
    refusal: str | None = Field(default=None, max_length=MAX_REFUSAL)


def read_inspection(report: Path) -> Inspection | None:
    """Return the result that the process wrote, or None if it ended before it wrote one."""
    try:
        return Inspection.model_validate_json(read_regular(report, most_bytes=MAX_REPORT_BYTES))
    except (FileNotFoundError, FileRefused, ValidationError):
        return None
