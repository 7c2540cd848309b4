"""Recognise the kind of a file by its first bytes."""

import os
from enum import StrEnum
from typing import BinaryIO, Final

from app.datasets.archives.tar_headers import BLOCK, is_tar


class Kind(StrEnum):
    """The kinds of archives that are read."""

    ZIP = "zip"
    TAR = "tar"
    GZIP = "gzip"
    BZIP2 = "bzip2"
    XZ = "xz"


COMPRESSED: Final = frozenset({Kind.GZIP, Kind.BZIP2, Kind.XZ})
ZIP_STARTS: Final = (b"PK\x03\x04", b"PK\x05\x06")
COMPRESSED_STARTS: Final = {b"\x1f\x8b": Kind.GZIP, b"BZh": Kind.BZIP2, b"\xfd7zXZ\x00": Kind.XZ}
UNREAD_ARCHIVES: Final = {
    b"Rar!\x1a\x07": "a RAR archive",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\x28\xb5\x2f\xfd": "compressed with Zstandard",
    b"\x04\x22\x4d\x18": "compressed with LZ4",
    b"LZIP": "compressed with lzip",
    b"\x1f\x9d": "compressed with compress",
    b"\x1f\xa0": "compressed with compress",
    b"MSCF": "a cabinet archive",
    b"!<arch>\n": "an ar archive",
    b"070701": "a cpio archive",
    b"070707": "a cpio archive",
    b"xar!": "a xar archive",
    b"ISc(": "a cabinet archive",
    b"PK\x07\x08": "a part of a zip that was split",
    b"PK00PK": "a part of a zip that was split",
    b"\x89HDF": "an HDF5 file",
    b"PAR1": "a Parquet file",
    b"SQLite format 3": "an SQLite database",
    b"MZ": "a Windows program",
}
OTHER_FILES: Final = {
    b"\xff\xd8\xff": "a JPEG picture",
    b"\x89PNG": "a PNG picture",
    b"GIF8": "a GIF picture",
    b"BM": "a BMP picture",
    b"%PDF": "a PDF document",
    b"<!DOCTYPE": "a web page",
    b"<!doctype": "a web page",
    b"<html": "a web page",
    b"<HTML": "a web page",
    b"<?xml": "an XML file",
    b"{": "a JSON file",
    b"#!": "a script",
}
ISO_AT: Final = 32_769
LHA_AT: Final = slice(2, 5)


def kind_of(file: BinaryIO) -> Kind | None:
    """Return the kind of an archive that is read, else None."""
    start = os.pread(file.fileno(), 2 * BLOCK, 0)
    if start.startswith(ZIP_STARTS):
        return Kind.ZIP
    for magic, kind in COMPRESSED_STARTS.items():
        if start.startswith(magic):
            return kind
    return Kind.TAR if is_tar(start) else None


def unread_archive(file: BinaryIO) -> str | None:
    """Return what kind of archive the file is, if it is of a kind that is known and not read."""
    start = os.pread(file.fileno(), BLOCK, 0)
    if os.pread(file.fileno(), 5, ISO_AT) == b"CD001":
        return "an image of a disc (ISO 9660)"
    if start[LHA_AT] == b"-lh":
        return "an LHA archive"
    return next((what for magic, what in UNREAD_ARCHIVES.items() if start.startswith(magic)), None)


def other_file(file: BinaryIO) -> str | None:
    """Return what the file is, if it is no archive but of another known kind."""
    start = os.pread(file.fileno(), BLOCK, 0)
    return next((what for magic, what in OTHER_FILES.items() if start.startswith(magic)), None)
