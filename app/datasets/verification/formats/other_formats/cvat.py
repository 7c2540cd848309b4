"""CVAT for images: one XML file with boxes, polygons and tags of many images, in pixels.

The classes are the labels of the task in their order. Masks, points and lines are not read; CVAT
exports masks as COCO, too. CVAT for video has tracks instead of images and is not read.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from app.datasets.archives.audit import MemberCorruptError
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import shown
from app.datasets.reports.report import Split
from app.datasets.verification.formats.other_formats.annotated import (
    Annotations,
    Place,
    Shape,
)
from app.datasets.verification.formats.other_formats.class_labels import classified
from app.datasets.verification.formats.other_formats.plain_text import (
    beginning,
    class_name,
    number,
)
from app.datasets.verification.formats.other_formats.stems import StemIndex
from app.datasets.verification.formats.other_formats.voc import turned
from app.datasets.verification.formats.other_formats.xml_elements import (
    Readable,
    XmlInvalidError,
    XmlRefusedError,
    children_in,
    root_name,
)
from app.datasets.verification.matching import split_of
from app.datasets.verification.source import Source, Upload
from app.datasets.verification.tree import suffix

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from app.datasets.verification.annotations import Point

NAME: Final = "CVAT for images"
MIN_CORNERS: Final = 3
BOX_SIDES: Final = ("xtl", "ytl", "xbr", "ybr")


@dataclass
class _Contents:
    """What all files contain."""

    annotations: Annotations
    labels: list[str] = field(default_factory=list)
    splits: dict[str, Split | None] = field(default_factory=dict)
    tags: dict[str, list[str]] = field(default_factory=dict)
    unread: Counter[str] = field(default_factory=Counter)
    tracks: list[str] = field(default_factory=list)


def recognise(upload: Upload) -> list[str]:
    """Return the XML files whose root is `annotations`."""
    files = sorted(path for path in upload.tree.files if suffix(path) == ".xml")
    return [path for path in files if root_name(beginning(upload, path)) == "annotations"]


def read(upload: Upload, files: Sequence[str]) -> Source | None:
    """Read the images of all files."""
    contents = _Contents(Annotations(upload, NAME))
    images = StemIndex(upload.tree.images_below(""), upload.tree.root)
    for file in files:
        try:
            with upload.members.archive.stream(upload.tree.files[file]) as stream:
                _read_file(stream, file, images, contents)
        except XmlInvalidError as error:
            upload.findings.add(Code.ANNOTATIONS_INVALID, str(error), file=file, line=error.line)
        except XmlRefusedError as error:
            upload.findings.add(Code.ANNOTATIONS_INVALID, str(error), file=file)
        except MemberCorruptError as error:
            upload.findings.add(Code.ARCHIVE_CORRUPT, shown(f"{error}."), file=file)
    _report_unread(upload, contents)
    if upload.findings.has_errors:
        return None
    return _source(upload, files, contents)


def _read_file(stream: Readable, file: str, images: StemIndex, contents: _Contents) -> None:
    place = Place(file)
    for position, element in enumerate(children_in(stream)):
        if position == 0:
            continue
        if element.tag == "meta":
            contents.labels += _labels(element)
        elif element.tag == "track":
            contents.tracks.append(file)
            return
        elif element.tag == "image":
            _read_image(element, place, images, contents)


def _labels(meta: "Element") -> list[str]:
    """Return the labels of the task; those with a parent are the points of a skeleton."""
    labels = []
    for label in meta.iter("label"):
        name = class_name(label.findtext("name"))
        if name is not None and label.find("parent") is None:
            labels.append(name)
    return labels


def _read_image(element: "Element", place: Place, images: StemIndex, contents: _Contents) -> None:
    name = element.get("name", "")
    subset = element.get("subset", "")
    annotations = contents.annotations
    found = images.find_named(name, _near(place.file, subset))
    if len(found) != 1:
        what = "Several images could be" if found else "No image of the archive is"
        annotations.ignore(f"{what} {shown(name)!r}.", place)
        return
    image = found[0]
    width, height = number(element.get("width")), number(element.get("height"))
    size = None if width is None or height is None else (width, height)
    if not annotations.add_image(image, size):
        annotations.ignore(f"{shown(name)!r} is annotated twice; the first one is used.", place)
        return
    contents.splits[image] = split_of(f"{subset}/") or split_of(image)
    for child in element:
        _read_shape(child, image, place, contents)


def _near(file: str, subset: str) -> str:
    folder = file.rpartition("/")[0]
    return "/".join(part for part in (folder, "images", subset) if part)


def _read_shape(element: "Element", image: str, place: Place, contents: _Contents) -> None:
    label = element.get("label")
    if element.tag == "tag":
        name = class_name(label)
        if name is not None:
            contents.tags.setdefault(image, []).append(name)
        return
    if element.tag not in {"box", "polygon"}:
        contents.unread[str(element.tag)] += 1
        return
    shape = _box(element, label) if element.tag == "box" else _polygon(element, label)
    if shape is None:
        text = f"A {element.tag} has no coordinates that are finite numbers."
        contents.annotations.ignore(text, place)
    else:
        contents.annotations.add(image, shape, place)


def _box(element: "Element", label: str | None) -> Shape | None:
    left, top, right, bottom = (number(element.get(side)) for side in BOX_SIDES)
    if left is None or top is None or right is None or bottom is None:
        return None
    rotation = number(element.get("rotation")) or 0.0
    if not rotation:
        return Shape(label, (left, top, right, bottom))
    centre = ((left + right) / 2, (top + bottom) / 2)
    corners = turned(*centre, right - left, bottom - top, math.radians(rotation))
    return Shape.around(label, corners)


def _polygon(element: "Element", label: str | None) -> Shape | None:
    corners: list[Point] = []
    for pair in element.get("points", "").split(";"):
        first, _, second = pair.partition(",")
        x, y = number(first), number(second)
        if x is None or y is None:
            return None
        corners.append((x, y))
    return Shape.around(label, corners) if len(corners) >= MIN_CORNERS else None


def _report_unread(upload: Upload, contents: _Contents) -> None:
    for file in contents.tracks:
        text = "CVAT for video is not read. Export the task as `CVAT for images` or as COCO."
        upload.findings.add(Code.FORMAT_UNREAD, text, file=file)
    shapes = contents.annotations.outlined + contents.annotations.boxes
    listed = ", ".join(f"{count} x {shown(kind)}" for kind, count in contents.unread.most_common(8))
    if not listed:
        return
    if shapes or contents.tags:
        text = f"Not read: {listed}. Export the task as COCO to use masks, skeletons or points."
        upload.findings.add(Code.ANNOTATION_IGNORED, text)
    else:
        text = f"{NAME} has no box and no polygon, only {listed}. Export the task as COCO."
        upload.findings.add(Code.FORMAT_UNREAD, text)


def _source(upload: Upload, files: Sequence[str], contents: _Contents) -> Source | None:
    annotations = contents.annotations
    if contents.tags and not annotations.outlined and not annotations.boxes:
        return classified(upload, NAME, contents.tags, contents.splits, files)
    task = annotations.task()
    if task is None:
        return None
    return annotations.source(task, _divided(contents.splits), files, contents.labels)


def _divided(splits: Mapping[str, Split | None]) -> dict[Split | None, list[str]]:
    divided: dict[Split | None, list[str]] = {}
    for image, split in splits.items():
        divided.setdefault(split, []).append(image)
    return divided
