"""Read zips: audit the whole directory before any byte is inflated."""

import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import BinaryIO, Final

from app.datasets.archives.budget import Budget
from app.datasets.archives.containers import Archive, Member, MemberCorruptError
from app.datasets.archives.names import decoded_names, is_folder, is_root, is_utf8, safe_name
from app.datasets.archives.zip_ends import has_one_plain_directory
from app.datasets.archives.zip_members import LOCAL_HEADER, UTF8_FLAG, content_of
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Findings, shown
from app.datasets.reports.report import Limits

ENCRYPTION_FLAGS: Final = 0x1 | 0x40 | 0x2000
PATCH_FLAG: Final = 0x20
METHODS: Final = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}

EXTRA_HEADER: Final = struct.Struct("<HH")
PKWARE_UNIX_EXTRA: Final = 0x000D
PKWARE_UNIX_FIXED_BYTES: Final = 12
UNICODE_PATH_EXTRA: Final = 0x7075
UNICODE_PATH_HEADER: Final = struct.Struct("<BL")

PIECE_BYTES: Final = 1024 * 1024
UNREADABLE: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    RuntimeError,  # raised by zipfile for a member that needs a password
    ValueError,  # includes names that are not UTF-8
    OverflowError,  # an offset beyond what a file can have
)


@dataclass(frozen=True)
class ZipContainer:
    """An open zip."""

    file: BinaryIO
    zip: zipfile.ZipFile
    entries: Sequence[zipfile.ZipInfo]

    def read(self, at: int, size: int) -> bytes:
        """Inflate at most `size` bytes of a member; at its end, its CRC is checked."""
        if size > self.entries[at].file_size:
            content = content_of(self.file, self.entries[at])
            if content is not None:
                return content
        try:
            with self.zip.open(self.entries[at]) as stream:
                return stream.read(size)
        except UNREADABLE as error:
            raise MemberCorruptError(f"it cannot be inflated: {error}") from error

    def pieces(self, at: int) -> Iterator[bytes]:
        try:
            with self.zip.open(self.entries[at]) as stream:
                while piece := stream.read(PIECE_BYTES):
                    yield piece
        except UNREADABLE as error:
            raise MemberCorruptError(f"it cannot be inflated: {error}") from error


def stored_at(archive: Archive, member: Member) -> int | None:
    """Return where in the file of a zip the bytes of a member begin; None if it is compressed."""
    container = archive.container
    if not isinstance(container, ZipContainer):
        return None
    entry = container.entries[member.at]
    file = container.zip.fp
    if entry.compress_type != zipfile.ZIP_STORED or file is None:
        return None
    header = os.pread(file.fileno(), LOCAL_HEADER.size, entry.header_offset)
    fields = LOCAL_HEADER.unpack(header)
    return entry.header_offset + LOCAL_HEADER.size + int(fields[9]) + int(fields[10])


def audited_zip(file: BinaryIO, budget: Budget, findings: Findings) -> Archive | None:
    """Return the zip, or None with the reasons in `findings` if it is unsafe."""
    if not has_one_plain_directory(file, budget.limits, findings):
        return None
    try:
        archive = zipfile.ZipFile(file)
    except UnicodeDecodeError:
        findings.add(Code.ARCHIVE_CORRUPT, "A member's name is marked as UTF-8 and is not.")
        return None
    except UNREADABLE as error:
        findings.add(
            Code.ARCHIVE_CORRUPT, f"The archive's directory is damaged: {shown(str(error))}."
        )
        return None
    entries = archive.infolist()
    if not budget.take_members(len(entries), findings):
        return None
    names = decoded_names([_raw_name(entry) for entry in entries], findings)
    if names is None:
        return None
    _audit_extents(archive, names, file, findings)
    members, folders = _members(entries, names, budget.limits, findings)
    budget.take_bytes(sum(member.size_bytes for member in members), findings)
    return Archive(ZipContainer(file, archive, entries), members, folders)


def _raw_name(entry: zipfile.ZipInfo) -> str | bytes:
    """Return the name, or its bytes if the archive does not tell their encoding."""
    name = entry.orig_filename
    if entry.flag_bits & UTF8_FLAG or name.isascii():
        return name
    raw = name.encode("cp437")  # zipfile decoded it so, and each byte has its own character there
    return _unicode_path(entry, raw) or raw


def _unicode_path(entry: zipfile.ZipInfo, raw: bytes) -> str | None:
    """Return the name of Info-ZIP's extra field, if it belongs to the name of the entry."""
    for header, content in _extra_fields(entry.extra):
        if header == UNICODE_PATH_EXTRA and len(content) > UNICODE_PATH_HEADER.size:
            _, checksum = UNICODE_PATH_HEADER.unpack_from(content)
            name = content[UNICODE_PATH_HEADER.size :]
            if checksum == zlib.crc32(raw) and is_utf8(name):
                return name.decode()
    return None


def _extra_fields(extra: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield id and content of each extra field."""
    at = 0
    while at + EXTRA_HEADER.size <= len(extra):
        header, length = EXTRA_HEADER.unpack_from(extra, at)
        at += EXTRA_HEADER.size
        yield header, extra[at : at + length]
        at += length


def _members(
    entries: Sequence[zipfile.ZipInfo], names: Sequence[str], limits: Limits, findings: Findings
) -> tuple[tuple[Member, ...], tuple[str, ...]]:
    """Return the files and the folders of the zip."""
    members, folders = [], []
    for at, (entry, name) in enumerate(zip(entries, names, strict=True)):
        _audit_entry(entry, name, limits, findings)
        if is_folder(name) and is_root(name):
            continue
        safe = safe_name(name, limits, findings)
        if safe is not None and is_folder(name):
            folders.append(safe)
        elif safe is not None:
            members.append(Member(safe, entry.file_size, at))
    return tuple(members), tuple(folders)


def _audit_entry(entry: zipfile.ZipInfo, name: str, limits: Limits, findings: Findings) -> None:
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
    size, compressed = entry.file_size, entry.compress_size
    if size > limits.ratio_free_bytes and size > compressed * limits.max_ratio:
        findings.add(
            Code.ARCHIVE_BOMB,
            f"It inflates from {compressed} to {size} bytes; a member may inflate"
            f" {limits.max_ratio}-fold.",
            file=name,
        )


def _is_special(entry: zipfile.ZipInfo) -> bool:
    """Return whether the entry is a link or a device.

    In PKWARE's Unix field the target of a link follows the fixed part.
    """
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        return True
    return any(
        header == PKWARE_UNIX_EXTRA and len(content) > PKWARE_UNIX_FIXED_BYTES
        for header, content in _extra_fields(entry.extra)
    )


def _audit_extents(
    archive: zipfile.ZipFile, names: Sequence[str], file: BinaryIO, findings: Findings
) -> None:
    """Check that members begin at byte 0, do not overlap, and match their own headers."""
    entries = sorted(
        zip(archive.infolist(), names, strict=True), key=lambda listed: listed[0].header_offset
    )
    if entries and entries[0][0].header_offset != 0:
        findings.add(Code.ARCHIVE_CORRUPT, "There are bytes before the first member.")
    extents = []
    for entry, name in entries:
        header = _local_header(entry, archive.start_dir, file)
        if len(header) < LOCAL_HEADER.size or header[:4] != b"PK\x03\x04":
            findings.add(Code.ARCHIVE_CORRUPT, "The member's header is missing.", file=name)
            continue
        fields = LOCAL_HEADER.unpack(header)
        if fields[2] & ENCRYPTION_FLAGS or fields[3] != entry.compress_type:
            text = "The member's header and the directory differ."
            findings.add(Code.ARCHIVE_CORRUPT, text, file=name)
        length = LOCAL_HEADER.size + fields[9] + fields[10] + entry.compress_size
        extents.append((entry.header_offset, entry.header_offset + length, name))
    extents.append((archive.start_dir, archive.start_dir, ""))
    for (_, end, name), (next_start, _, _) in pairwise(extents):
        if end > next_start:
            text = "The member overlaps the data that follows it."
            findings.add(Code.ARCHIVE_BOMB, text, file=name)


def _local_header(entry: zipfile.ZipInfo, end: int, file: BinaryIO) -> bytes:
    if not 0 <= entry.header_offset < end:
        return b""
    return os.pread(file.fileno(), LOCAL_HEADER.size, entry.header_offset)
