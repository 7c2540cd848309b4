"""A path that Ultralytics writes a checkpoint to without ever showing half a file."""

import os
from pathlib import PosixPath
from typing import Any


class AtomicPath(PosixPath):
    """A path whose `write_bytes` replaces the file at once, durably; readers never see a part."""

    def write_bytes(self, data: Any) -> int:  # noqa: ANN401 - any buffer, as Path.write_bytes takes
        fresh = self.with_name(f"{self.name}.tmp")
        with open(fresh, "wb") as file:  # noqa: PTH123 - fresh.open() would do, but write_bytes is ours
            written = file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, self)  # noqa: PTH105 - keeps AtomicPath free of recursion
        return written
