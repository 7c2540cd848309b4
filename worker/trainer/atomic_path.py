"""A path through which Ultralytics writes checkpoints atomically."""

from pathlib import PosixPath
from typing import Any

from app.core.files import whole_file


class AtomicPath(PosixPath):
    """A path whose `write_bytes` replaces the file atomically and durably."""

    def write_bytes(self, data: Any) -> int:  # noqa: ANN401 - any buffer, as Path.write_bytes takes
        with whole_file(self) as file:
            return file.write(data)
