"""What was prepared of a dataset version: its scans, and the arrays of its images."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.core.files import write_whole
from worker.dataset_cache.entry import DATASET, CachedVersion, remove_tree, state_of

Maker = Mapping[str, str | None]
"""The versions of the packages that something was prepared with, by their names."""


@dataclass(frozen=True)
class PreparedFile:
    """A file that was prepared, the SHA-256 that it must have, and the size of all arrays."""

    path: Path
    sha256: str
    array_bytes: int


@dataclass(frozen=True)
class PreparedData:
    """What was prepared of a version. Change it only inside `DatasetCache.preparing`."""

    version: CachedVersion

    @property
    def with_arrays(self) -> Path:
        """The same files with an array beside each image, if `has_arrays`."""
        return self.version.folder / "with_arrays" / DATASET

    def scan_file(self, name: str) -> Path:
        """Return the file of a scan; its folder exists."""
        folder = self.version.folder / "scans"
        folder.mkdir(exist_ok=True)
        return folder / f"{name}.npz"

    def scan(self, name: str, maker: Maker) -> PreparedFile | None:
        """Return a scan that was noted for the same maker, or None if there is none."""
        note = _read_note(self._scan_note(name), maker)
        if note is None:
            return None
        return PreparedFile(self.scan_file(name), str(note["sha256"]), int(note["array_bytes"]))

    def note_scan(self, name: str, maker: Maker, *, sha256: str, array_bytes: int) -> None:
        """Note that the file of a scan is complete."""
        content = {"sha256": sha256, "array_bytes": array_bytes}
        _write_note(self._scan_note(name), maker, content)

    def has_arrays(self, maker: Maker) -> bool:
        """Return whether the arrays are complete and unchanged, and of the same maker."""
        note = _read_note(self._arrays_note, maker)
        return note is not None and note["state"] == state_of(self.with_arrays)

    def make_folder_for_arrays(self) -> Path:
        """Make a writable folder with links to all files, and return it.

        The links are symbolic: the process that writes the arrays must not write to the files.
        """
        self.remove_arrays()
        self.with_arrays.parent.mkdir()
        start = len(str(self.version.files))
        for folder, _, names in os.walk(self.version.files):
            target = f"{self.with_arrays}{folder[start:]}"
            Path(target).mkdir()
            for name in names:
                Path(target, name).symlink_to(Path(folder, name))
        return self.with_arrays

    def remove_arrays(self) -> None:
        """Remove the arrays, complete or not."""
        self._arrays_note.unlink(missing_ok=True)
        remove_tree(self.with_arrays.parent)

    def note_arrays(self, maker: Maker, *, sha256: str) -> None:
        """Note that the arrays are complete."""
        content = {"sha256": sha256, "state": state_of(self.with_arrays)}
        _write_note(self._arrays_note, maker, content)

    @property
    def _arrays_note(self) -> Path:
        return self.version.folder / "arrays.json"

    def _scan_note(self, name: str) -> Path:
        return self.scan_file(name).with_suffix(".json")


def _read_note(file: Path, maker: Maker) -> dict[str, str] | None:
    try:
        note: dict[str, dict[str, str]] = json.loads(file.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return note["content"] if note["maker"] == maker else None


def _write_note(file: Path, maker: Maker, content: Mapping[str, object]) -> None:
    os.sync()  # what it notes must not be lost in a power cut that keeps the note
    write_whole(file, json.dumps({"maker": maker, "content": content}))
