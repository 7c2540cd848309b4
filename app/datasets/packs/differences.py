"""How the files of two versions differ: a merge of their manifests, which are sorted by path."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from app.datasets.packs.manifest import DATASET_YAML, ManifestFile
from app.datasets.reports.report import Change

BEHIND_IMAGES: Final = ("labels/", "masks/")
"""The folders that follow the images of a manifest, and are not read for a comparison."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One image, or the data.yaml, that differs; the digests are hex, None where it is missing."""

    path: str
    change: Change
    before: str | None
    after: str | None


class Side:
    """One of two compared manifests: its images and its data.yaml, one after another.

    The digest of a label is that of its image's entry, so label files are passed over.
    """

    def __init__(self, files: Iterable[ManifestFile]) -> None:
        images = takewhile(lambda file: not file.path.startswith(BEHIND_IMAGES), files)
        self._files = (file for file in images if file.is_image or file.path == DATASET_YAML)
        self.current = next(self._files, None)

    def advance(self) -> None:
        """Go to the next file; at the end, `current` is None."""
        self.current = next(self._files, None)


def next_difference(before: Side, after: Side) -> Difference | None:
    """Compare the next path of two manifests, and advance; None if its file is equal.

    An image whose bytes and label differ is `replaced`.
    """
    old, new = before.current, after.current
    if old is not None and (new is None or old.path < new.path):
        before.advance()
        return Difference(old.path, Change.REMOVED, old.sha256, None)
    if new is not None and (old is None or new.path < old.path):
        after.advance()
        return Difference(new.path, Change.ADDED, None, new.sha256)
    before.advance()
    after.advance()
    if old is None or new is None or (old.sha256, old.label) == (new.sha256, new.label):
        return None
    change = Change.RELABELLED if old.sha256 == new.sha256 else Change.REPLACED
    return Difference(new.path, change, old.sha256, new.sha256)


def differences(
    before: Iterable[ManifestFile], after: Iterable[ManifestFile]
) -> Iterator[Difference]:
    """Yield the images that differ, sorted by path, and the data.yaml if it differs."""
    old, new = Side(before), Side(after)
    while old.current is not None or new.current is not None:
        difference = next_difference(old, new)
        if difference is not None:
            yield difference


def count_differences(
    before: Iterable[ManifestFile], after: Iterable[ManifestFile]
) -> dict[Change, int]:
    """Return the number of differences by kind."""
    counts = Counter(difference.change for difference in differences(before, after))
    return {change: counts[change] for change in Change}
