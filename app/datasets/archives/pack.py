"""The pack: a canonical zip of the files that a training may read. Write, extract and link it.

The same files give the same bytes. Workers import this module, so it uses neither the database nor
the web framework.
"""

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Final, Self

from app.core.files import whole_folder
from app.core.tasks import Task
from app.datasets.archives.audit import Archive, MemberCorruptError, open_zip
from app.datasets.archives.findings import Findings
from app.datasets.archives.report import GIB, Limits

DATASET_YAML: Final = "data.yaml"
EARLIEST_ZIP_TIME: Final = (1980, 1, 1, 0, 0, 0)
UNIX: Final = 3
READ_ONLY: Final = 0o444

PACK_LIMITS: Final = Limits(
    max_members=2_000_000,
    max_directory_bytes=GIB,
    max_names_characters=GIB,
    max_total_bytes=1024 * GIB,
)


class PackCorruptError(Exception):
    """The file is not a pack that the verifier wrote."""


@dataclass(frozen=True)
class PackedFile:
    """One member of a pack; `sha256` is hex."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The files of a pack and their digests. Two datasets are equal if their manifests are."""

    task: Task
    files: tuple[PackedFile, ...]

    def to_json(self) -> bytes:
        """Return the canonical JSON of this manifest."""
        files = [asdict(file) for file in sorted(self.files, key=lambda file: file.path)]
        content = {"format": 1, "task": self.task, "files": files}
        return json.dumps(content, sort_keys=True, separators=(",", ":")).encode() + b"\n"


class PackWriter:
    """Writes a pack, member by member, in the order of the calls."""

    def __init__(self, path: Path) -> None:
        self._zip = zipfile.ZipFile(path, "w", zipfile.ZIP_STORED)
        self._files: dict[str, PackedFile] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._zip.close()

    def add(self, path: str, content: bytes) -> PackedFile:
        """Store one file. A path that was added before keeps its first content."""
        if path in self._files:
            return self._files[path]
        entry = zipfile.ZipInfo(path, EARLIEST_ZIP_TIME)
        entry.create_system = UNIX
        entry.external_attr = (0o100000 | READ_ONLY) << 16
        self._zip.writestr(entry, content)
        packed = PackedFile(path, len(content), hashlib.sha256(content).hexdigest())
        self._files[path] = packed
        return packed

    def sha256_of(self, path: str) -> str | None:
        """Return the SHA-256 (hex) of a stored file, or None if the path is not stored."""
        packed = self._files.get(path)
        return None if packed is None else packed.sha256

    def manifest(self, task: Task) -> Manifest:
        """Return the manifest of the stored files."""
        return Manifest(task, tuple(self._files.values()))


def extract_pack(pack: Path, to: Path) -> None:
    """Extract all files, read-only, into the new directory `to`; on failure `to` does not exist.

    Raises:
        PackCorruptError: the file is damaged or is not a pack.
        FileExistsError: `to` exists.
    """
    if to.exists():
        raise FileExistsError(to)
    with whole_folder(to) as partial:
        _unpack(pack, partial)


def _unpack(pack: Path, root: Path) -> None:
    findings = Findings()
    with open_zip(pack, PACK_LIMITS, findings) as archive:
        if archive is None:
            raise PackCorruptError(findings.kept()[0].message)
        _write_members(archive, root)


def _write_members(archive: Archive, root: Path) -> None:
    made: set[Path] = set()
    for member in archive.members:
        path = root / member.name
        if path.parent not in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.add(path.parent)
        try:
            content = archive.read(member)
        except MemberCorruptError as error:
            raise PackCorruptError(f"{member.name}: {error}") from error
        with path.open("xb") as file:
            file.write(content)
        path.chmod(READ_ONLY)


def materialise_view(pack_root: Path, view: Path) -> Path:
    """Create a job's own directories, whose files are links into the extracted pack.

    Ultralytics writes files beside those it reads (`labels.cache`, `.npy` of `cache=disk`, restored
    JPEGs: 8.4.190, data/dataset.py:303, data/base.py:343, data/utils.py:289). They go into the
    job's own directories, so the shared pack stays as it was verified.

    Returns:
        The value for Ultralytics' `data`: the data.yaml, or `view` for classification.
    """
    view.mkdir(parents=True)
    root = pack_root.resolve()
    for path in _files_below(root):
        source, target = root / path, view / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if path == PurePosixPath(DATASET_YAML):
            shutil.copyfile(source, target)
        else:
            target.symlink_to(source)
    yaml = view / DATASET_YAML
    return yaml if yaml.exists() else view


def _files_below(root: Path) -> Iterator[PurePosixPath]:
    for folder, _, names in os.walk(root):
        below = PurePosixPath(Path(folder).relative_to(root).as_posix())
        yield from (below / name for name in names)
