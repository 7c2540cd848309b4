"""Divide a pool of images by shares: by their classes, and with near-equal images in one split."""

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from app.datasets.reports.findings import Findings
from app.datasets.reports.report import Split, SplitShares
from app.datasets.verification.division.near_equal import image_hash, near_equal_groups
from app.datasets.verification.division.stratify import divide, sizes_of, units_of
from app.datasets.verification.members import MemberReader
from app.datasets.verification.source import Source, SourceImage, Upload

Classes = tuple[int, ...]

ANY_CLASS: Final[Classes] = (0,)
"""Of an image with a mask or a depth map, whose pixels are not counted."""

ALWAYS_HASHED_CHANNELS: Final = frozenset({1, 3})
"""A TIFF with other numbers of channels can be good and have no hash."""

BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Divided:
    """The images of each split in the order of the pool, and the classes in val and in the pool."""

    images: dict[Split, list[SourceImage]]
    classes_in_val: frozenset[int]
    classes: frozenset[int]


def divide_pool(
    source: Source, upload: Upload, pool: Sequence[SourceImage], shares: SplitShares
) -> Divided:
    """Divide two or more images of `source`. Each image is read and decoded once, at a low size."""
    members = replace(upload.members, findings=Findings())  # faults are reported when it is checked
    order = sorted(range(len(pool)), key=lambda index: pool[index].image)
    hashes = _Hashes()
    classes: list[Classes] = []
    known: dict[Classes, Classes] = {}
    for index in order:
        is_good = hashes.add(members, pool[index]) or not _is_always_hashed(source)
        found = _classes_of(pool[index], source, members) if is_good else ()
        classes.append(known.setdefault(found, found))
    sizes = sizes_of(len(pool), shares)
    units = units_of(hashes.groups(sizes["val"]), classes)
    place: dict[int, Split] = {}
    for unit, split in zip(units, divide(units, sizes), strict=True):
        place.update((order[position], split) for position in unit.images)
    images: dict[Split, list[SourceImage]] = {split: [] for split in sizes}
    for index, image in enumerate(pool):
        images[place[index]].append(image)
    in_val = (found for index, found in zip(order, classes, strict=True) if place[index] == "val")
    return Divided(images, _union(in_val), _union(known))


def _union(several: Iterable[Classes]) -> frozenset[int]:
    return frozenset(number for classes in several for number in classes)


def _is_always_hashed(source: Source) -> bool:
    return source.fields.channels in ALWAYS_HASHED_CHANNELS


class _Hashes:
    """The hashes of the images of a pool, 8 bytes each."""

    def __init__(self) -> None:
        self._values = array("Q")
        self._hashed = array("L")
        self._alone = array("L")

    def add(self, members: MemberReader, image: SourceImage) -> bool:
        """Add the next image; return whether it could be decoded."""
        content = members.read(image.image)
        value = None if content is None else image_hash(content, members.limits)
        position = len(self._hashed) + len(self._alone)
        if value is None:
            self._alone.append(position)
            return False
        self._values.append(value)
        self._hashed.append(position)
        return True

    def groups(self, val: int) -> list[list[int]]:
        """Group the positions of near-equal images, for a val of that many images.

        A group up to half as large again as val can be val as a whole. Of a larger group, such as
        all images of one camera, val gets about four runs of consecutive images.
        """
        groups = near_equal_groups(
            self._values, largest=max(2, val + val // 2), run=max(2, val // 4)
        )
        named = [[self._hashed[index] for index in group] for group in groups]
        return sorted([*named, *([position] for position in self._alone)])


def _classes_of(image: SourceImage, source: Source, members: MemberReader) -> Classes:
    """Return the different classes in an image; what is damaged or unknown counts as none."""
    if image.label is not None:
        return (image.label,)
    if image.rows is not None:
        return _first_columns(image.rows, len(source.names))
    if image.target is None:
        return ()
    if not image.target.lower().endswith(".txt"):
        return ANY_CLASS
    content = members.read_labels(image.target) or b""
    if source.class_change is not None:
        content = source.class_change.labels(content)
    return _first_columns(content, len(source.names))


def _first_columns(rows: bytes, classes: int) -> Classes:
    tokens = {row.split(None, 1)[0] for row in rows.removeprefix(BOM).splitlines() if row.strip()}
    numbers = (_number(token) for token in tokens)
    return tuple(sorted({int(number) for number in numbers if 0 <= number < classes}))


def _number(token: bytes) -> float:
    """Return a class as Ultralytics reads it, or -1 if it is not an integer."""
    try:
        number = float(token)
    except ValueError:
        return -1
    return number if number.is_integer() else -1
