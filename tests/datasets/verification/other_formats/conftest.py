"""Read files by one format, without the choice of formats and the checks of images."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

from app.datasets.archives.audit import open_archive
from app.datasets.reports.findings import Finding, Findings
from app.datasets.reports.report import ImportOptions, Limits, Split
from app.datasets.verification.members import MemberReader
from app.datasets.verification.source import Source, SourceImage, Upload
from app.datasets.verification.tree import tree_of
from tests.datasets.builders import Files, a_zip


@dataclass
class Reading:
    """What a format made of the files; `files` are those that it recognised."""

    files: list[str]
    source: Source | None
    findings: list[Finding]

    @property
    def codes(self) -> set[str]:
        return {finding.code.value for finding in self.findings}

    def counts(self) -> dict[Split | None, int]:
        assert self.source is not None, self.findings
        return {split: len(images) for split, images in self.source.images.items()}

    def image(self, path: str) -> SourceImage:
        assert self.source is not None, self.findings
        held = [image for images in self.source.images.values() for image in images]
        return next(image for image in held if image.image == path)

    def rows(self, path: str) -> list[list[float]]:
        rows = self.image(path).rows or b""
        return [[float(value) for value in line.split()] for line in rows.splitlines()]


OpenUpload = Callable[..., Upload]
ReadBy = Callable[..., Reading]


@pytest.fixture
def an_upload(tmp_path: Path) -> Iterator[OpenUpload]:
    """Return a function that opens files as one archive."""
    with ExitStack() as opened:

        def open_files(files: Files, **options: object) -> Upload:
            path = a_zip(tmp_path / "upload.zip", files)
            findings = Findings("lenient")
            archive = opened.enter_context(open_archive(path, Limits(), findings))
            assert archive is not None, findings.kept()
            members = MemberReader(archive, tree_of(archive.members), findings, Limits())
            return Upload(members, ImportOptions.model_validate(options))

        yield open_files


@pytest.fixture
def read_by(an_upload: OpenUpload) -> ReadBy:
    """Return a function that reads files by a format."""

    def read_files(module: ModuleType, files: Files, **options: object) -> Reading:
        upload = an_upload(files, **options)
        recognised = module.recognise(upload)
        source = module.read(upload, recognised) if recognised else None
        return Reading(recognised, source, upload.findings.kept())

    return read_files
