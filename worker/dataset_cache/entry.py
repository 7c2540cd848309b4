"""One dataset version on the worker's disk: its shared files, and the state of them.

Trainings share the files. Their folders are read-only, which stops a worker that is not root; what
a training of root did to them is seen at the next use.
"""

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from app.core.files import whole_file, write_whole
from app.datasets.packs.manifest import DATASET_YAML

DATASET: Final = "dataset"
"""The name of each folder with a dataset's files; logs show paths from here on."""
READ_ONLY_FOLDER: Final = 0o555
WRITABLE_FOLDER: Final = 0o755


@dataclass(frozen=True)
class CachedVersion:
    """The folder of an entry. Prepare something only inside `DatasetCache.preparing`."""

    folder: Path

    @property
    def key(self) -> str:
        """The SHA-256 that names the version."""
        return self.folder.name

    @property
    def files(self) -> Path:
        """The files as they were verified; read-only."""
        return self.folder / DATASET

    def is_unchanged(self) -> bool:
        """Return whether the files are those that were sealed, by their names, sizes and times."""
        return self._seal == state_of(self.files)

    def seal(self) -> None:
        """Make the folders of the files read-only, and note their state for `is_unchanged`."""
        for folder in _folders(self.files):
            folder.chmod(READ_ONLY_FOLDER)
        write_whole(self.folder / "seal", state_of(self.files), durable=False)

    def take_repaired(self, view: Path) -> None:
        """Move files from a view of this version over those that they replace.

        In a view, everything is a link but what was written there.
        """
        repaired = []
        for entry in _entries(view):
            name = entry.path[len(str(view)) + 1 :]
            is_new = entry.is_file(follow_symlinks=False) and name != DATASET_YAML
            if is_new and (self.files / name).is_file():
                repaired.append(name)
        if repaired:
            self.unseal()
            try:
                for name in repaired:
                    take_file(view / name, self.files / name)
            finally:
                self.seal()

    def unseal(self) -> None:
        """Make the folders of the files writable, until they are sealed again."""
        for folder in _folders(self.files):
            folder.chmod(WRITABLE_FOLDER)

    @property
    def _seal(self) -> str | None:
        with suppress(FileNotFoundError):
            return (self.folder / "seal").read_text(encoding="utf-8")
        return None


def take_file(source: Path, to: Path) -> None:
    """Move a regular file to a name, and replace the file of this name.

    Raises:
        OSError: the source is no regular file.
    """
    if not stat.S_ISREG(source.lstat().st_mode):
        raise OSError(errno.EINVAL, f"{source.name} is no regular file")
    try:
        source.replace(to)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with source.open("rb") as reading, whole_file(to, durable=False) as writing:
            shutil.copyfileobj(reading, writing)


def bytes_in(folder: Path) -> int:
    """Return the size of all files below a folder; a file with several names counts once."""
    total, seen = 0, set()
    for entry in _entries(folder):
        found = entry.stat(follow_symlinks=False)
        if stat.S_ISREG(found.st_mode):
            if found.st_nlink > 1:
                if found.st_ino in seen:
                    continue
                seen.add(found.st_ino)
            total += found.st_size
    return total


def remove_tree(folder: Path) -> None:
    """Remove a folder, also with read-only folders inside; do nothing if it does not exist."""
    if folder.is_dir():
        for each in _folders(folder):
            each.chmod(WRITABLE_FOLDER)
        shutil.rmtree(folder)


def state_of(folder: Path) -> str:
    """Return a digest of the names, sizes, times and inodes of all files below a folder."""
    digest = hashlib.sha256()
    for entry in _entries(folder):
        found = entry.stat(follow_symlinks=False)
        is_folder = stat.S_ISDIR(found.st_mode)
        facts = () if is_folder else (found.st_size, found.st_mtime_ns, found.st_ino)
        digest.update(os.fsencode(f"{entry.path[len(str(folder)) :]}\0{facts}\n"))
    return digest.hexdigest()


def _entries(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    """Yield everything below a folder, in a fixed order.

    Without recursion: the process that prepares a dataset can make thousands of levels.
    """
    pending = _listed(folder)
    while pending:
        entry = pending.pop()
        yield entry
        if entry.is_dir(follow_symlinks=False):
            pending += _listed(entry.path)


def _listed(folder: Path | str) -> list[os.DirEntry[str]]:
    """Return what lies directly in a folder, the last name first."""
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name, reverse=True)
    except FileNotFoundError:  # another slot has just removed it
        return []


def _folders(folder: Path) -> list[Path]:
    return [Path(each) for each, _, _ in os.walk(folder)]
