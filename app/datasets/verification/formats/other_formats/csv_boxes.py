"""Boxes in CSV: a row for each box, with the file and the class of the box.

Roboflow and TensorFlow write `filename,width,height,class,xmin,ymin,xmax,ymax`, RetinaNet
`path,x1,y1,x2,y2,class` and makesense.ai `class,x,y,width,height,file,…`, both without a header.
Some have the four sides of a box in one cell, `bbox`. Open Images has
`ImageID,LabelName,XMin,XMax,YMin,YMax` in fractions. Columns are found by their names, in any
order.
"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import shown
from app.datasets.reports.report import Split
from app.datasets.verification.formats.other_formats.annotated import (
    FRACTIONS,
    Annotations,
    Box,
    Place,
    Shape,
    Size,
    with_backgrounds,
)
from app.datasets.verification.formats.other_formats.plain_text import (
    first_lines,
    number,
    text_of,
)
from app.datasets.verification.formats.other_formats.stems import StemIndex
from app.datasets.verification.images import IMAGE_SUFFIXES
from app.datasets.verification.matching import split_of
from app.datasets.verification.source import Source, Upload
from app.datasets.verification.tree import suffix

NAME: Final = "CSV of boxes"
COLUMNS: Final[Mapping[str, str]] = {
    name: meant
    for meant, names in {
        "file": "filename file image imagename imagepath filepath imageid imageidx img path",
        "class": "class label labelname classname category name objectclass categoryname",
        "left": "xmin x1 left xtl bboxxmin boxxmin bboxx1",
        "top": "ymin y1 top ytl bboxymin boxymin bboxy1",
        "right": "xmax x2 right xbr bboxxmax boxxmax bboxx2",
        "bottom": "ymax y2 bottom ybr bboxymax boxymax bboxy2",
        "x": "x bboxx bboxleft boxx",
        "y": "y bboxy bboxtop boxy",
        "w": "w bboxwidth boxwidth bboxw",
        "h": "h bboxheight boxheight bboxh",
        "width": "width imagewidth imgwidth imgw",
        "height": "height imageheight imgheight imgh",
        "bbox": "bbox box boundingbox",
    }.items()
    for name in names.split()
}
CORNER_COLUMNS: Final = ("left", "top", "right", "bottom")
SIDE_COLUMNS: Final = ("x", "y", "w", "h")
BOX_COLUMN: Final = "bbox"
TABLE_SUFFIXES: Final = frozenset({".csv", ".tsv"})
RETINANET: Final = ("file", *CORNER_COLUMNS, "class")
MAKESENSE: Final = ("class", *SIDE_COLUMNS, "file", "width", "height")
OPEN_IMAGES: Final = frozenset({"imageid", "labelname", "xmin"})
DELIMITERS: Final = ",;\t"
NOT_LETTERS: Final = re.compile(r"[\W_]+")
DESCRIPTIONS: Final = "class-descriptions"


@dataclass(frozen=True)
class Table:
    """How the rows of a file are read: the position of each column that has a meaning."""

    delimiter: str
    columns: Mapping[str, int]
    has_header: bool
    is_open_images: bool = False

    def box(self, cells: Sequence[str]) -> Box | None:
        """Return the corners of a row, or None if they are no finite numbers."""
        has_corners = "right" in self.columns and BOX_COLUMN not in self.columns
        names = CORNER_COLUMNS if has_corners else SIDE_COLUMNS
        sides = [self.cell(cells, name) for name in names]
        if BOX_COLUMN in self.columns:
            sides = self.cell(cells, BOX_COLUMN).strip("[]() ").replace(",", " ").split()
            if len(sides) != len(SIDE_COLUMNS):
                return None
        first, second, third, fourth = map(number, sides)
        if first is None or second is None or third is None or fourth is None:
            return None
        if names is SIDE_COLUMNS:
            return first, second, first + third, second + fourth
        return first, second, third, fourth

    def size(self, cells: Sequence[str]) -> Size | None:
        """Return the width and height of the image of a row."""
        width, height = number(self.cell(cells, "width")), number(self.cell(cells, "height"))
        return None if width is None or height is None else (width, height)

    def cell(self, cells: Sequence[str], name: str) -> str:
        """Return the value of a column, or "" if the row or the table does not have it."""
        at = self.columns.get(name, len(cells))
        return cells[at].strip() if at < len(cells) else ""


def recognise(upload: Upload) -> list[str]:
    """Return the CSV files whose columns are a file, a class and a box."""
    files = sorted(path for path in upload.tree.files if suffix(path) in TABLE_SUFFIXES)
    return [path for path in files if table_of(upload, path) is not None]


def table_of(upload: Upload, file: str) -> Table | None:
    """Return how to read a file, judged by its first lines, or None if it has no boxes."""
    lines = first_lines(upload, file)
    if not lines:
        return None
    delimiter = max(DELIMITERS, key=lines[0].count)
    names = [_plain(cell) for cell in lines[0].split(delimiter)]
    columns: dict[str, int] = {}
    for position, name in enumerate(names):
        if name in COLUMNS:
            columns.setdefault(COLUMNS[name], position)
    if any(set(columns) >= {*needed} for needed in (CORNER_COLUMNS, SIDE_COLUMNS)):
        columns.pop(BOX_COLUMN, None)
        has_boxes = True
    else:
        has_boxes = BOX_COLUMN in columns
    if has_boxes and {"file", "class"} <= set(columns):
        return Table(delimiter, columns, has_header=True, is_open_images=set(names) >= OPEN_IMAGES)
    rows = [line.split(delimiter) for line in lines]
    for form, is_of in ((RETINANET, _is_retinanet), (MAKESENSE, _is_makesense)):
        if all(map(is_of, rows)):
            columns = {name: position for position, name in enumerate(form)}
            return Table(delimiter, columns, has_header=False)
    return None


def _plain(name: str) -> str:
    return NOT_LETTERS.sub("", name.strip().strip('"').lower())


def _is_retinanet(cells: Sequence[str]) -> bool:
    """Return whether a row is a path, four numbers and a class, or a path and empty cells."""
    if len(cells) != len(RETINANET) or suffix(cells[0].strip()) not in IMAGE_SUFFIXES:
        return False
    box, label = [number(cell) for cell in cells[1:5]], cells[5].strip()
    is_empty = not any(cell.strip() for cell in cells[1:])
    return is_empty or (None not in box and bool(label))


def _is_makesense(cells: Sequence[str]) -> bool:
    """Return whether a row is a class, a box by its sides, an image and the size of the image."""
    if len(cells) != len(MAKESENSE) or suffix(cells[5].strip()) not in IMAGE_SUFFIXES:
        return False
    values = [*cells[1:5], *cells[6:]]
    return bool(cells[0].strip()) and all(number(cell) is not None for cell in values)


def read(upload: Upload, files: Sequence[str]) -> Source | None:
    """Read the boxes of all files."""
    images = StemIndex(upload.tree.images_below(""), upload.tree.root)
    annotations = Annotations(upload, NAME)
    names = _descriptions(upload)
    splits: dict[str, Split | None] = {}
    for file in files:
        table = table_of(upload, file)
        text = text_of(upload, file, upload.members.read(file))
        if table is None or text is None:
            continue
        rows = _Rows(text, table)
        size = FRACTIONS if table.is_open_images or rows.are_in_fractions() else None
        split = _split_of_file(file)
        for line, cells in rows:
            place = Place(file, line)
            image = _image_of(table.cell(cells, "file"), place, images, annotations)
            if image is None:
                continue
            annotations.add_image(image, size or table.size(cells))
            splits.setdefault(image, split or split_of(image))
            _add(cells, table, image, names, annotations, place)
        if rows.fault is not None:
            upload.findings.add(Code.ANNOTATIONS_INVALID, rows.fault, file=file)
    task = annotations.task()
    if task is None or upload.findings.has_errors:
        return None
    return annotations.source(task, with_backgrounds(upload, splits), files)


class _Rows:
    """The rows of a table with their line numbers; a fault of the file ends them."""

    def __init__(self, text: str, table: Table) -> None:
        self._lines = text.splitlines(keepends=True)
        self._table = table
        self.fault: str | None = None

    def __iter__(self) -> Iterator[tuple[int, list[str]]]:
        reader = csv.reader(self._lines, delimiter=self._table.delimiter, skipinitialspace=True)
        is_header = self._table.has_header
        try:
            for cells in reader:
                if is_header:
                    is_header = False
                elif any(cells):
                    yield reader.line_num, cells
        except csv.Error as error:
            self.fault = f"Line {reader.line_num} cannot be read as CSV: {shown(str(error))}."

    def are_in_fractions(self) -> bool:
        """Return whether no coordinate is above 1, and some are between 0 and 1."""
        has_fraction = False
        for _, cells in self:
            values = self._table.box(cells) or ()
            if any(value > 1 for value in values):
                return False
            has_fraction = has_fraction or any(0 < value < 1 for value in values)
        return has_fraction


def _split_of_file(file: str) -> Split | None:
    """Return the split that the name of the file or of its folder says: `train_labels.csv`."""
    stem = file.rpartition("/")[2].rpartition(".")[0]
    return split_of(f"{stem}/") or split_of(file)


def _image_of(value: str, place: Place, images: StemIndex, annotations: Annotations) -> str | None:
    folder = place.file.rpartition("/")[0]
    found = images.find_named(value, folder) if value else []
    if len(found) > 1:
        split = _split_of_file(place.file)
        found = [image for image in found if split_of(image) == split] or found
    if len(found) == 1:
        return found[0]
    what = "Several images could be" if found else "No image of the archive is"
    annotations.ignore(f"{what} {shown(value)!r}.", place)
    return None


def _add(
    cells: Sequence[str],
    table: Table,
    image: str,
    names: Mapping[str, str],
    annotations: Annotations,
    place: Place,
) -> None:
    label = table.cell(cells, "class")
    box = table.box(cells)
    if box is not None:
        annotations.add(image, Shape(names.get(label, label), box), place)
    elif label:
        annotations.ignore("Its corners are not finite numbers.", place)


def _descriptions(upload: Upload) -> dict[str, str]:
    """Return the names of Open Images' class ids, if the archive has their file."""
    names: dict[str, str] = {}
    for file in sorted(upload.tree.files):
        if suffix(file) == ".csv" and DESCRIPTIONS in file.rpartition("/")[2].lower():
            lines = first_lines(upload, file, 1 << 20)
            pairs = (line.partition(",") for line in lines)
            names |= {number_.strip(): name.strip().strip('"') for number_, _, name in pairs}
    return names
