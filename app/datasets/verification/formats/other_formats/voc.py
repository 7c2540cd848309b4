"""Pascal VOC: an XML file for each image, with boxes in pixels and classes by name.

The image of an XML file is the one with its name, else the one that `<filename>` names. The splits
are those of ImageSets, else those that folders name.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Final

from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import shown
from app.datasets.verification.annotations import Point
from app.datasets.verification.formats.other_formats.annotated import (
    Annotations,
    Place,
    Shape,
    Size,
    with_backgrounds,
)
from app.datasets.verification.formats.other_formats.image_lists import listed_splits
from app.datasets.verification.formats.other_formats.plain_text import beginning, number
from app.datasets.verification.formats.other_formats.stems import StemIndex
from app.datasets.verification.formats.other_formats.xml_elements import (
    XmlInvalidError,
    XmlRefusedError,
    children,
    root_name,
    texts_in,
)
from app.datasets.verification.matching import split_of
from app.datasets.verification.source import Source, Upload
from app.datasets.verification.tree import suffix

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

NAME: Final = "Pascal VOC"
MASKS: Final = "SegmentationClass/"
MAX_PROBES: Final = 50
MIN_CORNERS: Final = 3
BOX_SIDES: Final = ("xmin", "ymin", "xmax", "ymax")
TURNED_BOX: Final = ("cx", "cy", "w", "h", "angle")


@dataclass
class _Annotation:
    """The content of one XML file."""

    filename: str | None = None
    size: Size | None = None
    objects: list[Shape | str] = field(default_factory=list)


def recognise(upload: Upload) -> list[str]:
    """Return the XML files of the archive if their root is `annotation`.

    The boxes of a dataset that has masks, too, are not meant where semantic is asked for.
    """
    if upload.options.task == "semantic" and any(MASKS in path for path in upload.tree.files):
        return []
    files = sorted(path for path in upload.tree.files if suffix(path) == ".xml")
    probed = files[:: max(1, len(files) // MAX_PROBES)]
    if any(root_name(beginning(upload, path)) == "annotation" for path in probed):
        return files
    return []


def read(upload: Upload, files: Sequence[str]) -> Source | None:
    """Read the objects of all XML files; files with another root are ignored."""
    images = StemIndex(upload.tree.images_below(""), upload.tree.root)
    annotations = Annotations(upload, NAME)
    used = set()
    for file in files:
        try:
            annotation = _parsed(upload, file)
        except XmlInvalidError as error:
            annotations.drop(images.beside(file), file, str(error), error.line)
            continue
        except XmlRefusedError as error:
            upload.findings.add(Code.ANNOTATIONS_INVALID, str(error), file=file)
            continue
        if annotation is not None:
            used.add(file)
            _add(annotation, file, images, annotations)
    task = annotations.task()
    if task is None:
        return None
    lists = listed_splits(upload, images)
    splits = lists.images or with_backgrounds(
        upload, {image: split_of(image) for image in annotations.images}
    )
    return annotations.source(task, splits, used | lists.files)


def _parsed(upload: Upload, file: str) -> _Annotation | None:
    content = upload.members.read_labels(file)
    if content is None:
        raise XmlInvalidError("It is damaged or too large.")
    annotation = _Annotation()
    for position, element in enumerate(children(content)):
        if position == 0 and element.tag != "annotation":
            upload.findings.add(
                Code.ANNOTATION_IGNORED,
                f"Its root is {shown(str(element.tag))}, not annotation: it is not {NAME}.",
                file=file,
            )
            return None
        if element.tag == "filename":
            annotation.filename = (element.text or "").strip() or None
        elif element.tag == "size":
            annotation.size = _size(element)
        elif element.tag == "object" and position:
            annotation.objects.append(_shape(element))
    return annotation


def _size(element: "Element") -> Size | None:
    texts = texts_in(element)
    width, height = number(texts.get("width")), number(texts.get("height"))
    return None if width is None or height is None else (width, height)


def _shape(element: "Element") -> Shape | str:
    """Return the object, or why it cannot be used."""
    parts = {str(part.tag): part for part in element}
    label = parts["name"].text if "name" in parts else None
    corners = _polygon(parts.get("polygon")) or _turned_box(parts.get("robndbox"))
    sides = texts_in(parts.get("bndbox"))
    left, top, right, bottom = (number(sides.get(side)) for side in BOX_SIDES)
    if left is not None and top is not None and right is not None and bottom is not None:
        return Shape(label, (left, top, right, bottom), corners)
    if corners is not None:
        return Shape.around(label, corners)
    return "It has no box: xmin, ymin, xmax and ymax must be numbers."


def _polygon(element: "Element | None") -> list[Point] | None:
    """Return the corners: x1, y1, x2, … as Roboflow writes them, or pt/x, pt/y of LabelMe."""
    if element is None:
        return None
    points = [texts_in(point) for point in element.iterfind("pt")]
    pairs = [(point.get("x"), point.get("y")) for point in points]
    pairs = pairs or list(_numbered_corners(texts_in(element)))
    corners = [(number(x), number(y)) for x, y in pairs]
    known = [(x, y) for x, y in corners if x is not None and y is not None]
    return known if len(known) == len(corners) >= MIN_CORNERS else None


def _numbered_corners(texts: Mapping[str, str]) -> Iterator[tuple[str, str | None]]:
    for position in count(1):
        if f"x{position}" not in texts:
            return
        yield texts[f"x{position}"], texts.get(f"y{position}")


def _turned_box(element: "Element | None") -> list[Point] | None:
    """Return the corners of a robndbox, as roLabelImg writes it: the angle is in radians."""
    texts = texts_in(element)
    x, y, width, height, angle = (number(texts.get(part)) for part in TURNED_BOX)
    if x is None or y is None or width is None or height is None or angle is None:
        return None
    return turned(x, y, width, height, angle)


def turned(x: float, y: float, width: float, height: float, angle: float) -> list[Point]:
    """Return the corners of a box around its centre `x`, `y`, turned clockwise by `angle`."""
    cos, sin = math.cos(angle), math.sin(angle)
    sides = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    halves = [(across * width / 2, down * height / 2) for across, down in sides]
    return [(x + dx * cos - dy * sin, y + dx * sin + dy * cos) for dx, dy in halves]


def _add(annotation: _Annotation, file: str, images: StemIndex, annotations: Annotations) -> None:
    place = Place(file)
    image = _image_of(annotation, file, images)
    if len(image) != 1:
        what = "Several images could be meant" if image else "No image of the archive is meant"
        named = shown(annotation.filename or file)
        annotations.ignore(f"{what}: {named}.", place)
        return
    if not annotations.add_image(image[0], annotation.size):
        annotations.ignore(f"Another file already annotates {shown(image[0])}.", place)
        return
    for shape in annotation.objects:
        if isinstance(shape, str):
            annotations.ignore(shape, place)
        else:
            annotations.add(image[0], shape, place)


def _image_of(annotation: _Annotation, file: str, images: StemIndex) -> list[str]:
    found = images.beside(file)
    filename = annotation.filename
    if len(found) == 1 or filename is None:
        return found
    if not found:
        return images.find_named(filename, file.rpartition("/")[0])
    exact = [image for image in found if image.rpartition("/")[2] == filename]
    return exact or found
