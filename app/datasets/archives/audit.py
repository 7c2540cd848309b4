"""Read untrusted zip archives: audit the whole directory before any byte is inflated.

Names with Windows' separators are accepted: backslashes become `/` before the name is checked.
"""

import os
import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Final

from app.datasets.archives.findings import Code, Findings, shown
from app.datasets.archives.report import Limits

LOCAL_HEADER: Final = struct.Struct("<4s5H3L2H")
DIRECTORY_END: Final = struct.Struct("<4s4H2LH")
ZIP64_LOCATOR: Final = struct.Struct("<4sLQL")
ZIP64_END: Final = struct.Struct("<4sQ2H2L4Q")
MAX_COMMENT_BYTES: Final = 65_535

ENCRYPTION_FLAGS: Final = 0x1 | 0x40 | 0x2000
PATCH_FLAG: Final = 0x20
METHODS: Final = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
PKWARE_UNIX_EXTRA: Final = 0x000D
PKWARE_UNIX_FIXED_BYTES: Final = 12

DRIVE: Final = re.compile(r"[A-Za-z]:")

UNREADABLE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,  # raised by zipfile for a member that needs a password
    ValueError,  # includes names that are not UTF-8
)


class MemberCorruptError(Exception):
    """A member's content does not match its directory entry."""


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file of the archive under its normalised name."""

    name: str
    entry: zipfile.ZipInfo

    @property
    def size_bytes(self) -> int:
        """The declared size after inflation; `Archive.read` never returns more."""
        return self.entry.file_size


@dataclass(frozen=True)
class Archive:
    """An audited archive."""

    zip: zipfile.ZipFile
    members: tuple[Member, ...]

    def read(self, member: Member) -> bytes:
        """Inflate one member and check its CRC and its declared size.

        Raises:
            MemberCorruptError: the member is truncated or damaged.
        """
        try:
            with self.zip.open(member.entry) as stream:
                content = stream.read(member.size_bytes + 1)
        except UNREADABLE as error:
            raise MemberCorruptError(f"it cannot be inflated: {error}") from error
        if len(content) != member.size_bytes:
            raise MemberCorruptError(
                f"{member.size_bytes} bytes are declared, {len(content)} were inflated"
            )
        return content


@contextmanager
def open_archive(path: Path, limits: Limits, findings: Findings) -> Iterator[Archive | None]:
    """Audit the archive at `path`. Yield None, with the reasons in `findings`, if it is unsafe."""
    with path.open("rb") as file:
        if not _has_one_plain_directory(file, limits, findings):
            yield None
            return
        try:
            archive = zipfile.ZipFile(file)
        except UNREADABLE as error:
            findings.add(Code.ARCHIVE_CORRUPT, f"The archive's directory is damaged: {error}.")
            yield None
            return
        with archive:
            members = _audit(archive, file, limits, findings)
            yield None if findings.has_errors else Archive(archive, members)


def _has_one_plain_directory(file: BinaryIO, limits: Limits, findings: Findings) -> bool:
    """Check both ends of the file before zipfile reads the directory into memory."""
    if file.read(4) not in {b"PK\x03\x04", b"PK\x05\x06"}:
        findings.add(
            Code.ARCHIVE_CORRUPT,
            "This is not a zip archive: it does not begin with a member. Send a plain .zip file.",
        )
        return False
    end = _directory_end(file)
    if end is None:
        findings.add(Code.ARCHIVE_CORRUPT, "The archive is truncated: its directory is missing.")
        return False
    disks, entries, directory_bytes = end
    if disks:
        findings.add(
            Code.UNSUPPORTED_COMPRESSION, "The archive spans several disks; send one file."
        )
    elif entries > limits.max_members or directory_bytes > limits.max_directory_bytes:
        findings.add(
            Code.ARCHIVE_BOMB,
            f"The archive declares {entries} members; {limits.max_members} are allowed.",
        )
    return not findings.has_errors


def _directory_end(file: BinaryIO) -> tuple[int, int, int] | None:
    """Return the disk number, entries and directory bytes as zipfile will read them."""
    size = file.seek(0, os.SEEK_END)
    tail_at = max(0, size - MAX_COMMENT_BYTES - DIRECTORY_END.size)
    file.seek(tail_at)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) - at < DIRECTORY_END.size:
        return None
    _, disk, first_disk, _, entries, directory_bytes, _, _ = DIRECTORY_END.unpack_from(tail, at)
    zip64 = _zip64_end(file, tail_at + at)
    if zip64 is not None:
        return zip64
    return disk | first_disk, entries, directory_bytes


def _zip64_end(file: BinaryIO, end_at: int) -> tuple[int, int, int] | None:
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
    return disk | first_disk, entries, directory_bytes


def _audit(
    archive: zipfile.ZipFile, file: BinaryIO, limits: Limits, findings: Findings
) -> tuple[Member, ...]:
    entries = archive.infolist()
    if len(entries) > limits.max_members:
        findings.add(Code.ARCHIVE_BOMB, f"More than {limits.max_members} members.")
        return ()
    members = []
    for entry in entries:
        _audit_entry(entry, limits, findings)
        name = normalised_name(entry.orig_filename)
        if name is None:
            findings.add(
                Code.PATH_TRAVERSAL,
                "The member's name must be a relative path inside the archive.",
                file=entry.orig_filename,
            )
        elif not entry.orig_filename.endswith(("/", "\\")):
            members.append(Member(name, entry))
    _audit_names(members, findings)
    _audit_total(members, limits, findings)
    _audit_extents(archive, file, findings)
    return tuple(members)


def normalised_name(name: str) -> str | None:
    """Return the name with `/` separators and without `.` parts, or None if it is not safe."""
    name = name.replace("\\", "/")
    if "\x00" in name or name.startswith("/") or DRIVE.match(name):
        return None
    parts = [part for part in name.split("/") if part not in {"", "."}]
    if not parts or ".." in parts:
        return None
    return "/".join(parts)


def _audit_entry(entry: zipfile.ZipInfo, limits: Limits, findings: Findings) -> None:
    name = entry.orig_filename
    if entry.flag_bits & ENCRYPTION_FLAGS:
        findings.add(Code.ENCRYPTED, "Send the archive without a password.", file=name)
    if entry.compress_type not in METHODS or entry.flag_bits & PATCH_FLAG:
        findings.add(
            Code.UNSUPPORTED_COMPRESSION,
            f"Compression method {entry.compress_type} is not supported; use stored or deflate.",
            file=name,
        )
    if _is_special(entry):
        findings.add(
            Code.SPECIAL_FILE, "Only regular files and folders may be in the archive.", file=name
        )
    if _is_bomb(entry.file_size, entry.compress_size, limits.max_member_bytes, limits):
        findings.add(
            Code.ARCHIVE_BOMB,
            f"It inflates from {entry.compress_size} to {entry.file_size} bytes; a member may"
            f" inflate {limits.max_ratio}-fold to at most {limits.max_member_bytes} bytes.",
            file=name,
        )


def _is_special(entry: zipfile.ZipInfo) -> bool:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        return True
    return any(
        header == PKWARE_UNIX_EXTRA and len(data) > PKWARE_UNIX_FIXED_BYTES
        for header, data in _extra_fields(entry.extra)
    )


def _extra_fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield id and content of each extra field.

    In PKWARE's Unix field the target of a link follows the fixed part.
    """
    while len(extra) >= 4:  # noqa: PLR2004 -- a header and a length of two bytes each
        header, length = struct.unpack_from("<HH", extra)
        yield header, extra[4 : 4 + length]
        extra = extra[4 + length :]


def _is_bomb(size: int, compressed: int, max_bytes: int, limits: Limits) -> bool:
    too_dense = size > limits.ratio_free_bytes and size > compressed * limits.max_ratio
    return size > max_bytes or too_dense


def _audit_names(members: list[Member], findings: Findings) -> None:
    """Refuse names that some file systems treat as equal, and files that are also folders."""
    seen: dict[str, str] = {}
    for member in members:
        key = unicodedata.normalize("NFC", member.name).casefold()
        other = seen.setdefault(key, member.name)
        if other is not member.name:
            findings.add(
                Code.DUPLICATE_NAME,
                f"Some file systems treat it as the same file as {shown(other)}.",
                file=member.name,
            )
    folders = {folder for key in seen for folder in _parents(key)}
    for key in sorted(folders & seen.keys()):
        findings.add(Code.DUPLICATE_NAME, "It is a file and also a folder.", file=seen[key])


def _parents(path: str) -> Iterator[str]:
    at = path.rfind("/")
    while at > 0:
        yield path[:at]
        at = path.rfind("/", 0, at)


def _audit_total(members: list[Member], limits: Limits, findings: Findings) -> None:
    size = sum(member.size_bytes for member in members)
    compressed = sum(member.entry.compress_size for member in members)
    if _is_bomb(size, compressed, limits.max_total_bytes, limits):
        findings.add(
            Code.ARCHIVE_BOMB,
            f"The archive inflates from {compressed} to {size} bytes; it may inflate"
            f" {limits.max_ratio}-fold to at most {limits.max_total_bytes} bytes.",
        )


def _audit_extents(archive: zipfile.ZipFile, file: BinaryIO, findings: Findings) -> None:
    """Check that members begin at byte 0, do not overlap, and match their own headers."""
    entries = sorted(archive.infolist(), key=lambda entry: entry.header_offset)
    if entries and entries[0].header_offset != 0:
        findings.add(Code.ARCHIVE_CORRUPT, "There are bytes before the first member.")
    extents = []
    for entry in entries:
        header = os.pread(file.fileno(), LOCAL_HEADER.size, max(0, entry.header_offset))
        if len(header) < LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
            findings.add(
                Code.ARCHIVE_CORRUPT, "The member's header is missing.", file=entry.orig_filename
            )
            continue
        fields = LOCAL_HEADER.unpack(header)
        if fields[2] & ENCRYPTION_FLAGS or fields[3] != entry.compress_type:
            findings.add(
                Code.ARCHIVE_CORRUPT,
                "The member's header and the directory differ.",
                file=entry.orig_filename,
            )
        length = LOCAL_HEADER.size + fields[9] + fields[10] + entry.compress_size
        extents.append((entry.header_offset, entry.header_offset + length, entry.orig_filename))
    extents.append((archive.start_dir, archive.start_dir, ""))
    for (_, end, name), (next_start, _, _) in pairwise(extents):
        if end > next_start:
            findings.add(
                Code.ARCHIVE_BOMB, "The member overlaps the data that follows it.", file=name
            )
