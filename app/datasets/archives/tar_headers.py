"""Read the headers of a tar: POSIX (ustar and pax), GNU and the old one without a magic word.

What two programs would read differently is refused, because then the audit would not be of what
others see.
"""

import struct
from dataclasses import dataclass, field
from typing import Final

BLOCK: Final = 512
HEADER: Final = struct.Struct("<100s8s8s8s12s12s8sc100s6s2s32s32s8s8s155s12x")
CHECKSUM: Final = struct.Struct("<148B8x356B")
SIGNED_CHECKSUM: Final = struct.Struct("<148b8x356b")
SPACES_OF_CHECKSUM: Final = 8 * ord(" ")

MAGIC: Final = b"ustar"
MAGIC_AT: Final = 257
POSIX_MAGIC: Final = b"ustar\0"

REGULAR: Final = frozenset({b"0", b"\0", b"7"})
FOLDER: Final = b"5"
LABEL: Final = b"V"
PAX: Final = b"x"
PAX_GLOBAL: Final = b"g"
GNU_LONG_NAME: Final = b"L"
GNU_LONG_TARGET: Final = b"K"
EXTENSIONS: Final = frozenset({PAX, PAX_GLOBAL, GNU_LONG_NAME, GNU_LONG_TARGET})
SPECIAL: Final = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a character device",
    b"4": "a block device",
    b"6": "a pipe",
    b"S": "a sparse file",
}

MAX_EXTENSION_BYTES: Final = 1024 * 1024
MAX_HEADER_SIZE: Final = 8 * 1024**3
"""What eleven octal digits can say; larger sizes are in a pax record or in base 256."""

BASE_256: Final = 0x80
BASE_256_NEGATIVE: Final = 0x40
MAX_DIGITS: Final = 20


class TarHeaderError(Exception):
    """A header does not follow the format."""


@dataclass(frozen=True, slots=True)
class TarHeader:
    """One header; `size` counts the bytes of content that follow it."""

    name: bytes
    kind: bytes
    size: int


@dataclass
class Extension:
    """What extended headers say about the member that follows them."""

    name: bytes | None = None
    size: int | None = None
    is_sparse: bool = False
    kinds: set[bytes] = field(default_factory=set)


def is_tar(start: bytes) -> bool:
    """Return whether a file that begins with `start` (two blocks or more) is a tar."""
    if len(start) < BLOCK:
        return False
    if not any(start[:BLOCK]):
        return len(start) > BLOCK and not any(start)
    if start[MAGIC_AT : MAGIC_AT + len(MAGIC)] == MAGIC:
        return True
    try:
        return bool(parsed_header(start[:BLOCK]).name)
    except TarHeaderError:
        return False


def parsed_header(block: bytes) -> TarHeader:
    """Return the header in a block that is not all zeros.

    Raises:
        TarHeaderError: it is damaged.
    """
    fields = HEADER.unpack(block)
    checksum = _number(fields[6]) - SPACES_OF_CHECKSUM
    if sum(CHECKSUM.unpack(block)) != checksum != sum(SIGNED_CHECKSUM.unpack(block)):
        raise TarHeaderError("its checksum is wrong")
    name, kind, size = _text(fields[0]), fields[7], _number(fields[4])
    prefix = _text(fields[15]) if fields[9] == POSIX_MAGIC else b""
    full = prefix + b"/" + name if prefix else name
    return TarHeader(full, kind, 0 if kind in SPECIAL and kind != b"S" else size)


def _text(value: bytes) -> bytes:
    return value.partition(b"\0")[0]


def _number(value: bytes) -> int:
    if value[0] & BASE_256:
        if value[0] & BASE_256_NEGATIVE:
            raise TarHeaderError("a number is negative")
        return int.from_bytes(value, "big") - (BASE_256 << 8 * (len(value) - 1))
    digits = _text(value).strip(b" ")
    if digits and not set(digits) <= set(b"01234567"):
        raise TarHeaderError("a number is not octal")
    return int(digits, 8) if digits else 0


def extend(extension: Extension, header: TarHeader, content: bytes) -> None:
    """Add to `extension` what the content of an extended header says.

    Raises:
        TarHeaderError: it is malformed, repeated, or a header for all members sets a name or size.
    """
    if header.kind != PAX_GLOBAL:
        if header.kind in extension.kinds:
            raise TarHeaderError("two extended headers of one kind precede a member")
        extension.kinds.add(header.kind)
    if header.kind == GNU_LONG_NAME and extension.name is None:
        extension.name = _text(content)
    if header.kind in {PAX, PAX_GLOBAL}:
        for key, value in _records(content):
            _apply(extension, key, value, is_global=header.kind == PAX_GLOBAL)


def _records(content: bytes) -> list[tuple[bytes, bytes]]:
    """Return keys and values of records like `30 mtime=1350244992.023960108`."""
    records, at = [], 0
    while at < len(content):
        digits, space, _ = content[at : at + MAX_DIGITS].partition(b" ")
        end = at + (int(digits) if space and digits.isdigit() else 0)
        record = content[at + len(digits) + 1 : end]
        key, equals, value = record.removesuffix(b"\n").partition(b"=")
        if not (equals and record.endswith(b"\n") and end <= len(content)):
            raise TarHeaderError("a record of an extended header is malformed")
        records.append((key, value))
        at = end
    return records


def _apply(extension: Extension, key: bytes, value: bytes, *, is_global: bool) -> None:
    decides = key in {b"path", b"size", b"linkpath"} or key.startswith(b"GNU.sparse.")
    if is_global and decides:
        raise TarHeaderError("a header for all members sets their name or size")
    if key == b"path":
        extension.name = value
    elif key == b"size":
        if not value.isdigit() or len(value) > MAX_DIGITS:
            raise TarHeaderError("a size is not a number")
        extension.size = int(value)
    elif key.startswith(b"GNU.sparse."):
        extension.is_sparse = True


def extended(header: TarHeader, extension: Extension) -> TarHeader:
    """Return the header of a member with the name and size of its extended headers.

    Raises:
        TarHeaderError: the header and its extension have different sizes, or a folder has one.
    """
    size = header.size if extension.size is None else extension.size
    if size != header.size and size < MAX_HEADER_SIZE:
        raise TarHeaderError("its headers have different sizes")
    name = extension.name or header.name
    kind = b"S" if extension.is_sparse else header.kind
    if kind in REGULAR and name.endswith(b"/"):
        kind = FOLDER  # the old format has no kind of its own for folders
    if kind == FOLDER and size:
        raise TarHeaderError("a folder has content")
    return TarHeader(name, kind, size)
