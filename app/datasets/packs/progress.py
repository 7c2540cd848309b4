"""The progress of a verification: a small file that its process replaces and the server reads."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from app.core.files import write_whole
from app.core.guarded_files import FileRefused, read_regular
from app.datasets.archives.containers import Archive, Container

VerificationStep = Literal["reading", "dividing", "images", "storing"]

PROGRESS_NAME: Final = "progress.json"
WRITE_SECONDS: Final = 0.5
MAX_BYTES: Final = 1000


class VerificationProgress(BaseModel):
    """What a running verification does, and how much of that it has done."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: VerificationStep = Field(
        description="reading: the archive is fetched and its annotations are read; dividing: "
        "splits are made; images: each image is checked with its labels; storing: the result is "
        "stored."
    )
    done: float = Field(
        ge=0,
        le=1,
        allow_inf_nan=False,
        description="Share of this step that is done, by bytes. The step can end before it is 1.",
        examples=[0.42],
    )


def read_progress(folder: Path) -> VerificationProgress | None:
    """Return what a process wrote last into its folder, or None if it wrote nothing usable."""
    try:
        content = read_regular(folder / PROGRESS_NAME, most_bytes=MAX_BYTES)
        return VerificationProgress.model_validate_json(content)
    except (OSError, FileRefused, ValidationError):
        return None


class ProgressWriter:
    """Writes the progress of this process into a folder, at most twice a second within a step."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / PROGRESS_NAME
        self._step: VerificationStep = "reading"
        self._total_bytes = 0
        self._done_bytes = 0
        self._written_at = 0.0

    def begin(self, step: VerificationStep, total_bytes: int) -> None:
        """Begin a step that reads about `total_bytes`."""
        self._step, self._total_bytes, self._done_bytes = step, total_bytes, 0
        self._write()

    def advance(self, size: int) -> None:
        """Count bytes that were read."""
        self._done_bytes += size
        if time.monotonic() - self._written_at >= WRITE_SECONDS:
            self._write()

    def _write(self) -> None:
        share = self._done_bytes / self._total_bytes if self._total_bytes else 0.0
        progress = VerificationProgress(step=self._step, done=min(1.0, round(share, 4)))
        write_whole(self._path, progress.model_dump_json(), durable=False)
        self._written_at = time.monotonic()


def counted(archive: Archive, count: Callable[[int], None]) -> Archive:
    """Return the archive, with `count` called for the bytes of each reading."""
    return replace(archive, container=_CountedContainer(archive.container, count))


@dataclass(frozen=True)
class _CountedContainer:
    """A container that counts the bytes which are read from it."""

    container: Container
    count: Callable[[int], None]

    def read(self, at: int, size: int) -> bytes:
        """Read one member; see `Container`."""
        content = self.container.read(at, size)
        self.count(len(content))
        return content

    def pieces(self, at: int) -> Iterator[bytes]:
        """Read one member piece by piece; see `Container`."""
        for piece in self.container.pieces(at):
            self.count(len(piece))
            yield piece
