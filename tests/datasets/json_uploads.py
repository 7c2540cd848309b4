"""Read files as an upload with one of the JSON formats, without the rest of a verification."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from app.datasets.archives.audit import open_archive
from app.datasets.reports.finding_codes import Code
from app.datasets.reports.findings import Findings
from app.datasets.reports.report import ImportOptions, Limits
from app.datasets.verification.members import MemberReader
from app.datasets.verification.source import Source, SourceImage, Upload
from app.datasets.verification.tree import tree_of
from tests.datasets.builders import Files, a_zip

PICTURE = b"a picture that no format decodes"


@dataclass(frozen=True)
class Reading:
    """What a format made of an upload."""

    recognised: list[str]
    source: Source | None
    findings: Findings

    @property
    def found(self) -> Source:
        assert self.source is not None, self.messages()
        return self.source

    @property
    def counts(self) -> dict[str | None, int]:
        """The number of images of each split."""
        return {split: len(images) for split, images in self.found.images.items()}

    def image(self, path: str) -> SourceImage:
        images = [one for images in self.found.images.values() for one in images]
        return next(one for one in images if one.image == path)

    def rows(self, path: str) -> list[list[float]]:
        """Return the label rows of an image as numbers."""
        lines = (self.image(path).rows or b"").decode().splitlines()
        return [[float(value) for value in line.split()] for line in lines]

    def codes(self) -> set[Code]:
        return {finding.code for finding in self.findings.kept()}

    def messages(self, code: Code | None = None) -> str:
        kept = self.findings.kept()
        return " ".join(f"{one.file}: {one.message}" for one in kept if code in {None, one.code})


@contextmanager
def an_upload(path: Path, files: Files, **options: object) -> Iterator[Upload]:
    """Zip the files and open them as an upload."""
    given = ImportOptions.model_validate(options)
    findings, limits = Findings(given.policy), Limits()
    with open_archive(a_zip(path / "upload.zip", files), limits, findings) as archive:
        assert archive is not None, findings.kept()
        tree = tree_of(archive.members)
        yield Upload(MemberReader(archive, tree, findings, limits), given)


def reading_of(
    form: ModuleType,
    path: Path,
    upload: Files,
    *,
    files: list[str] | None = None,
    **options: object,
) -> Reading:
    """Recognise and read an upload with the format of a module; `files` are read in any case."""
    with an_upload(path, upload, **options) as opened:
        recognised = form.recognise(opened)
        recognised = recognised if files is None else files
        source = form.read(opened, recognised) if recognised else None
    return Reading(recognised, source, opened.findings)


def pictures(*names: str) -> Files:
    return dict.fromkeys(names, PICTURE)


def as_json(content: object) -> bytes:
    return json.dumps(content).encode()


def coco(
    images: Mapping[int, str] | None = None,
    annotations: list[dict[str, Any]] | None = None,
    categories: list[dict[str, Any]] | None = None,
    **keys: object,
) -> bytes:
    """Return a COCO JSON of images of 100 x 50 pixels, with a box of class "disc" in each."""
    named = {1: "a.jpg"} if images is None else images
    boxes = [a_box(image) for image in named] if annotations is None else annotations
    content = {
        "info": {"description": "drawn"},
        "categories": [{"id": 1, "name": "disc"}] if categories is None else categories,
        "images": [
            {"id": number, "file_name": name, "width": 100, "height": 50}
            for number, name in named.items()
        ],
        "annotations": boxes,
        **keys,
    }
    return as_json(content)


def a_box(image: int = 1, **keys: object) -> dict[str, Any]:
    """Return an annotation; its row is `0 0.2 0.4 0.2 0.4`."""
    return {"image_id": image, "category_id": 1, "bbox": [10, 10, 20, 20], "iscrowd": 0, **keys}
