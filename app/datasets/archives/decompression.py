"""Decompress a file whole, or copy a member, into a temporary file of bounded size.

A temporary file has no name, so that nothing of it is left however the process ends.
"""

import bz2
import lzma
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO, Final, Protocol, cast

from app.datasets.archives.budget import Budget
from app.datasets.archives.containers import Archive, Member, MemberCorruptError
from app.datasets.archives.kinds import Kind
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Findings, shown
from app.datasets.reports.report import MIB

PIECE_BYTES: Final = 64 * 1024
XZ_MEMORY_BYTES: Final = 128 * MIB
GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS

FREE_STREAMS: Final = 1000
BYTES_OF_A_STREAM: Final = 4096
"""Tools that write many streams fill each; millions of empty ones would only cost time."""


class CompressedFileError(Exception):
    """A compressed file is damaged or truncated."""


class Stream(Protocol):
    """A decompressor of one stream, as the bz2 and lzma modules have them."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class GzipStream:
    """Decompresses one stream of gzip; zlib hands back what it did not read."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(GZIP_WINDOW)
        self._is_full = False

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def needs_input(self) -> bool:
        return not self._zlib.unconsumed_tail and not self._is_full

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        content = self._zlib.decompress(self._zlib.unconsumed_tail + data, max_length)
        self._is_full = len(content) == max_length
        return content


def _stream(kind: Kind) -> Stream:
    if kind is Kind.BZIP2:
        return bz2.BZ2Decompressor()
    if kind is Kind.XZ:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=XZ_MEMORY_BYTES)
    return GzipStream()


def decompressed(
    file: BinaryIO, kind: Kind, folder: Path, budget: Budget, findings: Findings
) -> BinaryIO | None:
    """Return a temporary file in `folder` with the decompressed content, for the caller to close.

    If it is damaged or inflates to more than the budget allows, add a finding and return None.
    """
    temporary = _temporary(folder)
    size, most = 0, budget.bytes_left
    try:
        for piece in _pieces(file, kind):
            size += len(piece)
            if size > most:
                break
            temporary.write(piece)
    except (CompressedFileError, zlib.error, lzma.LZMAError, ValueError) as error:
        findings.add(Code.ARCHIVE_CORRUPT, f"The {kind} file is damaged: {shown(str(error))}.")
        temporary.close()
        return None
    if not budget.take_bytes(size, findings):
        temporary.close()
        return None
    temporary.flush()
    return temporary


def _pieces(file: BinaryIO, kind: Kind) -> Iterator[bytes]:
    """Yield the content of all streams of a file, which zeros may follow."""
    streams_left = FREE_STREAMS + os.fstat(file.fileno()).st_size // BYTES_OF_A_STREAM
    file.seek(0)
    data = file.read(PIECE_BYTES)
    while data.strip(b"\0"):
        streams_left -= 1
        if not streams_left:
            raise CompressedFileError("it has too many streams")
        stream = _stream(kind)
        yield from _pieces_of(stream, data, file)
        data = stream.unused_data or file.read(PIECE_BYTES)
        while data and not data.strip(b"\0"):
            data = file.read(PIECE_BYTES)


def _pieces_of(stream: Stream, data: bytes, file: BinaryIO) -> Iterator[bytes]:
    yield _inflated(stream, data)
    while not stream.eof:
        data = file.read(PIECE_BYTES) if stream.needs_input else b""
        if stream.needs_input and not data:
            raise CompressedFileError("it is truncated")
        yield _inflated(stream, data)


def _inflated(stream: Stream, data: bytes) -> bytes:
    try:
        return stream.decompress(data, PIECE_BYTES)
    except OSError as error:  # what bz2 raises for damaged data
        raise CompressedFileError(str(error)) from error


def copied(archive: Archive, member: Member, folder: Path) -> BinaryIO:
    """Return a temporary file in `folder` with the content of a member, for the caller to close.

    Raises:
        MemberCorruptError: the content is damaged or is not of the declared size.
    """
    temporary = _temporary(folder)
    try:
        size = _write(archive.container.pieces(member.at), temporary, member.size_bytes)
    except MemberCorruptError:
        temporary.close()
        raise
    if size != member.size_bytes:
        temporary.close()
        raise MemberCorruptError(f"it has not the {member.size_bytes} bytes that are declared")
    temporary.flush()
    return temporary


def _write(pieces: Iterable[bytes], file: BinaryIO, most: int) -> int:
    """Write the pieces while they have at most `most` bytes; return the bytes of all read."""
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > most:
            break
        file.write(piece)
    return size


def _temporary(folder: Path) -> BinaryIO:
    return cast("BinaryIO", TemporaryFile(dir=folder))
