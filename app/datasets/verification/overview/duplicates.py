"""Find the images that have the same bytes, and those that look alike, in and between splits."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from heapq import nsmallest
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Findings, shown
from app.datasets.reports.overview import MAX_FILES_OF_GROUP, DuplicateGroup
from app.datasets.reports.report import Split
from app.datasets.verification.division.near_equal import (
    THUMBNAIL,
    Indices,
    hashes_of,
    join_pairs,
    near_pairs,
)
from app.datasets.verification.overview.thumbnails import Grays

MIN_CONTRAST: Final = 4.0
"""Standard deviation of a thumbnail, of 255, below which it shows too little to be compared."""

MIN_CORRELATION: Final = 0.98
"""Of two thumbnails that look alike. Re-encoded, brightened or halved photographs of BCCD are above
0.999."""

MARGIN: Final = 3
"""Levels of gray that are no difference: those of the noise of a plain background."""

MAX_EXAMPLES: Final = 5
AT_ONCE: Final = 16_384

Flat = NDArray[np.uint8]
"""Thumbnails as rows."""


class DuplicateFinder:
    """Notes all images of a dataset, and groups those that are equal or look alike."""

    def __init__(self) -> None:
        self._files: list[tuple[Split, str]] = []
        self._first: dict[str, int] = {}
        self._equal: list[int] = []

    def note(self, split: Split, path: str, digest: str) -> None:
        """Note the next image: its split, its path in the pack and the digest of its bytes."""
        number = len(self._files)
        self._files.append((split, path))
        self._equal.append(self._first.setdefault(digest, number))

    def exact(self) -> list[DuplicateGroup]:
        """Return the groups of images with the same bytes, those across splits first."""
        return self._groups(np.array(self._equal, np.intp), np.arange(len(self._files)))

    def near(self, grays: Grays) -> list[DuplicateGroup]:
        """Return the groups of images that look alike, those across splits first.

        A group has images with different bytes, joined directly or through others. Images that show
        next to nothing, such as one colour, are left out.

        Args:
            grays: the thumbnails in the order of the images.
        """
        equal = np.array(self._equal, np.intp)
        return self._groups(_alike(grays), equal)

    def _groups(self, roots: Indices, different: Indices) -> list[DuplicateGroup]:
        """Group the images by `roots`; a group needs two different values of `different`."""
        members: dict[int, list[int]] = defaultdict(list)
        counts = np.bincount(roots, minlength=len(roots))
        for number in np.flatnonzero(counts[roots] > 1).tolist():
            members[int(roots[number])].append(number)
        groups = [
            self._group(group)
            for group in members.values()
            if len(set(different[group].tolist())) > 1
        ]
        return sorted(groups, key=lambda group: (len(group.splits) == 1, -group.images))

    def _group(self, members: Sequence[int]) -> DuplicateGroup:
        """Return a group whose first files are one of each split, then the second of each."""
        counts: Counter[Split] = Counter()
        ranked = []
        for number in members:
            split, path = self._files[number]
            counts[split] += 1
            ranked.append((counts[split], number, path))
        files = [path for _, _, path in nsmallest(MAX_FILES_OF_GROUP, ranked)]
        return DuplicateGroup(images=len(members), splits=dict(counts), files=files)


def _alike(grays: Grays) -> Indices:
    """Return for each thumbnail the first one of its group; alone, its own position."""
    parents = np.arange(len(grays))
    flat = grays.reshape(-1, THUMBNAIL[0] * THUMBNAIL[1])
    seen = np.flatnonzero(_contrasts(flat) >= MIN_CONTRAST)
    hashes = hashes_of(grays[seen], MARGIN)
    # In the order of their hashes, the nearest are compared where a band is shared by many.
    order = np.argsort(hashes, kind="stable")
    seen = seen[order]
    pairs = ((seen[one], seen[other]) for one, other in near_pairs(hashes[order]))
    for left, right in _in_batches(_apart(parents, pairs)):
        agree = _correlations(flat[left], flat[right]) >= MIN_CORRELATION
        join_pairs(parents, left[agree], right[agree])
    return parents


def _apart(
    parents: Indices, pairs: Iterable[tuple[Indices, Indices]]
) -> Iterator[tuple[Indices, Indices]]:
    """Yield only pairs that no other pair has joined: frames of a video have few of these."""
    for left, right in pairs:
        apart = parents[left] != parents[right]
        yield left[apart], right[apart]


def _contrasts(flat: Flat) -> NDArray[np.float64]:
    starts = range(0, len(flat), AT_ONCE)
    return np.concatenate([np.zeros(0), *(flat[at : at + AT_ONCE].std(axis=1) for at in starts)])


def _in_batches(pairs: Iterable[tuple[Indices, Indices]]) -> Iterator[tuple[Indices, Indices]]:
    """Yield the pairs in batches of about `AT_ONCE`, which cost less than many small ones."""
    waiting: list[tuple[Indices, Indices]] = []
    for one, other in pairs:
        for start in range(0, len(one), AT_ONCE):
            waiting.append((one[start : start + AT_ONCE], other[start : start + AT_ONCE]))
            if sum(len(held) for held, _ in waiting) >= AT_ONCE:
                yield _as_one(waiting)
                waiting.clear()
    if waiting:
        yield _as_one(waiting)


def _as_one(pairs: Sequence[tuple[Indices, Indices]]) -> tuple[Indices, Indices]:
    return np.concatenate([one for one, _ in pairs]), np.concatenate([other for _, other in pairs])


def _correlations(left: Flat, right: Flat) -> NDArray[np.float32]:
    """Return the correlation of each row with the same row of the other; no row is constant."""
    one, other = (
        rows - rows.mean(axis=1, dtype=np.float32, keepdims=True)
        for rows in (left.astype(np.float32), right.astype(np.float32))
    )
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    correlations: NDArray[np.float32] = np.einsum("ij,ij->i", one, other) / norms
    return correlations


def report_near(groups: Sequence[DuplicateGroup], findings: Findings) -> None:
    """Add a warning for groups across splits, and a remark for groups within one."""
    across = [group for group in groups if len(group.splits) > 1]
    if across:
        images = sum(group.images for group in across)
        text = (
            f"Groups of images that look alike in two splits: {len(across)}, with {images} images,"
            f" for example {_examples(across)}. Scores may be too good."
        )
        findings.add(Code.SPLIT_LOOKALIKE, text)
    within = [group for group in groups if len(group.splits) == 1]
    if within:
        images = sum(group.images for group in within)
        text = (
            f"Groups of images of one split that look alike: {len(within)}, with {images} images,"
            f" for example {_examples(within)}."
        )
        findings.add(Code.IMAGE_LOOKALIKE, text)


def _examples(groups: Sequence[DuplicateGroup]) -> str:
    pairs = (group.files[:2] for group in groups[:MAX_EXAMPLES])
    return ", ".join(" and ".join(map(shown, pair)) for pair in pairs)
