"""Find images that look alike, such as copies of one image and the frames of a video.

Each image is hashed (dHash, 64 bits): one bit for each pair of neighbours in a gray thumbnail, set
if it gets darker to the right. A copy that was encoded, resized or brightened changes a few bits.
"""

import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from app.datasets.reports.report import Limits
from app.datasets.verification.checks.decoding import DECODING_ERRORS
from app.datasets.verification.images import IMAGE_FORMATS

THUMBNAIL: Final = (9, 8)
"""Width and height in pixels: eight pairs of neighbours in each of eight rows."""

HASH_BITS: Final = 64
MAX_DISTANCE: Final = 5
"""Bits that may differ. Re-encoded, brightened or halved photographs of BCCD differ in at most 4;
different photographs of it in 12 or more, but for one pair that is near-equal."""

BAND_BITS: Final = (11, 11, 11, 11, 10, 10)
"""One band more than bits may differ: two near-equal hashes agree in at least one band."""

WINDOW: Final = 64
"""The most hashes with the same band that each hash is compared with: this limits the cost of a set
whose images all come from one camera."""

GRAY_MODES: Final = frozenset({"L", "I", "F", "I;16", "I;16B"})
"""Modes that keep their values; a conversion to "L" would cut 16 bits off at 255."""

Hashes = NDArray[np.uint64]
Indices = NDArray[np.intp]


def image_hash(content: bytes, limits: Limits) -> int | None:
    """Return the hash of an image, or None if it cannot be decoded or has too many pixels."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(BytesIO(content), formats=IMAGE_FORMATS) as image:
                if image.width * image.height > limits.max_image_pixels:
                    return None
                image.draft("L", (8 * THUMBNAIL[0], 8 * THUMBNAIL[1]))
                gray = image if image.mode in GRAY_MODES else image.convert("L")
                pixels = np.asarray(gray.resize(THUMBNAIL, Image.Resampling.BOX))
        except DECODING_ERRORS:
            return None
    return int(hashes_of(pixels[None])[0])


def hashes_of(thumbnails: NDArray[Any], margin: int = 0) -> Hashes:
    """Return the hash of each gray thumbnail, (n, 8, 9).

    A bit is set where it gets darker by more than `margin` levels.
    """
    left, right = thumbnails[:, :, :-1], thumbnails[:, :, 1:]
    gets_darker = right < left if not margin else (left > right) & (left - right > margin)
    bits = np.packbits(gets_darker.reshape(-1, HASH_BITS), axis=1)
    return bits.view(">u8").astype(np.uint64).reshape(-1)


def near_equal_groups(hashes: Sequence[int], *, largest: int, run: int) -> list[list[int]]:
    """Group the positions of near-equal hashes; every position is in exactly one group.

    Near-equal hashes are joined directly or through others. The frames of a long video can so
    become one chain: a group of more than `largest` positions is cut into runs of about `run`, in
    the order of the hashes. Equal hashes stay in one run if it can hold them.
    """
    if not hashes:
        return []
    array = np.array(hashes, dtype=np.uint64)
    _, first, inverse = np.unique(array, return_index=True, return_inverse=True)
    first_equal: Indices = first[inverse]
    distinct = np.sort(first)
    roots = _joined(array[distinct])
    groups: dict[int, list[int]] = defaultdict(list)
    root_of = roots[np.searchsorted(distinct, first_equal)]
    for position in np.lexsort((np.arange(len(array)), first_equal)).tolist():
        groups[int(root_of[position])].append(position)
    return [
        part
        for group in groups.values()
        for part in ([group] if len(group) <= largest else _runs(group, first_equal, run))
    ]


def _runs(group: list[int], first_equal: Indices, run: int) -> Iterator[list[int]]:
    """Cut a group into runs of at most `run`, between different hashes wherever that is enough."""
    part: list[int] = []
    for equal in _equal_parts(group, first_equal):
        if part and len(part) + len(equal) > run:
            yield part
            part = []
        part.extend(equal)
        while len(part) > run:
            yield part[:run]
            part = part[run:]
    if part:
        yield part


def _equal_parts(group: list[int], first_equal: Indices) -> Iterator[list[int]]:
    part: list[int] = []
    for position in group:
        if part and first_equal[part[0]] != first_equal[position]:
            yield part
            part = []
        part.append(position)
    yield part


def _joined(hashes: Hashes) -> Indices:
    """Return for each of the different hashes the first one of its group."""
    parents = np.arange(len(hashes))
    for one, other in near_pairs(hashes):
        join_pairs(parents, one, other)
    return parents


def near_pairs(hashes: Hashes) -> Iterator[tuple[Indices, Indices]]:
    """Yield the positions of near-equal hashes in pairs, many at once; a pair may come twice.

    Each hash is compared with at most `WINDOW` others of the same band, those at the next
    positions.
    """
    for mask in _band_masks():
        band = hashes & mask
        order = np.argsort(band, kind="stable")
        left = np.arange(len(hashes))
        for shift in range(1, WINDOW + 1):
            left = left[left + shift < len(hashes)]
            left = left[band[order[left]] == band[order[left + shift]]]
            if not len(left):
                break
            one, other = order[left], order[left + shift]
            near = np.bitwise_count(hashes[one] ^ hashes[other]) <= MAX_DISTANCE
            yield one[near], other[near]


def _band_masks() -> Iterator[np.uint64]:
    start = 0
    for bits in BAND_BITS:
        yield np.uint64(((1 << bits) - 1) << start)
        start += bits


def join_pairs(parents: Indices, one: Indices, other: Indices) -> None:
    """Join the groups of each pair; afterwards `parents` leads from each position to its root."""
    while len(one):
        one, other = parents[one], parents[other]
        apart = one != other
        one, other = one[apart], other[apart]
        np.minimum.at(parents, np.maximum(one, other), np.minimum(one, other))
        _shorten(parents)


def _shorten(parents: Indices) -> None:
    while not np.array_equal(shorter := parents[parents], parents):
        parents[:] = shorter
