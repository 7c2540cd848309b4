"""Decode the run-length encoding of COCO: a mask as lengths of runs, column by column.

Compressed counts are text with six bits a character and differences to the run two before (cocoapi,
maskApi.c, rleFrString).
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from app.datasets.verification.formats.json_formats.outlines import outlines_of_mask
from app.datasets.verification.formats.json_formats.values import Outline, numbers_of

FIRST_CHARACTER: Final = 48
VALUE_BITS: Final = 0x1F
MORE: Final = 0x20
SIGN: Final = 0x10
MAX_CHARACTERS: Final = 7
"""Characters of one count: five bits each hold every number of pixels that an image can have."""

Counts = npt.NDArray[np.int64]


def outlines_of_rle(
    encoded: dict[str, Any], image_size: tuple[float, float] | None, max_pixels: int
) -> list[Outline]:
    """Return the outer outlines of a mask {"size": [height, width], "counts": …}.

    None are returned of a mask that cannot be decoded or has not the size of its image.
    """
    size = _size_of(encoded)
    if size is None or size[0] * size[1] > max_pixels or image_size not in {None, size}:
        return []
    counts = _counts_of(encoded.get("counts"))
    area = size[0] * size[1]
    if counts is None or (counts < 0).any() or (counts > area).any() or counts.sum() > area:
        return []
    return _outlines_of_runs(counts, size[1])


def _size_of(encoded: dict[str, Any]) -> tuple[int, int] | None:
    """Return (width, height) of an encoded mask."""
    size = numbers_of(encoded.get("size"), 2)
    return None if size is None or min(size) < 1 else (int(size[1]), int(size[0]))


def _counts_of(counts: Any) -> Counts | None:  # noqa: ANN401 -- any JSON value
    if isinstance(counts, str):
        return _counts_of_text(counts)
    if not isinstance(counts, list):
        return None
    try:
        return np.array(counts, dtype=np.int64).reshape(-1)
    except (ValueError, TypeError, OverflowError):
        return None


def _counts_of_text(text: str) -> Counts | None:
    try:
        codes = np.frombuffer(text.encode("ascii"), dtype=np.uint8).astype(np.int64)
    except UnicodeEncodeError:
        return None
    codes -= FIRST_CHARACTER
    if len(codes) == 0 or codes.min() < 0 or codes.max() >= 2 * MORE or codes[-1] & MORE:
        return None
    last = np.flatnonzero(codes & MORE == 0)
    first = np.concatenate(([0], last[:-1] + 1))
    lengths = last - first + 1
    if lengths.max() > MAX_CHARACTERS:
        return None
    places = np.arange(len(codes)) - np.repeat(first, lengths)
    values = np.add.reduceat((codes & VALUE_BITS) << (5 * places), first)
    values -= np.where(codes[last] & SIGN, 1 << (5 * lengths), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def _outlines_of_runs(counts: Counts, height: int) -> list[Outline]:
    ends = np.cumsum(counts)
    starts, stops = ends[:-1:2], ends[1::2]
    starts = starts[: len(stops)]
    drawn = stops > starts
    starts, stops = starts[drawn], stops[drawn]
    if len(starts) == 0:
        return []
    left, right = int(starts[0]) // height, (int(stops[-1]) - 1) // height
    steps = np.zeros((right - left + 1) * height + 1, dtype=np.int8)
    np.add.at(steps, starts - left * height, 1)
    np.add.at(steps, stops - left * height, -1)
    mask = np.cumsum(steps[:-1], dtype=np.int8).view(np.uint8).reshape(-1, height).T
    return outlines_of_mask(mask, (left, 0))
