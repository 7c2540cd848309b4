"""A path through which Ultralytics writes checkpoints atomically.

Nothing here is synced: a run's folder does not outlive its supervisor, and a resume reads only the
store, which syncs what it keeps.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path, PosixPath
from typing import Any

from app.core.files import link_whole, whole_file

_written: ContextVar[list[tuple[bytes, Path]] | None] = ContextVar("written", default=None)
"""In a block of `equal_files_linked`: the bytes that were written last, and their file."""


class AtomicPath(PosixPath):
    """A path whose `write_bytes` replaces the file atomically."""

    def write_bytes(self, data: Any) -> int:  # noqa: ANN401 - any buffer, as Path.write_bytes takes
        written = _written.get()
        if written and written[0][0] is data:
            link_whole(self, written[0][1])
            return len(written[0][0])
        with whole_file(self, durable=False) as file:
            size = file.write(data)
        if written is not None and isinstance(data, bytes):  # other buffers may change meanwhile
            written[:] = [(data, self)]
        return size


@contextmanager
def equal_files_linked() -> Iterator[None]:
    """Within the block, write the same `bytes` object only once: further paths become hard links.

    Ultralytics serializes a checkpoint once and writes it to last.pt and best.pt (8.4.190,
    trainer.py:832).
    """
    token = _written.set([])
    try:
        yield
    finally:
        _written.reset(token)
