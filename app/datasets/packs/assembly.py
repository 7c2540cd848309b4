"""A list of stored files that is read like an archive: the paths of a dataset, in many packs.

A server writes the list, one JSON object a line; the verification process reads it. Each line has
the `path` of a file in the dataset, its `sha256` and `size`, and `pack` and `offset` of its bytes.
The list has the files of another version, or those that a client listed. Of the latter, a file
without a pack is expected in the archive that was sent along.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Final

from app.datasets.archives.budget import Budget
from app.datasets.archives.containers import Archive, Container, Member, MemberCorruptError
from app.datasets.archives.names import audit_names, safe_name
from app.datasets.packs.manifest import EMPTY_CLASS
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Findings
from app.datasets.reports.report import Limits

PIECE_BYTES: Final = 1024 * 1024
MAX_MISSING: Final = 20
MAX_OPEN_PACKS: Final = 64


@dataclass(frozen=True, slots=True)
class AssembledFile:
    """One file of the list; `pack` is None if the archive must contain it."""

    path: str
    sha256: str
    size: int
    pack: str | None = None
    offset: int = 0


def write_assembly(path: Path, files: Iterable[AssembledFile]) -> None:
    """Write a list of files."""
    with path.open("wb") as target:
        for file in files:
            target.write(json.dumps(asdict(file), separators=(",", ":")).encode() + b"\n")


def read_assembly(path: Path) -> list[AssembledFile]:
    """Return the files of a list that a server wrote."""
    with path.open("rb") as lines:
        return [AssembledFile(**json.loads(line)) for line in lines]


class OpenPacks:
    """Reads packs, of which a limited number is open at a time, the latest used ones."""

    def __init__(self) -> None:
        self._files: dict[str, BinaryIO] = {}

    def read(self, path: str, size: int, offset: int) -> bytes:
        """Return at most `size` bytes of a pack from `offset` on."""
        file = self._files.pop(path, None)
        self._files[path] = file = file or Path(path).open("rb")  # noqa: SIM115 -- see `close`
        if len(self._files) > MAX_OPEN_PACKS:
            self._files.pop(next(iter(self._files))).close()
        return os.pread(file.fileno(), size, offset)

    def close(self) -> None:
        """Close all packs."""
        for file in self._files.values():
            file.close()


@dataclass(frozen=True)
class AssembledContainer:
    """Reads files of packs, and those of the archive that was sent along.

    A file below `len(files)` is one of the list, others are members of `archive`, counted from
    there. `sent` has the members that are files of the list, by their position in it.
    """

    files: Sequence[AssembledFile]
    packs: OpenPacks
    archive: Archive | None
    sent: Mapping[int, Member]

    def read(self, at: int, size: int) -> bytes:
        """Return at most `size` bytes of a file. Of a whole file, the listed digest is checked.

        Raises:
            MemberCorruptError: the bytes are damaged, or are not those of the list.
        """
        if at >= len(self.files):
            return self._container(at).read(at - len(self.files), size)
        file = self.files[at]
        if file.pack is not None:
            content = self.packs.read(file.pack, min(size, file.size), file.offset)
            fault = "its stored bytes are damaged"
        elif at in self.sent:
            content = self._container(at).read(self.sent[at].at, size)
            fault = "its bytes are not those whose digest is in the list of files"
        else:
            raise MemberCorruptError("it is listed, and neither stored nor sent")
        if size >= file.size and hashlib.sha256(content).hexdigest() != file.sha256:
            raise MemberCorruptError(fault)
        return content

    def pieces(self, at: int) -> Iterator[bytes]:
        """Yield the content of a file in pieces.

        Raises:
            MemberCorruptError: the bytes are damaged, or are not those of the list.
        """
        if at >= len(self.files):
            yield from self._container(at).pieces(at - len(self.files))
            return
        content = self.read(at, self.files[at].size)
        for start in range(0, len(content), PIECE_BYTES):
            yield content[start : start + PIECE_BYTES]

    def _container(self, at: int) -> Container:
        if self.archive is None:
            raise MemberCorruptError(f"there is no member {at}")
        return self.archive.container


@contextmanager
def opened_listing(
    files: Sequence[AssembledFile], archive: Archive | None, limits: Limits, findings: Findings
) -> Iterator[Archive | None]:
    """Yield the files of a client's list as one archive, or None with the reasons in `findings`.

    Files without a pack are members of `archive` with the same path and the listed bytes; other
    members are not used.
    """
    by_name = {} if archive is None else {member.name: member for member in archive.members}
    names = [safe_name(file.path, limits, findings) for file in files]
    sent = {
        at: by_name[name]
        for at, (file, name) in enumerate(zip(files, names, strict=True))
        if file.pack is None and name in by_name
    }
    missing = [file.path for at, file in enumerate(files) if file.pack is None and at not in sent]
    for path in missing[:MAX_MISSING]:
        text = "The list of files names it, and it is neither stored nor in the sent archive."
        findings.add(Code.LISTED_FILE_MISSING, text, file=path)
    members = [
        Member(name, file.size, at)
        for at, (file, name) in enumerate(zip(files, names, strict=True))
        if name is not None
    ]
    with closing(OpenPacks()) as packs:
        container = AssembledContainer(files, packs, archive, sent)
        yield _audited(container, members, (), limits, findings)


@contextmanager
def opened_version(
    files: Sequence[AssembledFile], archive: Archive | None, limits: Limits, findings: Findings
) -> Iterator[Archive | None]:
    """Yield the files of a version as one archive, or None with the reasons in `findings`.

    A member of `archive` is added, or replaces the file with its path. Files that keep the folder
    of a class become folders.
    """
    ending = f"/{EMPTY_CLASS}"
    added = () if archive is None else archive.members
    replaced = {member.name for member in added}
    members = [
        Member(name, file.size, at)
        for at, file in enumerate(files)
        if (name := safe_name(file.path, limits, findings)) is not None
        and name not in replaced
        and not name.endswith(ending)
    ]
    members += [Member(of.name, of.size_bytes, of.at + len(files)) for of in added]
    folders = tuple(file.path.removesuffix(ending) for file in files if file.path.endswith(ending))
    with closing(OpenPacks()) as packs:
        container = AssembledContainer(files, packs, archive, {})
        yield _audited(container, members, folders, limits, findings)


def _audited(
    container: AssembledContainer,
    members: Sequence[Member],
    folders: tuple[str, ...],
    limits: Limits,
    findings: Findings,
) -> Archive | None:
    budget = Budget(limits, limits.max_total_bytes)
    budget.take_members(len(members), findings)
    budget.take_bytes(sum(member.size_bytes for member in members), findings)
    audit_names(members, limits, findings)
    return None if findings.has_errors else Archive(container, tuple(members), folders)
