"""An archive of small pictures that look different, and of copies that look alike."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from app.datasets.archives.audit import open_archive
from app.datasets.reports.findings import Findings
from app.datasets.reports.report import ImportOptions, Limits, SplitShares
from app.datasets.verification.members import MemberReader
from app.datasets.verification.source import Upload
from app.datasets.verification.tree import tree_of
from tests.datasets.builders import a_zip, encoded


def a_scene(number: int) -> Image.Image:
    """Return a picture of smooth random patches; two numbers give two different pictures."""
    patches = np.random.default_rng(number).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    return Image.fromarray(patches).resize((90, 80), Image.Resampling.BICUBIC)


def a_photograph(number: int) -> bytes:
    return encoded(a_scene(number), "JPEG", quality=90)


def a_copy(number: int, brightness: float = 1.1) -> bytes:
    """Return the picture of `a_photograph`, smaller, with another brightness and quality."""
    lit = ImageEnhance.Brightness(a_scene(number)).enhance(brightness)
    return encoded(lit.resize((63, 56)), "JPEG", quality=60)


@contextmanager
def an_upload(
    path: Path, files: Mapping[str, bytes], splits: SplitShares | None = None
) -> Iterator[Upload]:
    """Open the files as an upload that sends `splits`."""
    findings, limits = Findings("lenient"), Limits()
    with open_archive(a_zip(path, dict(files)), limits, findings) as archive:
        assert archive is not None
        members = MemberReader(archive, tree_of(archive.members), findings, limits)
        yield Upload(members, ImportOptions(splits=splits))
