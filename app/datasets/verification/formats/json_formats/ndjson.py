"""Ultralytics NDJSON: a line for the dataset, then a line for each image with its label rows.

The rows are those of YOLO labels (8.4.190, data/converter.py:830-1160). Images must be in the
archive: the URLs in the lines are not fetched.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, get_args

from pydantic import ValidationError

from app.core.tasks import Task
from app.datasets.archives.audit import MemberCorruptError
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import shown
from app.datasets.reports.report import Split
from app.datasets.verification.annotations import row
from app.datasets.verification.dataset_yaml import MAX_CLASSES, DatasetFields
from app.datasets.verification.formats.json_formats.image_finder import ImageFinder, pack_names
from app.datasets.verification.formats.json_formats.kinds import Kind, files_of
from app.datasets.verification.formats.json_formats.notes import Notes
from app.datasets.verification.formats.json_formats.streams import (
    JsonRefusedError,
    lines_in,
    report_refused,
)
from app.datasets.verification.formats.json_formats.values import (
    identity_of,
    name_fault,
    number_of,
    text_of,
)
from app.datasets.verification.matching import SPLIT_OF_FOLDER, folded
from app.datasets.verification.source import Source, SourceImage, Upload

NAME: Final = Kind.NDJSON.value
TASKS: Final[tuple[Task, ...]] = get_args(Task)
ROWS_KEYS: Final[dict[Task, str]] = {
    "detect": "boxes",
    "segment": "segments",
    "semantic": "segments",
    "pose": "pose",
    "obb": "obb",
}
FIELDS: Final = ("kpt_shape", "flip_idx", "kpt_names", "channels")
SHAPE_SAMPLES: Final = 50
POSE_START: Final = 5
NO_CLASS: Final = "An image without a class is left out, as in Ultralytics."
NO_NAME: Final = "A line without the name of an image is left out."


@dataclass
class _Lines:
    """The lines of a file as they are read."""

    head: dict[str, Any]
    task: Task
    images: dict[Split | None, dict[str, SourceImage]] = field(default_factory=dict)
    last_class: int = -1
    poses: list[list[Any]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    absent: int = 0


def recognise(upload: Upload) -> list[str]:
    """Return the NDJSON files of the archive."""
    return files_of(upload, Kind.NDJSON)


def read(upload: Upload, files: Sequence[str]) -> Source | None:
    """Read the first file, or add findings and return None."""
    file = files[0]
    for other in files[1:]:
        text = f"Only {file} is read: an archive is one dataset."
        upload.findings.add(Code.ANNOTATION_IGNORED, shown(text), file=other)
    notes = Notes()
    try:
        lines = _lines(upload, file, notes)
    except (JsonRefusedError, MemberCorruptError) as error:
        report_refused(upload, file, error, Code.ANNOTATIONS_INVALID)
        return None
    if lines is None or not _has_all_images(upload, file, lines):
        return None
    notes.report(upload.findings)
    return _source(upload, file, lines)


def _lines(upload: Upload, file: str, notes: Notes) -> _Lines | None:
    values = lines_in(upload, file)
    head = next(values, None)
    lines = None if not isinstance(head, dict) else _Lines(head, "detect")
    if lines is None:
        raise JsonRefusedError("the first line is no object")
    task = upload.options.task or lines.head.get("task") or "detect"
    if task not in TASKS or task == "depth":
        text = f"NDJSON of task {task!r} is not read. Export the dataset as YOLO."
        upload.findings.add(Code.FORMAT_UNREAD, shown(text), file=file)
        return None
    lines.task = task
    finder = ImageFinder(upload.tree)
    near = file.rpartition("/")[0]
    for number, value in enumerate(values, start=2):
        name = text_of(value.get("file")) if isinstance(value, dict) else None
        if name is None:
            notes.add(Code.ANNOTATION_IGNORED, NO_NAME, file, f"line {number}")
            continue
        split = SPLIT_OF_FOLDER.get(folded(str(value.get("split"))))
        path = finder.find(name, near, split)
        if path is None:
            lines.absent += 1
            lines.missing = lines.missing or [name, str(value.get("url") or "")]
        elif not _add(lines, split, path, value.get("annotations")):
            notes.add(Code.ANNOTATION_IGNORED, NO_CLASS, file, name)
    return lines


def _add(lines: _Lines, split: Split | None, path: str, given: Any) -> bool:  # noqa: ANN401 -- any JSON value
    """Add an image; return whether its task lets it be without annotations."""
    annotations = given if isinstance(given, dict) else {}
    images = lines.images.setdefault(split, {})
    if lines.task == "classify":
        classes = annotations.get("classification")
        label = identity_of(classes[0]) if isinstance(classes, list) and classes else None
        if not isinstance(label, int) or not 0 <= label < MAX_CLASSES:
            return False
        images[path] = SourceImage(path, path, label=label)
        return True
    key = ROWS_KEYS[lines.task]
    values = annotations.get(key, next(iter(annotations.values()), None))
    rows = [value for value in values if value] if isinstance(values, list) else []
    images[path] = SourceImage(path, path, rows=b"".join(_row(lines, value) for value in rows))
    return True


def _row(lines: _Lines, values: Any) -> bytes:  # noqa: ANN401 -- any JSON value
    """Return a label row; the check of labels judges what is not a number."""
    given = values if isinstance(values, list) else [values]
    number = identity_of(given[0])
    if isinstance(number, int) and 0 <= number < MAX_CLASSES:
        lines.last_class = max(lines.last_class, number)
    else:
        number = -1
    if lines.task == "pose" and len(lines.poses) < SHAPE_SAMPLES:
        lines.poses.append(given[POSE_START:])
    found = (number_of(value) for value in given[1:])
    return row(number, (float("nan") if value is None else value for value in found))


def _has_all_images(upload: Upload, file: str, lines: _Lines) -> bool:
    if lines.absent == 0 and lines.images:
        return True
    text = "It lists no images."
    if lines.missing:
        name, url = lines.missing
        why = f" It has only a URL ({url}): URLs are not fetched." if url else ""
        text = f"{lines.absent} images are not in the archive, the first is {name!r}.{why}"
    upload.findings.add(Code.IMAGES_MISSING, shown(f"{text} Add the image files."), file=file)
    return False


def _source(upload: Upload, file: str, lines: _Lines) -> Source | None:
    names = upload.options.names or _names(lines.head.get("class_names"), lines.last_class)
    if lines.task == "classify":
        used = {image.label for images in lines.images.values() for image in images.values()}
        labels = sorted(label for label in used if label is not None)
        order: dict[int | None, int] = {label: number for number, label in enumerate(labels)}
        names = [names[label] if label < len(names) else str(label) for label in labels]
        images = {split: _relabelled(of_split, order) for split, of_split in lines.images.items()}
    else:
        images = {split: list(_named(of_split)) for split, of_split in lines.images.items()}
    fault = name_fault(names) if names else "there is no class"
    fields = _fields(lines)
    if fault is None and fields is not None:
        return Source(NAME, lines.task, names, images, fields, read={file})
    reason = f"class_names: {fault}" if fault else f"{', '.join(FIELDS)} do not fit the poses"
    upload.findings.add(Code.ANNOTATIONS_INVALID, shown(f"{reason}."), file=file, line=1)
    return None


def _named(images: dict[str, SourceImage]) -> Iterator[SourceImage]:
    for path, name in sorted(pack_names(images).items(), key=lambda item: (item[1], item[0])):
        found = images[path]
        yield SourceImage(path, name, label=found.label, rows=found.rows)


def _relabelled(images: dict[str, SourceImage], order: dict[int | None, int]) -> list[SourceImage]:
    return [
        SourceImage(image.image, image.name, label=order[image.label]) for image in _named(images)
    ]


def _names(given: Any, last: int) -> list[str]:  # noqa: ANN401 -- any JSON value
    """Return the names by class; classes without a name get `class3`, as in Ultralytics."""
    pairs: dict[int, str] = {}
    items = given.items() if isinstance(given, dict) else enumerate(given or [])
    for key, value in items if isinstance(given, dict | list) else ():
        number, name = identity_of(key), text_of(value)
        if isinstance(number, int) and 0 <= number < MAX_CLASSES and name is not None:
            pairs[number] = name
    count = max([*pairs, last], default=-1) + 1
    return [pairs.get(number, f"class{number}") for number in range(count)]


def _fields(lines: _Lines) -> DatasetFields | None:
    given = {key: lines.head[key] for key in FIELDS if lines.head.get(key) is not None}
    if lines.task == "pose" and "kpt_shape" not in given:
        shape = _shape_of_poses(lines.poses)
        if shape is None:
            return None
        given["kpt_shape"] = shape
    try:
        return DatasetFields.model_validate(given)
    except ValidationError:
        return None


def _shape_of_poses(poses: Sequence[Sequence[Any]]) -> tuple[int, int] | None:
    """Infer kpt_shape as Ultralytics does (8.4.190, data/converter.py:804)."""
    lengths = {len(values) for values in poses if values}
    if len(lengths) != 1:
        return None
    count = lengths.pop()
    if count % 3 == 0:
        has_visibility = all(value in {0, 1, 2} for pose in poses for value in _thirds(pose))
        return (count // 3, 3) if has_visibility else None
    return (count // 2, 2) if count % 2 == 0 else None


def _thirds(pose: Sequence[Any]) -> list[float | None]:
    return [number_of(value) for value in pose[2::3]]
