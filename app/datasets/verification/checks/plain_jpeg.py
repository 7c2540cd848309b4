"""Read the headers of plain JPEGs, which most images of datasets are, without Pillow.

To open a small image with Pillow takes longer than to decode it. A JPEG is plain if Pillow takes
its header without looking at anything that is left out here: EXIF, colour profiles, several
pictures. Pillow judges every other file.
"""

import struct
from typing import Final

SIZE: Final = struct.Struct(">HH")
LENGTH: Final = struct.Struct(">H")
BEGIN: Final = b"\xff\xd8"
FRAMES: Final = frozenset({0xC0, 0xC1, 0xC2})
TABLES: Final = 0xDB
SCAN: Final = 0xDA
SKIPPED: Final = frozenset({0xC4, 0xDD, 0xFE})
"""Huffman tables, the restart interval, comments."""

JFIF: Final = 0xE0
JFIF_BYTES: Final = 14
FRAME_BYTES: Final = 6
BYTES_A_LAYER: Final = 3
MODES: Final = {1: "L", 3: "RGB"}
BITS: Final = 8
SHORT_TABLE_BYTES: Final = 65
LONG_TABLE_BYTES: Final = 129


def plain_header(content: bytes) -> tuple[str, int, int] | None:
    """Return mode, width and height of a plain JPEG; None where Pillow must judge."""
    if not content.startswith(BEGIN):
        return None
    at, found = len(BEGIN), None
    while (segment := _segment(content, at)) is not None:
        marker, body = segment
        if marker == SCAN:
            return found
        if marker in FRAMES:
            found = _frame(body) if found is None else None
        if not (found if marker in FRAMES else _is_plain(marker, body)):
            return None
        at += 4 + len(body)
    return None


def _segment(content: bytes, at: int) -> tuple[int, bytes] | None:
    """Return the marker and the body of the segment that begins at a byte, if it is whole."""
    head = content[at : at + 4]
    if len(head) < 4 or head[0] != 0xFF:  # noqa: PLR2004 -- marker and length
        return None
    length = LENGTH.unpack_from(head, 2)[0]
    body = content[at + 4 : at + 2 + length]
    return (head[1], body) if length == len(body) + 2 else None


def _is_plain(marker: int, body: bytes) -> bool:
    if marker == TABLES:
        return _are_tables(body)
    return marker in SKIPPED or (marker == JFIF and len(body) >= JFIF_BYTES)


def _are_tables(body: bytes) -> bool:
    at = 0
    while at < len(body):
        at += LONG_TABLE_BYTES if body[at] >> 4 else SHORT_TABLE_BYTES
    return at == len(body)


def _frame(body: bytes) -> tuple[str, int, int] | None:
    if len(body) < FRAME_BYTES or body[0] != BITS:
        return None
    height, width = SIZE.unpack_from(body, 1)
    mode = MODES.get(body[5])
    is_plain = len(body) == FRAME_BYTES + BYTES_A_LAYER * body[5] and width > 0 and height > 0
    return (mode, width, height) if mode is not None and is_plain else None
