"""Check both ends of a zip before its directory is read into memory."""

import os
import struct
from dataclasses import dataclass, replace
from typing import BinaryIO, Final

from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Findings
from app.datasets.reports.report import Limits

DIRECTORY_END: Final = struct.Struct("<4s4H2LH")
ZIP64_LOCATOR: Final = struct.Struct("<4sLQL")
ZIP64_END: Final = struct.Struct("<4sQ2H2L4Q")
MAX_COMMENT_BYTES: Final = 65_535


@dataclass(frozen=True)
class _DirectoryEnd:
    """The end of a directory as zipfile will read it."""

    is_on_several_disks: bool
    entries: int
    directory_bytes: int
    bytes_after: int = 0
    """Bytes behind the end of the archive and its comment."""


def has_one_plain_directory(file: BinaryIO, limits: Limits, findings: Findings) -> bool:
    """Return whether the directory is there and of a bounded size; else add a finding."""
    end = _directory_end(file)
    if end is None:
        findings.add(Code.ARCHIVE_CORRUPT, "The archive is truncated: its directory is missing.")
        return False
    if end.is_on_several_disks:
        text = "The archive spans several disks; send one file."
        findings.add(Code.UNSUPPORTED_COMPRESSION, text)
        return False
    if end.bytes_after:
        what = "follow" if end.bytes_after > 0 else "are missing at"
        text = f"{abs(end.bytes_after)} bytes {what} the end of the archive; send it unchanged."
        findings.add(Code.ARCHIVE_CORRUPT, text)
        return False
    if end.entries > limits.max_members:
        text = f"The archive declares {end.entries} members; {limits.max_members} are allowed."
        findings.add(Code.ARCHIVE_BOMB, text)
        return False
    if end.directory_bytes > limits.max_directory_bytes:
        findings.add(
            Code.ARCHIVE_BOMB,
            f"The archive's directory has {end.directory_bytes} bytes, as of millions of members;"
            f" {limits.max_directory_bytes} bytes and {limits.max_members} members are allowed.",
        )
        return False
    return True


def _directory_end(file: BinaryIO) -> _DirectoryEnd | None:
    size = file.seek(0, os.SEEK_END)
    tail_at = max(0, size - MAX_COMMENT_BYTES - DIRECTORY_END.size)
    file.seek(tail_at)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < DIRECTORY_END.size:
        return None
    fields = DIRECTORY_END.unpack_from(tail, at)
    _, disk, first_disk, _, entries, directory_bytes, _, comment_bytes = fields
    bytes_after = len(tail) - at - DIRECTORY_END.size - comment_bytes
    zip64 = _zip64_end(file, tail_at + at)
    end = zip64 or _DirectoryEnd(bool(disk | first_disk), entries, directory_bytes)
    return replace(end, bytes_after=bytes_after)


def _zip64_end(file: BinaryIO, end_at: int) -> _DirectoryEnd | None:
    locator_at = end_at - ZIP64_LOCATOR.size
    record_at = locator_at - ZIP64_END.size
    if record_at < 0:
        return None
    file.seek(record_at)
    block = file.read(ZIP64_END.size + ZIP64_LOCATOR.size)
    if block[ZIP64_END.size : ZIP64_END.size + 4] != b"PK\x06\x07" or block[:4] != b"PK\x06\x06":
        return None
    fields = ZIP64_END.unpack_from(block)
    disk, first_disk, entries, directory_bytes = fields[4], fields[5], fields[7], fields[8]
    return _DirectoryEnd(bool(disk | first_disk), entries, directory_bytes)
