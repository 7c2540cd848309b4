"""Record the overview of a dataset while its images are verified, and write it into one file."""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from pydantic import BaseModel

from app.datasets.reports.findings import Findings
from app.datasets.reports.overview import (
    HEADER_BYTES,
    Groups,
    OverviewHeader,
    Part,
    SampleEntry,
    SampleIndex,
)
from app.datasets.reports.report import Split
from app.datasets.verification.images import CheckedImage
from app.datasets.verification.labels import CheckedLabels, LabelRules
from app.datasets.verification.overview.choice import Choice
from app.datasets.verification.overview.counts import ImageCounts
from app.datasets.verification.overview.duplicates import DuplicateFinder, report_near
from app.datasets.verification.overview.objects import KeptObjects
from app.datasets.verification.overview.previews import Preview, preview_of
from app.datasets.verification.overview.thumbnails import Thumbnails

MAX_INDEXED_CLASSES: Final = 100
PIXELS_AT_ONCE: Final = 4 * 1024 * 1024
"""Bytes of decoded pixels that wait to be recorded."""


@dataclass(frozen=True)
class RecordedImage:
    """A checked image in a split.

    Attributes:
        split: its split.
        path: its path in the pack.
        digest: SHA-256 of its bytes, hex.
        image: the image.
        classes: the classes that it shows.
        labels: its labels; None if its target is no label file.
    """

    split: Split
    path: str
    digest: str
    image: CheckedImage
    classes: Collection[int]
    labels: CheckedLabels | None


@dataclass(frozen=True)
class _Shown:
    """An image that is shown for now."""

    split: Split
    path: str
    size: tuple[int, int]
    classes: list[int]
    objects: KeptObjects
    preview: Preview

    def as_json(self, rules: LabelRules) -> bytes:
        """Return the `StoredSample`."""
        sample: dict[str, Any] = {
            "file": self.path,
            "split": self.split,
            "width": self.size[0],
            "height": self.size[1],
            "preview_width": self.preview.width,
            "preview_height": self.preview.height,
            "objects_total": self.objects.total,
            "objects": self.objects.as_json(rules),
        }
        return json.dumps(sample, separators=(",", ":")).encode()


class OverviewWriter:
    """Records the images of a dataset one after another, in training order."""

    def __init__(self, splits: Collection[Split], rules: LabelRules) -> None:
        self._rules = rules
        self._choice = Choice(splits, rules.classes)
        self._counts = ImageCounts(rules.classes, has_classes=rules.task != "depth")
        self._thumbnails = Thumbnails()
        self._duplicates = DuplicateFinder()
        self._shown: dict[int, _Shown] = {}
        self._images = 0
        self._waiting: list[RecordedImage] = []
        self._waiting_bytes = 0

    def note(self, noted: RecordedImage) -> None:
        """Record one image while its pixels are in memory."""
        self._waiting.append(noted)
        self._waiting_bytes += noted.image.pixels.nbytes
        if self._waiting_bytes >= PIXELS_AT_ONCE:
            self._record()

    def _record(self) -> None:
        """Record the waiting images: small ones cost half as much together as one by one."""
        for noted in self._waiting:
            self._duplicates.note(noted.split, noted.path, noted.digest)
            self._thumbnails.note(noted.image.pixels)
        for noted in self._waiting:
            size = noted.image.decoded
            self._counts.note(noted.split, noted.path, size, noted.classes, noted.labels)
        for noted in self._waiting:
            self._offer(noted)
        self._waiting.clear()
        self._waiting_bytes = 0

    def _offer(self, noted: RecordedImage) -> None:
        classes, labels = noted.classes, noted.labels
        objects = len(classes) if labels is None else labels.objects
        is_shown, gone = self._choice.offer(self._images, noted.path, noted.split, classes, objects)
        for number in gone:
            self._shown.pop(number, None)
        if is_shown:
            self._shown[self._images] = _show(noted)
        self._images += 1

    def write(
        self, file: Path, instances: Mapping[Split, Counter[int]], findings: Findings
    ) -> None:
        """Write the overview of the recorded images, and report those that look alike.

        Args:
            file: the new file.
            instances: the number of objects by split and class.
            findings: gets the findings.
        """
        self._record()
        exact = self._duplicates.exact()
        near = self._duplicates.near(self._thumbnails.grays())
        report_near(near, findings)
        statistics = self._counts.statistics(instances)
        with file.open("wb") as stream:
            stream.write(b" " * HEADER_BYTES)
            entries = [
                _write_sample(stream, shown, self._rules)
                for _, shown in sorted(self._shown.items())
            ]
            header = OverviewHeader(
                statistics=_write(stream, [statistics]),
                exact=_write_groups(stream, exact),
                near=_write_groups(stream, near),
                index=_write(stream, [SampleIndex(entries=entries)]),
            )
            stream.seek(0)
            stream.write(header.model_dump_json().encode())


def _show(noted: RecordedImage) -> _Shown:
    return _Shown(
        noted.split,
        noted.path,
        noted.image.decoded,
        sorted(noted.classes)[:MAX_INDEXED_CLASSES],
        KeptObjects.of(noted.labels, noted.classes),
        preview_of(noted.image.pixels),
    )


def _write_sample(stream: BinaryIO, shown: _Shown, rules: LabelRules) -> SampleEntry:
    preview = _write_bytes(stream, shown.preview.content)
    sample = _write_bytes(stream, shown.as_json(rules))
    return SampleEntry(split=shown.split, classes=shown.classes, sample=sample, preview=preview)


def _write(stream: BinaryIO, documents: Iterable[BaseModel]) -> Part:
    offset = stream.tell()
    stream.writelines(document.model_dump_json().encode() + b"\n" for document in documents)
    return Part(offset=offset, size=stream.tell() - offset)


def _write_groups(stream: BinaryIO, groups: Collection[BaseModel]) -> Groups:
    part = _write(stream, groups)
    return Groups(offset=part.offset, size=part.size, groups=len(groups))


def _write_bytes(stream: BinaryIO, content: bytes) -> Part:
    offset = stream.tell()
    stream.write(content)
    return Part(offset=offset, size=len(content))
