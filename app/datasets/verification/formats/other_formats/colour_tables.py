"""The files that say which pixel value or colour of a mask is which class.

These are `labelmap.txt` of CVAT (`name:r,g,b::`), `label_colors.txt` of CamVid (`r g b name`),
`class_dict.csv` (`name,r,g,b`) and `_classes.csv` of Roboflow (`Pixel Value, Class`).
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from app.datasets.verification.dataset_yaml import IGNORED_ID
from app.datasets.verification.formats.other_formats.mask_colours import Colour
from app.datasets.verification.formats.other_formats.plain_text import (
    beginning,
    class_name,
    number,
)
from app.datasets.verification.source import Upload

MAX_BYTES: Final = 1 << 20
LABELMAPS: Final = ("labelmap.txt", "label_map.txt")
CAMVID: Final = ("label_colors.txt", "label_colours.txt", "label_colors.csv")
CLASS_DICTS: Final = ("class_dict.csv", "class_dict_seg.csv", "classes.csv", "color_map.csv")
ROBOFLOW: Final = "_classes.csv"
VOID: Final[Colour] = (224, 224, 192)
"""The border around objects in Pascal VOC: its pixels do not count."""

PIXEL_VALUE: Final = re.compile(r"^\s*pixel\s*value\s*,", re.IGNORECASE)
BLACK: Final[Colour] = (0, 0, 0)
"""Where no class is black, black pixels are not labelled and do not count."""

LEVEL: Final = re.compile(r"[0-9]{1,3}")
BLANKS: Final = re.compile(r"[\s,]+")

Cells = list[str]


@dataclass
class ColourTable:
    """The classes of a file in their order, with their colours or pixel values."""

    file: str
    names: list[str] = field(default_factory=list)
    colours: dict[Colour, int] = field(default_factory=dict)
    values: dict[int, int] = field(default_factory=dict)


def ids_of(colours: Iterable[Colour]) -> dict[Colour, int]:
    """Return the class of each colour in class order; the usual colours of no class are ignored."""
    unlabelled = {VOID: IGNORED_ID, BLACK: IGNORED_ID}
    return unlabelled | {colour: number for number, colour in enumerate(colours)}


def colour_tables(upload: Upload) -> list[ColourTable]:
    """Return the tables of the archive, those nearest to the root first."""
    files = sorted(upload.tree.files, key=lambda path: (path.count("/"), path))
    tables = (_table(upload, file) for file in files)
    return [table for table in tables if table is not None and table.names]


def _table(upload: Upload, file: str) -> ColourTable | None:
    name = file.rpartition("/")[2].lower()
    if name == ROBOFLOW:
        return _pixel_values(file, beginning(upload, file, MAX_BYTES).splitlines())
    cells_of = _reader(name)
    if cells_of is None:
        return None
    table = ColourTable(file, colours={VOID: IGNORED_ID})
    for line in beginning(upload, file, MAX_BYTES).splitlines():
        label, *levels = cells_of(line)
        _add(table, label, levels)
    table.colours.setdefault(BLACK, IGNORED_ID)
    return table


def _reader(name: str) -> Callable[[str], Cells] | None:
    if name in LABELMAPS:
        return _labelmap_cells
    if name in CAMVID:
        return _camvid_cells
    return _class_dict_cells if name in CLASS_DICTS else None


def _labelmap_cells(line: str) -> Cells:
    """Return the cells of `name:r,g,b:parts:actions`; a line that begins with # is a comment."""
    name, _, rest = line.partition(":")
    return ["" if name.lstrip().startswith("#") else name, *rest.partition(":")[0].split(",")]


def _camvid_cells(line: str) -> Cells:
    """Return the cells of `r g b name`, with the name first."""
    *levels, name = BLANKS.split(line.strip(), maxsplit=len(VOID))
    return [name, *levels]


def _class_dict_cells(line: str) -> Cells:
    return line.rsplit(",", len(VOID))


def _add(table: ColourTable, text: str, levels: Iterable[str]) -> None:
    name = class_name(text)
    values = [int(level) for level in map(str.strip, levels) if LEVEL.fullmatch(level)]
    if name is None or len(values) != len(VOID) or max(values) > IGNORED_ID:
        return
    if len(table.names) < IGNORED_ID:
        red, green, blue = values
        table.colours[(red, green, blue)] = len(table.names)
        table.names.append(name)


def _pixel_values(file: str, lines: list[str]) -> ColourTable | None:
    if not lines or not PIXEL_VALUE.match(lines[0]):
        return None
    table = ColourTable(file)
    for line in lines[1:]:
        text, _, label = line.partition(",")
        value, name = number(text.strip()), class_name(label)
        is_value = value is not None and value.is_integer() and 0 <= value <= IGNORED_ID
        if value is not None and is_value and name is not None:
            table.values[int(value)] = len(table.names)
            table.names.append(name)
    return table
