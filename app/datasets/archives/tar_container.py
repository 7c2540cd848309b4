"""Read tars: audit every header before any content is used.

The content of a member is a range of the file, so a tar that was compressed is decompressed first.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

from app.datasets.archives.budget import Budget
from app.datasets.archives.containers import Archive, Member, MemberCorruptError
from app.datasets.archives.names import decoded_names, is_root, safe_name
from app.datasets.archives.tar_headers import (
    BLOCK,
    EXTENSIONS,
    FOLDER,
    LABEL,
    MAX_EXTENSION_BYTES,
    REGULAR,
    SPECIAL,
    Extension,
    TarHeader,
    TarHeaderError,
    extend,
    extended,
    parsed_header,
)
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Findings, shown

PIECE_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class _Entry:
    header: TarHeader
    offset: int


@dataclass(frozen=True)
class TarContainer:
    """An open tar; `at` of a member is the offset of its content, whose size is in `sizes`."""

    file: BinaryIO
    sizes: dict[int, int]

    def read(self, at: int, size: int) -> bytes:
        content = os.pread(self.file.fileno(), min(size, self.sizes[at]), at)
        if len(content) < min(size, self.sizes[at]):
            raise MemberCorruptError("the file ends within it")
        return content

    def pieces(self, at: int) -> Iterator[bytes]:
        end = at + self.sizes[at]
        for offset in range(at, end, PIECE_BYTES):
            yield os.pread(self.file.fileno(), min(PIECE_BYTES, end - offset), offset)


def audited_tar(file: BinaryIO, budget: Budget, findings: Findings) -> Archive | None:
    """Return the tar, or None with the reasons in `findings` if it is unsafe."""
    entries = _entries(file, budget, findings)
    if entries is None:
        return None
    names = decoded_names([entry.header.name for entry in entries], findings)
    if names is None:
        return None
    members, folders = [], []
    for entry, name in zip(entries, names, strict=True):
        header = entry.header
        _audit_kind(header.kind, name, findings)
        if header.kind == FOLDER and is_root(name):
            continue
        safe = safe_name(name, budget.limits, findings)
        if safe is not None and header.kind in REGULAR:
            members.append(Member(safe, header.size, entry.offset))
        elif safe is not None:
            folders.append(safe)
    sizes = {member.at: member.size_bytes for member in members}
    return Archive(TarContainer(file, sizes), tuple(members), tuple(folders))


def _audit_kind(kind: bytes, name: str, findings: Findings) -> None:
    if kind in REGULAR or kind == FOLDER:
        return
    what = SPECIAL.get(kind, f"of the unknown kind {kind!r}")
    text = f"It is {what}; only regular files and folders may be in the archive."
    findings.add(Code.SPECIAL_FILE, text, file=name)


def _entries(file: BinaryIO, budget: Budget, findings: Findings) -> list[_Entry] | None:
    """Return the entries, or add a finding and return None if one is bad or they are too many."""
    entries: list[_Entry] = []
    offset = 0
    try:
        for entry in _scanned(file):
            offset = entry.offset
            if not budget.take_members(1, findings):
                return None
            entries.append(entry)
    except TarHeaderError as error:
        text = f"The tar is damaged after byte {offset}: {shown(str(error))}."
        findings.add(Code.ARCHIVE_CORRUPT, text)
        return None
    return entries


def _scanned(file: BinaryIO) -> Iterator[_Entry]:
    """Yield the entries up to the block of zeros that ends a tar.

    Raises:
        TarHeaderError: the tar is damaged, truncated or followed by other data.
    """
    size = os.fstat(file.fileno()).st_size
    offset, extension = 0, Extension()
    while any(block := os.pread(file.fileno(), BLOCK, offset)):
        header = _header(block)
        content_at = offset + BLOCK
        if header.kind in EXTENSIONS:
            extend(extension, header, _extension_content(file, header, content_at))
        elif header.kind != LABEL:
            header = extended(header, extension)
            extension = Extension()
            yield _Entry(header, content_at)
        if content_at + header.size > size:
            raise TarHeaderError("the file ends within a member")
        offset = content_at + -(-header.size // BLOCK) * BLOCK
    _check_end(file, offset, extension, size)


def _header(block: bytes) -> TarHeader:
    if len(block) < BLOCK:
        raise TarHeaderError("the file ends within a header")
    return parsed_header(block)


def _extension_content(file: BinaryIO, header: TarHeader, at: int) -> bytes:
    if header.size > MAX_EXTENSION_BYTES:
        raise TarHeaderError(f"an extended header has {header.size} bytes")
    return os.pread(file.fileno(), header.size, at)


def _check_end(file: BinaryIO, offset: int, extension: Extension, size: int) -> None:
    if offset + BLOCK > size:
        raise TarHeaderError("the file ends without the end of a tar")
    if extension.kinds:
        raise TarHeaderError("an extended header precedes no member")
    for at in range(offset, size, PIECE_BYTES):
        if any(os.pread(file.fileno(), PIECE_BYTES, at)):
            raise TarHeaderError("other data follows the end of the tar")
