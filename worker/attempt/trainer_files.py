"""The files that a trainer names: opened below its run directory, checked, bounded, and stored."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Final

from app.artifacts.names import ArtifactKind
from app.core.guarded_files import FileRefused, GuardedFolder
from app.jobs.end_reasons import EndReason
from worker.attempt.claimed import AttemptFailed

WEIGHTS_BYTES: Final = 16 * 1024**3
"""The largest file of weights or of a training state."""
OTHER_BYTES: Final = 1024**3
"""The largest plot, table or configuration."""


@contextmanager
def opened_file(run: GuardedFolder, path: str, *, most_bytes: int) -> Iterator[BinaryIO]:
    """Open a file that the trainer named.

    Raises:
        AttemptFailed: the file is not one that the trainer may hand over, or it changes meanwhile.
    """
    with _failing(path), run.opened(path, most_bytes=most_bytes) as file:
        yield file


def remove_file(run: GuardedFolder, path: str) -> None:
    """Remove a name that the trainer handed over.

    Raises:
        AttemptFailed: the name is not one that the trainer may hand over.
    """
    with _failing(path):
        run.unlink(path)


def most_bytes_of(kind: ArtifactKind) -> int:
    """Return the size that a result of this kind may have."""
    return WEIGHTS_BYTES if kind is ArtifactKind.WEIGHTS else OTHER_BYTES


@contextmanager
def _failing(path: str) -> Iterator[None]:
    try:
        yield
    except FileRefused as error:
        message = f"The trainer handed over a file that {error}: {path}"
        raise AttemptFailed(EndReason.TRAINER_BUG, message) from error
