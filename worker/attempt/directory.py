"""The directory of an attempt: private, locked while its supervisor lives, removed afterwards."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from app.core.files import PRIVATE_FOLDER, private_folder
from app.core.guarded_files import GuardedFolder, remove_tree
from app.core.logging import get_logger
from app.jobs.locks import Hold
from worker.processes.process import kill_processes

log = get_logger(__name__)


@dataclass(frozen=True)
class AttemptDirectory:
    """The paths in an attempt's directory."""

    root: Path

    @property
    def attempt(self) -> str:
        """The attempt's name, which also marks its processes: job id and number."""
        return self.root.name

    @property
    def job_file(self) -> Path:
        """The trainer's input."""
        return self.root / "job.json"

    @property
    def log_file(self) -> Path:
        """The trainer's stdout and stderr."""
        return self.root / "trainer.log"

    @property
    def spool(self) -> Path:
        """The trainer's events that are not in the database yet."""
        return self.root / "events.spool"

    @property
    def run(self) -> Path:
        """The files that training writes, and no others."""
        return self.root / "run"

    @cached_property
    def run_files(self) -> GuardedFolder:
        """The files in `run`, for a supervisor that does not trust them."""
        return GuardedFolder(self.run)

    def new_folder(self) -> Path:
        """Make a folder whose name a trainer could not know, for files of the supervisor."""
        return Path(tempfile.mkdtemp(dir=self.root))

    @property
    def home(self) -> Path:
        """The trainer's HOME, with its configuration and temporary files."""
        return self.root / "home"

    @property
    def dataset(self) -> Path:
        """The dataset as this trainer sees it."""
        return self.root / "dataset"

    @property
    def resume(self) -> Path:
        """The folder with the last.pt that a resume starts from, and with its state.pt."""
        return self.root / "resume"

    @property
    def model(self) -> Path:
        """The folder with the weights to start from."""
        return self.root / "model"


@contextmanager
def attempt_directory(folder: Path, hold: Hold) -> Iterator[AttemptDirectory]:
    """Make the directory of an attempt, and remove it when the block ends."""
    with private_directory(folder, f"{hold.job_id}-{hold.attempt}") as root:
        directory = AttemptDirectory(root)
        for place in (directory.run, directory.home, directory.model, directory.resume):
            place.mkdir(mode=PRIVATE_FOLDER)
        assert directory.run_files is not None  # noqa: S101 -- its identity is noted before a trainer runs
        yield directory


@contextmanager
def private_directory(folder: Path, name: str) -> Iterator[Path]:
    """Make an empty, locked directory in `folder`, and remove it when the block ends.

    Its name marks the processes that work in it, for `clear_dead_attempts`.
    """
    private_folder(folder)
    root = folder / name
    with _locked(folder):  # until it is locked, another slot would take it for dead
        remove_tree(root)
        root.mkdir(mode=PRIVATE_FOLDER)
        descriptor = _lock(root)
    try:
        yield root
    finally:
        remove_tree(root)
        os.close(descriptor)


def clear_dead_attempts(folder: Path) -> list[str]:
    """Kill the processes of attempts whose supervisor is dead, and remove their directories.

    Returns the names of these attempts. The directory of a living supervisor is locked and stays.
    """
    if not folder.is_dir():
        return []
    with _locked(folder):
        cleared = [root.name for root in sorted(folder.iterdir()) if _clear_if_dead(root)]
    for name in cleared:
        log.info("attempt.cleared", attempt=name)
    return cleared


def _clear_if_dead(root: Path) -> bool:
    try:
        descriptor = _lock(root)
    except (BlockingIOError, FileNotFoundError, NotADirectoryError):
        return False
    is_left = root.is_dir()  # its owner removes it before it releases the lock
    if is_left:
        kill_processes(root.name)
        remove_tree(root)
    os.close(descriptor)
    return is_left


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _lock(root: Path) -> int:
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    return descriptor
