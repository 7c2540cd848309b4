"""The list of a dataset's files, and the archive with those that the server lacks."""

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from trainyard.packing.digests import digest_of
from trainyard.packing.layout import Packing
from trainyard.packing.splits import LayoutError

PIECE_BYTES: Final = 1024 * 1024
OnDone = Callable[[int, int], None]
"""Told how many bytes of how many are done."""


@dataclass(frozen=True)
class ListedFile:
    """A file of a dataset: its path in it, SHA-256 and size."""

    path: str
    sha256: str
    size: int


def list_files(packing: Packing, on_done: OnDone | None = None) -> list[ListedFile]:
    """Read every file and return the list, sorted by path.

    Args:
        packing: the files.
        on_done: told about the bytes that were read.
    """
    total = sum(path.stat().st_size for path in packing.files.values())
    listed = [
        ListedFile(name, hashlib.sha256(text).hexdigest(), len(text))
        for name, text in packing.texts.items()
    ]
    done = 0
    for name, path in packing.files.items():
        digest, size = digest_of(path)
        listed.append(ListedFile(name, digest, size))
        done += size
        if on_done is not None:
            on_done(done, total)
    return sorted(listed, key=lambda each: each.path)


def as_lines(files: Iterable[ListedFile]) -> bytes:
    """Return the list as one JSON object a line."""
    rows = ({"path": each.path, "sha256": each.sha256, "size": each.size} for each in files)
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def from_lines(text: str) -> list[ListedFile]:
    """Return the files of a list with one JSON object a line."""
    rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    return [ListedFile(row["path"], row["sha256"], row["size"]) for row in rows]


def write_archive(packing: Packing, wanted: Iterable[ListedFile], folder: Path) -> Path:
    """Write a zip with some files of a dataset, and return its path.

    Args:
        packing: the files.
        wanted: those to write.
        folder: for the zip.

    Raises:
        LayoutError: a file is no longer what it was when it was listed.
    """
    path = folder / "files.zip"
    with zipfile.ZipFile(path, "w", allowZip64=True) as archive:
        for each in wanted:
            _write(archive, packing, each)
    return path


def _write(archive: zipfile.ZipFile, packing: Packing, file: ListedFile) -> None:
    member = zipfile.ZipInfo(file.path)
    is_text = file.path.endswith((".txt", ".yaml"))
    member.compress_type = zipfile.ZIP_DEFLATED if is_text else zipfile.ZIP_STORED
    if file.path in packing.texts:
        archive.writestr(member, packing.texts[file.path])
        return
    digest = hashlib.sha256()
    source = packing.files[file.path]
    with source.open("rb") as read, archive.open(member, "w", force_zip64=True) as written:
        while piece := read.read(PIECE_BYTES):
            digest.update(piece)
            written.write(piece)
    if digest.hexdigest() != file.sha256:
        raise LayoutError(f"{source} was changed while it was read; send the dataset again.")
