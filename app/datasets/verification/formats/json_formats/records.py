"""Convert formats whose files describe one image after another.

The files are read twice: for the classes and the kinds of shapes, then for the rows. So no more
than one image is in memory besides the rows.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from app.core.tasks import Task
from app.datasets.archives.audit import MemberCorruptError
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import shown
from app.datasets.reports.report import Split
from app.datasets.verification.dataset_yaml import MAX_CLASSES
from app.datasets.verification.formats.json_formats.image_finder import ImageFinder, split_of_path
from app.datasets.verification.formats.json_formats.notes import (
    Notes,
    images_are_missing,
)
from app.datasets.verification.formats.json_formats.shapes import RowCollector, Shape
from app.datasets.verification.formats.json_formats.streams import JsonRefusedError, report_refused
from app.datasets.verification.formats.json_formats.values import name_fault
from app.datasets.verification.source import Source, Upload

TASKS: Final[tuple[Task, ...]] = ("detect", "segment", "obb", "semantic")
NO_FILE: Final = "An image that is not in the archive is left out with its annotations."


@dataclass(slots=True)
class Record:
    """One image of an annotation file with its labelled shapes.

    `images` are names of the image, the most reliable first. `size` is (width, height) in the units
    of the shapes, or None if they are pixels of an unknown size.
    """

    images: tuple[str, ...]
    size: tuple[float, float] | None
    split: Split | None = None
    shapes: list[tuple[str, Shape]] = field(default_factory=list)


Reader = Callable[[Upload, str, Notes], Iterator[Record]]
"""Yields the images of one file; may raise JsonRefusedError and MemberCorruptError."""


NamesOfImage = Callable[[str], tuple[str, ...]]
"""The names that the image of an annotation file may have, the most reliable first."""


@dataclass(frozen=True)
class RecordFormat:
    """A format of records: how a file is read, and what to say about it.

    With `names_of_image`, every file describes one image, which is dropped if the file is bad.
    """

    name: str
    records: Reader
    names_of_image: NamesOfImage | None = None
    hint: str = ""

    @property
    def code_of_bad_file(self) -> Code:
        """The code of a file that cannot be read."""
        if self.names_of_image is None:
            return Code.ANNOTATIONS_INVALID
        return Code.ANNOTATION_UNREADABLE


@dataclass
class _Contents:
    """What the first reading found; `bad` are the files that cannot be read."""

    files: list[str] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    labels: set[str] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)


def read_records(
    upload: Upload, files: Sequence[str], form: RecordFormat, order: Sequence[str] = ()
) -> Source | None:
    """Read the files, or add findings and return None.

    `order` are the classes in the order of the format; others follow, sorted by name.
    """
    contents = _contents(upload, files, form)
    names = [*dict.fromkeys(order), *sorted(contents.labels - set(order))]
    task = _task(upload, contents, form, files[0])
    if task is None or not _are_good(upload, names, files[0]):
        return None
    collector = RowCollector(task, Notes())
    numbers = {name: number for number, name in enumerate(names)}
    if not _collect(upload, contents, form, collector, numbers):
        return None
    collector.notes.report(upload.findings)
    images = collector.source_images()
    return Source(form.name, task, names, images, read=set(contents.files))


def _contents(upload: Upload, files: Sequence[str], form: RecordFormat) -> _Contents:
    contents = _Contents()
    for file in files:
        try:
            for record in form.records(upload, file, Notes()):
                for label, shape in record.shapes:
                    contents.labels.add(label)
                    contents.counts["outline" if shape.has_outline else "box"] += 1
        except (JsonRefusedError, MemberCorruptError) as error:
            report_refused(upload, file, error, form.code_of_bad_file)
            contents.bad.append(file)
        else:
            contents.files.append(file)
    return contents


def _task(upload: Upload, contents: _Contents, form: RecordFormat, file: str) -> Task | None:
    asked = upload.options.task
    if asked is not None and asked not in TASKS:
        text = f"{form.name} has no targets for task {asked}; send {', '.join(TASKS)}."
        fixes = [{"task": task} for task in TASKS]
        upload.findings.add(Code.TASK_NEEDED, text, file=file, fixes=fixes)
        return None
    if not contents.files or upload.findings.has_errors:
        return None
    if not contents.counts:
        text = f"{form.name}: no file has a box or a polygon with a label. {form.hint}".rstrip()
        upload.findings.add(Code.ANNOTATIONS_MISSING, text, file=file)
        return None
    if asked is not None:
        return asked
    return "segment" if contents.counts["outline"] > contents.counts["box"] else "detect"


def _are_good(upload: Upload, names: Sequence[str], file: str) -> bool:
    fault = name_fault(names)
    if len(names) > MAX_CLASSES:
        fault = f"there are {len(names)} labels; at most {MAX_CLASSES} are allowed"
    if fault is not None:
        upload.findings.add(Code.ANNOTATIONS_INVALID, shown(f"labels: {fault}."), file=file)
    return fault is None


def _collect(
    upload: Upload,
    contents: _Contents,
    form: RecordFormat,
    collector: RowCollector,
    numbers: dict[str, int],
) -> bool:
    """Write the rows of all images; return whether any image was found."""
    finder = ImageFinder(upload.tree)
    for file in contents.files:
        near = file.rpartition("/")[0]
        for record in form.records(upload, file, collector.notes):
            path = finder.find_first(record.images, near, record.split)
            if path is None:
                collector.notes.add(Code.ANNOTATION_IGNORED, NO_FILE, file, record.images[0])
                continue
            split = record.split or split_of_path(path)
            rows = collector.rows_of(split, path, record.size)
            for label, shape in record.shapes:
                collector.add(rows, numbers[label], shape, (file, record.images[0]))
    if not collector.images:
        first = collector.notes.first.get((Code.ANNOTATION_IGNORED, NO_FILE))
        images_are_missing(upload, contents.files[0], first[1] if first else None, form.hint)
        return False
    if form.names_of_image is not None:
        for file in contents.bad:
            _drop(file, form.names_of_image(file), finder, collector)
    return True


def _drop(file: str, names: tuple[str, ...], finder: ImageFinder, collector: RowCollector) -> None:
    """Drop the image of a file that cannot be read, if it is in the archive."""
    split = split_of_path(file)
    path = finder.find_first(names, file.rpartition("/")[0], split)
    if path is not None:
        collector.drop(split or split_of_path(path), path, Code.ANNOTATION_UNREADABLE)
