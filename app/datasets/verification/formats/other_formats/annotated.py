"""Collect the annotations of images under the names of their classes, and make a source of them.

Formats that name classes by text meet the names one after another. The rows of an image are kept
as bytes with provisional class numbers; the numbers are put in order when all files are read.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from app.core.tasks import Task
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import shown
from app.datasets.reports.report import Split
from app.datasets.verification.annotations import Point, clipped, row
from app.datasets.verification.dataset_yaml import MAX_CLASSES
from app.datasets.verification.formats.other_formats.plain_text import class_name
from app.datasets.verification.matching import folded
from app.datasets.verification.source import Source, SourceImage, Upload

LEFT_OUT_OF_NAMES: Final = frozenset({"train", "val", "test", "images"})
ROUNDING: Final = 1e-6
CORNERS: Final = 4

Box = tuple[float, float, float, float]
Size = tuple[float, float]
FRACTIONS: Final[Size] = (1.0, 1.0)


@dataclass(frozen=True)
class Place:
    """The file and line of an annotation."""

    file: str
    line: int | None = None


@dataclass(frozen=True)
class Shape:
    """An object of an image: its class, its box, and its corners if it is more than a box.

    The values are pixels, or fractions where the image is annotated in fractions.
    """

    label: str | None
    box: Box
    corners: Sequence[Point] | None = None

    @classmethod
    def around(cls, label: str | None, corners: Sequence[Point]) -> "Shape":
        """Return the shape of a polygon with one or more corners."""
        xs, ys = [x for x, _ in corners], [y for _, y in corners]
        return cls(label, (min(xs), min(ys), max(xs), max(ys)), corners)


@dataclass(slots=True)
class _Rows:
    """The rows of one image: its boxes, and its outlines once a shape has corners."""

    size: Size | None
    boxes: bytearray = field(default_factory=bytearray)
    outlines: bytearray | None = None


class Annotations:
    """Collects the shapes of images. What cannot be used is reported with its file and line."""

    def __init__(self, upload: Upload, format_name: str) -> None:
        self._upload = upload
        self._format = format_name
        self._images: dict[str, _Rows] = {}
        self._left_out: set[str] = set()
        self._unreadable: dict[str, None] = {}
        self._numbers: dict[str, int] = {}
        self.outlined = 0
        self.four_cornered = 0
        self.boxes = 0

    @property
    def images(self) -> Iterable[str]:
        """The annotated images in the order in which they were met, then those to be dropped."""
        return dict.fromkeys((*self._images, *self._unreadable))

    def name(self, label: str) -> None:
        """Add a class that may have no object."""
        self._numbers.setdefault(label, len(self._numbers))

    def add_image(self, image: str, size: Size | None) -> bool:
        """Add an image, annotated in pixels of `size`; return whether it is new.

        Without a size, the values are pixels of the image itself.
        """
        if image in self._images:
            return False
        usable = size is not None and min(size) > 0
        self._images[image] = _Rows(size if usable else None)
        return True

    def drop(self, images: Iterable[str], file: str, reason: str, line: int | None = None) -> None:
        """Drop images because the file with their annotations cannot be read."""
        self._unreadable.update(dict.fromkeys(images))
        self._report(Code.ANNOTATION_UNREADABLE, reason, Place(file, line))

    def leave_out(self, image: str | None) -> None:
        """Leave an image out, also as a background. It does not count as dropped."""
        if image is not None:
            self._left_out.add(image)

    def add(self, image: str, shape: Shape, place: Place) -> None:
        """Add a shape of an image that `add_image` added."""
        label = class_name(shape.label)
        if label is None:
            self.ignore("The name of its class is empty, too long or not printable.", place)
            return
        rows = self._images[image]
        box = self._fitted(shape, rows.size, place)
        if box is None:
            return
        self.name(label)
        number = self._numbers[label]
        left, top, right, bottom = box
        box_row = row(number, ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top))
        self._add_outline(rows, number, shape, box_row)
        rows.boxes += box_row

    def _fitted(self, shape: Shape, size: Size | None, place: Place) -> Box | None:
        """Return the box cut at its image, as fractions if the size is known.

        Any two opposite corners are those of one box.
        """
        left, right = sorted(shape.box[::2])
        top, bottom = sorted(shape.box[1::2])
        if right <= left or bottom <= top:
            text = f"It has no area: {left:g}, {top:g} to {right:g}, {bottom:g}."
            self.ignore(text, place)
            return None
        if size is None:
            return left, top, right, bottom
        box = clipped((left, top, right, bottom), size)
        if box[2] <= box[0] or box[3] <= box[1]:
            self.ignore("It lies outside its image.", place)
            return None
        width, height = size
        beyond = max(-left / width, -top / height, right / width - 1, bottom / height - 1)
        if beyond > ROUNDING:
            self._report(Code.ANNOTATION_CLIPPED, "It was cut at the border of its image.", place)
        return box

    def _add_outline(self, rows: _Rows, number: int, shape: Shape, box_row: bytes) -> None:
        if shape.corners is None:
            self.boxes += 1
            if rows.outlines is not None:
                rows.outlines += _outlined(box_row)
            return
        self.outlined += 1
        self.four_cornered += len(shape.corners) == CORNERS
        if rows.outlines is None:
            rows.outlines = bytearray(_outlined(rows.boxes))
        width, height = rows.size or FRACTIONS
        values = [value for x, y in shape.corners for value in (x / width, y / height)]
        if rows.size is not None:
            values = [min(max(value, 0.0), 1.0) for value in values]
        rows.outlines += row(number, values)

    def ignore(self, reason: str, place: Place) -> None:
        """Report an annotation that is not used."""
        self._report(Code.ANNOTATION_IGNORED, reason, place)

    def _report(self, code: Code, text: str, place: Place) -> None:
        self._upload.findings.add(code, text, file=place.file, line=place.line)

    def task(self) -> Task | None:
        """Return the task that most shapes are for, or the one that the sender asks for.

        If no shape fits the task of the sender, a finding says which tasks fit.
        """
        fits: list[Task] = ["detect"]
        if self.outlined:
            fits += ["segment", "semantic"]
        if self.outlined and self.four_cornered == self.outlined:
            fits.append("obb")
        asked = self._upload.options.task
        if asked is None:
            return "segment" if self.outlined > self.boxes else "detect"
        if asked in fits:
            return asked
        self._upload.findings.add(
            Code.TASK_NEEDED,
            f"The annotations ({self._format}) do not fit {asked}; send `task` as"
            f" {' or '.join(fits)}, or leave it out.",
            fixes=[{"task": task} for task in fits],
        )
        return None

    def source(
        self,
        task: Task,
        images: Mapping[Split | None, Sequence[str]],
        read: Iterable[str],
        order: Sequence[str] = (),
    ) -> Source | None:
        """Return the source, with the classes of `order` first and the others by name.

        Images without annotations are backgrounds. Without images or classes there is a finding
        and no source.
        """
        if not any(images.values()):
            self._upload.findings.add(
                Code.IMAGES_MISSING,
                f"The annotations ({self._format}) belong to no image of the archive; export them"
                " with the images.",
                file=min(read, default=None),
            )
            return None
        names = self._names(order)
        if names is None:
            return None
        places = {name: number for number, name in enumerate(names)}
        final = [places[name] for name in self._numbers]
        divided = {
            split: self._source_images(task, paths, final) for split, paths in images.items()
        }
        kept = {split: found for split, found in divided.items() if found}
        return Source(self._format, task, names, kept, read=set(read))

    def _names(self, order: Sequence[str]) -> list[str] | None:
        given = self._upload.options.names
        met = [*dict.fromkeys(order), *sorted(self._numbers.keys() - set(order))]
        if given is not None:
            absent = sorted(self._numbers.keys() - set(given))
            if absent:
                listed = shown(", ".join(absent[:8]))
                text = f"`names` lacks classes of the annotations: {listed}. Add them."
                fixes = [{"names": None}]
                self._upload.findings.add(Code.NAMES_MISSING, text, fixes=fixes)
                return None
            met = list(given)
        if not met:
            text = f"The annotations ({self._format}) have no object, so there are no classes."
            self._upload.findings.add(Code.ANNOTATIONS_MISSING, text)
            return None
        if len(met) > MAX_CLASSES:
            text = f"The annotations name {len(met)} classes; at most {MAX_CLASSES} are allowed."
            self._upload.findings.add(Code.ANNOTATIONS_INVALID, text)
            return None
        return met

    def _source_images(
        self, task: Task, paths: Iterable[str], final: Sequence[int]
    ) -> list[SourceImage]:
        kept = dict.fromkeys(path for path in paths if path not in self._left_out)
        named = sorted((pack_name(path), path) for path in kept)
        return [self._source_image(task, path, name, final) for name, path in named]

    def _source_image(self, task: Task, path: str, name: str, final: Sequence[int]) -> SourceImage:
        if path in self._unreadable:
            return SourceImage(path, name, fault=Code.ANNOTATION_UNREADABLE)
        rows = self._images.get(path)
        if rows is None or not rows.boxes:
            return SourceImage(path, name)
        used: bytes | bytearray = rows.boxes
        if task != "detect":
            used = _outlined(rows.boxes) if rows.outlines is None else rows.outlines
        return SourceImage(path, name, rows=_renumbered(used, final), in_pixels=rows.size is None)


def _outlined(boxes: bytes | bytearray) -> bytes:
    """Return the rows of boxes as rows of their four corners."""
    outlines = []
    for line in boxes.splitlines():
        number, *values = line.split()
        x, y, width, height = map(float, values)
        left, top, right, bottom = x - width / 2, y - height / 2, x + width / 2, y + height / 2
        outlines.append(row(int(number), (left, top, right, top, right, bottom, left, bottom)))
    return b"".join(outlines)


def _renumbered(rows: bytes | bytearray, final: Sequence[int]) -> bytes:
    """Return the rows with the final class numbers."""
    lines = []
    for line in rows.splitlines(keepends=True):
        number, _, values = line.partition(b" ")
        lines.append(b"%d %s" % (final[int(number)], values))
    return b"".join(lines)


def pack_name(path: str) -> str:
    """Return the path without the folders that name a split or the images."""
    *folders, name = path.split("/")
    kept = [folder for folder in folders if folded(folder) not in LEFT_OUT_OF_NAMES]
    return "/".join([*kept, name])


def with_backgrounds(
    upload: Upload, splits: Mapping[str, Split | None]
) -> dict[Split | None, list[str]]:
    """Divide the annotated images, and add the other images of their folders as backgrounds.

    Images in folders without a single annotated image are not labelled, and are left out. So are
    those in a folder whose annotated images are in several splits: their split is unknown.

    Args:
        upload: the archive.
        splits: the split of each annotated image.
    """
    of_folder: dict[str, set[Split | None]] = {}
    divided: dict[Split | None, list[str]] = {}
    for image, split in splits.items():
        of_folder.setdefault(image.rpartition("/")[0], set()).add(split)
        divided.setdefault(split, []).append(image)
    for image in upload.tree.images_below(""):
        of_others = of_folder.get(image.rpartition("/")[0], set())
        if len(of_others) == 1 and image not in splits:
            divided[next(iter(of_others))].append(image)
    return divided
