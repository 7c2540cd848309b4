"""What the process is requested to make, and its report. The supervisor does not trust the report.

Imports no decoder, since the supervisor imports it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.core.guarded_files import FileRefused, read_regular

MOST_PICTURES: Final = 1200
"""A job's plots, and its worst images."""
REPORT_BYTES: Final = 1024 * 1024

Pixels = Annotated[int, Field(gt=0, le=10**6)]


class PictureOrder(BaseModel):
    """One file to read, and the JPEG to make of it: in its shape, and never larger than it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: Path
    target: Path
    max_width: Pixels
    max_height: Pixels
    max_bytes: int


class PicturesRequest(BaseModel):
    """The pictures to make, in this order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pictures: list[PictureOrder]
    report: Path
    memory_limit_bytes: int | None = None


class MadePicture(BaseModel):
    """One line of the report: a picture that was made, and its size and that of its source."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: Annotated[int, Field(ge=0, lt=MOST_PICTURES)]
    width: Pixels
    height: Pixels
    source_width: Pixels
    source_height: Pixels


def read_report(report: Path) -> Iterator[MadePicture]:
    """Yield the pictures of a report, up to the first line that is not one."""
    try:
        for line in read_regular(report, most_bytes=REPORT_BYTES).splitlines():
            yield MadePicture.model_validate_json(line)
    except (FileNotFoundError, FileRefused, ValidationError):
        return
