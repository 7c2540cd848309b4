"""What the worker asks of the process that prepares a dataset, and what it answers.

Imports neither torch nor Ultralytics, since the worker imports it.
"""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Literal, TypeVar

from pydantic import Field, ValidationError

from app.core.guarded_files import FileRefused, read_regular
from app.core.tasks import Task
from worker.trainer.protocol import ProtocolModel

MAX_REPORT_BYTES: Final = 1024 * 1024
_PACKAGES: Final = (
    "ultralytics",
    "numpy",
    "pillow",
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
Report = TypeVar("Report", bound=ProtocolModel)


class PreparationRequest(ProtocolModel):
    """One order to the process; all paths are absolute.

    `scan` writes the file `output`. It also repairs JPEG files without an end marker, as
    Ultralytics does: the repaired file takes the name of the old one. `arrays` writes a file .npy
    beside each image of the folder `dataset`.
    """

    make: Literal["scan", "arrays"]
    dataset: Path = Field(description="Folder with data.yaml; for classify the image root.")
    task: Task
    single_cls: bool = False
    output: Path | None = None
    report: Path
    threads: int = Field(ge=1)
    memory_limit_bytes: int | None = Field(default=None, gt=0)


class ScanReport(ProtocolModel):
    """A scan that was written: its SHA-256, and what the arrays of its images would take."""

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    images: int
    array_bytes: int


class ArraysReport(ProtocolModel):
    """The arrays that were written, and one SHA-256 of the digests of all in order of their paths.

    An image whose array Ultralytics would not keep has none.
    """

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    arrays: int
    array_bytes: int


def read_report(file: Path, kind: type[Report]) -> Report | None:
    """Return the report that the process wrote, or None if it wrote none."""
    try:
        return kind.model_validate_json(read_regular(file, most_bytes=MAX_REPORT_BYTES))
    except (FileNotFoundError, FileRefused, ValidationError):
        return None


def deciding_packages() -> dict[str, str | None]:
    """Return the versions of the packages that decide what a scan finds and an array contains."""
    return {name: _version(name) for name in _PACKAGES}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
