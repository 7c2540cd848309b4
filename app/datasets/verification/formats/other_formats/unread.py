"""Formats that are recognised and named, but not read; and what to say if nothing is recognised.

This comes after all formats that are read. Files that are recognised by their name count where the
archive has no image; the others are recognised by their first lines.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import shown
from app.datasets.verification.formats.other_formats.plain_text import first_lines, number
from app.datasets.verification.images import IMAGE_SUFFIXES
from app.datasets.verification.source import Upload
from app.datasets.verification.tree import suffix

NAME: Final = "a format that is not read"
EXPORT: Final = "Export the dataset as YOLO or COCO JSON."
MAX_PROBED: Final = 20
MAX_FOLDERS: Final = 8
KERAS_VALUES: Final = 5
MAX_MULTILABEL_ROWS: Final = 20
SHARD: Final = re.compile(r"\.tfrecords?(-\d+-of-\d+)?$|\.record(-\d+-of-\d+)?$", re.IGNORECASE)


@dataclass(frozen=True)
class Unread:
    """A format: its name, how its files are recognised, and what to do instead."""

    name: str
    is_file: Callable[[Upload, str], bool]
    cure: str = EXPORT


def _named(*suffixes: str) -> Callable[[Upload, str], bool]:
    return lambda _upload, path: suffix(path) in suffixes


def _ends(*names: str) -> Callable[[Upload, str], bool]:
    return lambda _upload, path: f"/{path.lower()}".endswith(names)


def _is_shard(_upload: Upload, path: str) -> bool:
    return SHARD.search(path) is not None


def _is_mot(upload: Upload, path: str) -> bool:
    return f"/{path.lower()}".endswith(("/gt/gt.txt", "/gt.txt", "/det/det.txt")) and (
        _are_numbers(upload, path, 6)
    )


def _is_visdrone(upload: Upload, path: str) -> bool:
    folders = path.lower().split("/")[:-1]
    is_text = suffix(path) == ".txt" and any("annotation" in folder for folder in folders)
    return is_text and _are_numbers(upload, path, 8)


def _are_numbers(upload: Upload, path: str, columns: int) -> bool:
    """Return whether all rows have at least `columns` numbers between commas."""
    rows = [line.strip().strip(",").split(",") for line in first_lines(upload, path)]
    return bool(rows) and all(
        len(row) >= columns and all(number(cell) is not None for cell in row) for row in rows
    )


def _is_keras(upload: Upload, path: str) -> bool:
    """Return whether the rows are a path and boxes `x1,y1,x2,y2,class` between blanks."""
    if suffix(path) != ".txt":
        return False
    rows = [line.split() for line in first_lines(upload, path)[:MAX_PROBED]]
    boxes = [row for row in rows if len(row) > 1 and all(map(_is_keras_box, row[1:]))]
    images = [row for row in rows if suffix(row[0]) in IMAGE_SUFFIXES]
    return bool(boxes) and len(images) == len(rows)


def _is_keras_box(cell: str) -> bool:
    values = cell.split(",")
    return len(values) == KERAS_VALUES and all(number(value) is not None for value in values)


def _is_multilabel(upload: Upload, path: str) -> bool:
    """Return whether the first column is an image and the others are 0 or 1."""
    if suffix(path) != ".csv":
        return False
    rows = [line.split(",") for line in first_lines(upload, path)][: MAX_MULTILABEL_ROWS + 1]
    held = rows[1:]
    return bool(held) and all(
        len(row) == len(rows[0]) > 1
        and suffix(row[0].strip()) in IMAGE_SUFFIXES
        and all(cell.strip() in {"0", "1"} for cell in row[1:])
        for row in held
    )


def _has_regions(upload: Upload, path: str) -> bool:
    if suffix(path) == ".json":
        return b'"region_attributes"' in upload.members.prefix(path, 1 << 16)
    lines = first_lines(upload, path) if suffix(path) == ".csv" else []
    return bool(lines) and "region_shape_attributes" in lines[0]


def _is_panoptic(upload: Upload, path: str) -> bool:
    is_json = suffix(path) == ".json"
    return is_json and b'"segments_info"' in upload.members.prefix(path, 1 << 16)


MULTILABEL: Final = (
    "An image may have several classes there, and classification has one: put each image into"
    " train/<class>/ and val/<class>/."
)
TRACKING: Final = "It is for tracking: export its frames with boxes as YOLO or COCO JSON."
TEXTS: Final[tuple[Unread, ...]] = (
    Unread("Multi-label classification in CSV", _is_multilabel, MULTILABEL),
    Unread("MOT", _is_mot, TRACKING),
    Unread("VisDrone", _is_visdrone, "Convert its annotations to YOLO labels."),
    Unread("YOLO Keras", _is_keras),
    Unread("VGG Image Annotator", _has_regions, "Export it as COCO JSON."),
    Unread("Panoptic COCO", _is_panoptic, "Export it as COCO JSON for instance segmentation."),
    Unread("WIDER FACE", _ends("_bbx_gt.txt"), "Convert its annotations to YOLO labels."),
    Unread("CrowdHuman", _named(".odgt"), "Convert its annotations to YOLO labels."),
    Unread("Cityscapes", _ends("_polygons.json"), "Convert it to masks of class ids, or to YOLO."),
)
"""Formats of text, recognised by their content or by a name that nothing else has."""

BINARIES: Final[tuple[Unread, ...]] = (
    Unread("TFRecord", _is_shard),
    Unread("Parquet", _named(".parquet", ".arrow"), "Save the images as files, with labels."),
    Unread("LMDB", _ends("/data.mdb", ".lmdb", "/lock.mdb"), "Save the images as files."),
    Unread("HDF5", _named(".h5", ".hdf5", ".mat", ".npz"), "Save the images as files."),
    Unread("A pickle", _named(".pkl", ".pickle"), "Save the images as files; pickles run code."),
    Unread("WebDataset", _named(".tar"), "Unpack the shards, and label the images."),
    Unread(
        "A video",
        _named(".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg"),
        "Save its frames as images, with labels.",
    ),
    Unread("An archive inside", _named(".zip", ".rar", ".7z", ".gz"), "Unpack it and zip all."),
)
"""Files that hold the images, too; they count where the archive has no image."""


def recognise(upload: Upload) -> list[str]:
    """Return the files of a format that is known and not read."""
    found = _found(upload)
    return [] if found is None else found[1]


def read(upload: Upload, files: Sequence[str]) -> None:
    """Report the format, its first file and the cure. There is never a source."""
    found = _found(upload)
    if found is not None:
        text = f"{found[0].name} ({shown(files[0])}) is not read. {found[0].cure}"
        upload.findings.add(Code.FORMAT_UNREAD, text, file=files[0])


def _found(upload: Upload) -> tuple[Unread, list[str]] | None:
    tree = upload.tree
    others = [path for path in sorted(tree.files) if suffix(path) not in IMAGE_SUFFIXES]
    by_suffix: dict[str, list[str]] = {}
    for path in others:
        by_suffix.setdefault(suffix(path), []).append(path)
    probed = [path for paths in by_suffix.values() for path in _spread(paths)]
    named = [*tree.ignored["unread-type"], *others]
    for format_ in TEXTS:
        files = [path for path in probed if format_.is_file(upload, path)]
        if files:
            return format_, files
    for format_ in () if tree.images_below("") else BINARIES:
        files = [path for path in named if format_.is_file(upload, path)]
        if files:
            return format_, files
    return None


def _spread(paths: Sequence[str]) -> Iterable[str]:
    step = max(1, len(paths) // MAX_PROBED)
    return islice(paths, 0, None, step)


def report_unknown(upload: Upload) -> None:
    """Say which folders and types of files were found, and what is expected."""
    tree = upload.tree
    counts: Counter[tuple[str, str]] = Counter()
    for path in [*(tree.root + path for path in tree.files), *tree.ignored["unread-type"]]:
        folder = path.rpartition("/")[0]
        counts[(folder, suffix(path) or "no suffix")] += 1
    listed = [
        f"{shown(folder)}/ ({count} {kind})" if folder else f"the root ({count} {kind})"
        for (folder, kind), count in counts.most_common(MAX_FOLDERS)
    ]
    rest = len(counts) - len(listed)
    more = f" and {rest} more" if rest > 0 else ""
    upload.findings.add(
        Code.LAYOUT_UNKNOWN,
        f"No known format was found in {', '.join(listed)}{more}. Expected are images/ with"
        " labels/ and a data.yaml, class folders, or the annotations of a labelling tool beside"
        " the images.",
    )
