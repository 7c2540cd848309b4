"""Stream a version back as a zip: in the layout of Ultralytics, or as COCO JSON."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import count
from typing import Any, Final

import yaml

from app.core.errors import FieldError, Invalid
from app.core.zip_stream import zip_stream
from app.datasets.packs.manifest import DATASET_YAML, EMPTY_CLASS, ManifestFile
from app.datasets.reports.report import SPLITS
from app.datasets.stored.coco import CocoCategories, annotations_of
from app.datasets.stored.file_bytes import VersionBytes

COCO_TASKS: Final = frozenset({"detect", "segment", "pose", "obb", "semantic"})
LINES_AT_ONCE: Final = 1000


class ExportFormat(StrEnum):
    """The formats of an export."""

    YOLO = "yolo"
    COCO = "coco"


class ExportImpossible(Invalid):
    """The format cannot express the labels of the dataset."""

    slug, title = "export-impossible", "The format cannot express this dataset"

    def __init__(self, task: str) -> None:
        message = (
            f"COCO JSON has boxes, polygons and keypoints; these are labels for {task}"
            " in another form. Export with format=yolo."
        )
        super().__init__(message, errors=[FieldError("/query/format", self.slug, message)])


def export(source: VersionBytes, kind: ExportFormat) -> Iterator[bytes]:
    """Return the bytes of a zip with all files of a version; the same version, the same bytes.

    Raises, before the first bytes:
        ExportImpossible: the labels have no form in COCO JSON.
        DatasetBytesMissing: the store lacks the manifest.
    """
    if kind is ExportFormat.YOLO:
        return zip_stream(_yolo_members(source))
    has_labels = any(file.path.startswith("labels/") for file in source.files())
    if source.version.task not in COCO_TASKS or not has_labels:
        raise ExportImpossible(source.version.task or "")
    return zip_stream(_coco_members(source))


def _yolo_members(source: VersionBytes) -> Iterator[tuple[str, Iterable[bytes]]]:
    for file, content in source.contents(source.files()):
        if file.path.endswith(f"/{EMPTY_CLASS}"):
            yield file.path.removesuffix(EMPTY_CLASS), ()
        else:
            yield file.path, (content,)


def _coco_members(source: VersionBytes) -> Iterator[tuple[str, Iterable[bytes]]]:
    categories = _categories(source)
    for split in SPLITS:
        part = _Split(source, f"images/{split}/")
        if next(part.images(), None) is None:
            continue
        yield f"annotations/instances_{split}.json", part.annotation_file(categories)
        for file, content in source.contents(part.images()):
            yield f"{split}/{file.path.removeprefix(part.folder)}", (content,)


def _categories(source: VersionBytes) -> CocoCategories:
    described = (file for file in source.files() if file.path == DATASET_YAML)
    for _, content in source.contents(described):
        return CocoCategories.of(yaml.safe_load(content))
    return CocoCategories(())


@dataclass(frozen=True)
class _Split:
    """The images of one split of a version."""

    source: VersionBytes
    folder: str

    def images(self) -> Iterator[ManifestFile]:
        """Yield the images of the split, sorted by path."""
        files = self.source.files()
        return (file for file in files if file.is_image and file.path.startswith(self.folder))

    def annotation_file(self, categories: CocoCategories) -> Iterator[bytes]:
        """Yield the JSON of the split: categories, images, annotations."""
        yield b'{"categories":' + _json(categories.as_json()) + b',"images":['
        yield from _joined(self._image_objects())
        yield b'],"annotations":['
        yield from _joined(self._annotations(categories))
        yield b"]}\n"

    def _image_objects(self) -> Iterator[dict[str, Any]]:
        for number, file in enumerate(self.images(), start=1):
            name = file.path.removeprefix(self.folder)
            yield {"id": number, "file_name": name, "width": file.width, "height": file.height}

    def _annotations(self, categories: CocoCategories) -> Iterator[dict[str, Any]]:
        ids = count(1)
        for number, (image, label) in enumerate(self.source.labels(self.images()), start=1):
            size = (image.width or 0, image.height or 0)
            for annotation in annotations_of(label, size, categories):
                yield {"id": next(ids), "image_id": number, **annotation}


def _joined(objects: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """Yield JSON objects with commas between them, many at once."""
    pieces: list[bytes] = []
    for at, content in enumerate(objects):
        pieces.append((b"," if at else b"") + _json(content))
        if len(pieces) == LINES_AT_ONCE:
            yield b"".join(pieces)
            pieces = []
    yield b"".join(pieces)


def _json(content: Sequence[Any] | dict[str, Any]) -> bytes:
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()
