"""Tars for the tests: plain ones, and headers that no tar program would write."""

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable, Mapping

BLOCK = 512
END = bytes(2 * BLOCK)


def tarred(files: Mapping[str, bytes], format_: int = tarfile.PAX_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=format_) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def gzipped(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def entry(
    name: bytes,
    content: bytes = b"",
    *,
    kind: bytes = b"0",
    size: bytes | None = None,
    target: bytes = b"",
    magic: bytes = b"ustar\x0000",
) -> bytes:
    """Return the header of a member and its content, padded to whole blocks."""
    sized = b"%011o\0" % len(content) if size is None else size
    header = bytearray(BLOCK)
    header[:100] = name.ljust(100, b"\0")[:100]
    header[100:108] = b"0000644\0"
    header[124:136] = sized
    header[148:156] = b" " * 8
    header[156:157] = kind
    header[157:257] = target.ljust(100, b"\0")
    header[257:265] = magic
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + content + bytes(-len(content) % BLOCK)


def pax(records: Mapping[str, bytes | str], kind: bytes = b"x") -> bytes:
    """Return an extended header with the records, for the member that follows."""
    return entry(b"PaxHeader", b"".join(map(record, records, records.values())), kind=kind)


def record(key: str, value: bytes | str) -> bytes:
    text = b" %s=%s\n" % (key.encode(), value.encode() if isinstance(value, str) else value)
    length = len(text)
    while length != len(b"%d" % length) + len(text):
        length = len(b"%d" % length) + len(text)
    return b"%d" % length + text


COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "tar.gz": gzipped,
    "tar.bz2": bz2.compress,
    "tar.xz": lzma.compress,
    "tar": bytes,
}
