"""Has Ultralytics' datasets read what was prepared instead of scanning and decoding again.

Everything that a training sees is equal: labels, messages, errors, and the random numbers that the
skipped checks draw.
"""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from ultralytics.data import dataset as stock
from ultralytics.data.base import BaseDataset
from ultralytics.data.utils import HELP_URL, check_file_speeds

from worker.trainer.datasets.rows import Result, Scan, ScanDamaged, Settings
from worker.trainer.datasets.settings import settings_of
from worker.trainer.protocol import DatasetScan
from worker.trainer.upstream import Untyped, log_line, replaced

SAMPLED_IMAGES: Final = 30
"""Images that the check of the room for arrays draws (8.4.190, data/base.py:363)."""


@dataclass(frozen=True)
class PreparedScan:
    """A scan of the dataset in one folder; `results` by the absolute paths of the images."""

    settings: Settings
    results: Mapping[str, Result]

    @classmethod
    def read(cls, scan: DatasetScan, folder: Path) -> Self:
        """Read the scan of a job for the dataset in `folder`.

        Raises:
            ScanDamaged: The file is not the one that the worker verified.
        """
        rows = Scan.read(scan.path, scan.sha256)
        return cls(rows.settings, dict(rows.results(folder.resolve())))

    def of(self, dataset: Untyped, images: list[str]) -> list[Result]:
        """Return the results of images of a dataset, in their order.

        Raises:
            ScanDamaged: The scan was made for other images, or with other settings.
        """
        if settings_of(dataset) != self.settings:
            raise ScanDamaged("it was made for other settings")
        try:
            return [self.results[image] for image in images]
        except KeyError as error:
            raise ScanDamaged(f"it has no image {Path(error.args[0]).name}") from error


@contextmanager
def reading_scan(scan: PreparedScan) -> Iterator[None]:
    """Have each dataset that is built in the block take its labels from the scan."""
    own_scan, own_check = (
        stock.YOLODataset._load_or_scan_cache,  # noqa: SLF001 -- where a warm cache is read
        stock.ClassificationDataset.verify_images,
    )

    def cached_labels(self: Untyped, path: Path, digest: str) -> tuple[dict[str, Any], bool]:
        try:
            results = scan.of(self, self.im_files)
        except ScanDamaged as error:
            log_line(f"{self.prefix}{scanned_again(error)}")
            found: tuple[dict[str, Any], bool] = own_scan(self, path, digest)
            return found
        return _as_cache(self, path, results), True

    def kept_samples(self: Untyped) -> list[tuple[str, int]]:
        try:
            results = scan.of(self, [file for file, _ in self.samples])
        except ScanDamaged as error:
            log_line(f"{self.prefix}{scanned_again(error)}")
            samples: list[tuple[str, int]] = own_check(self)
            return samples
        return _kept_samples(self, results)

    with (
        replaced(stock.YOLODataset, "_load_or_scan_cache", cached_labels),
        replaced(stock.ClassificationDataset, "verify_images", kept_samples),
    ):
        yield


@contextmanager
def reading_arrays(*, are_there: bool) -> Iterator[None]:
    """Have each dataset with `cache: "disk"` that is built in the block read arrays, or images.

    Neither checks for room nor writes an array. Draws the random numbers of the check in both
    cases, so that the same job gives the same numbers on a worker without room.
    """

    def check_cache_disk(self: Untyped, _margin: float = 0.1) -> bool:
        for _ in range(min(self.ni, SAMPLED_IMAGES)):
            random.choice(self.im_files)  # noqa: S311 -- as Ultralytics does
        self.cache = "disk" if are_there else None
        return False  # True would have it look for each array, to write it if it is missing

    with replaced(BaseDataset, "check_cache_disk", check_cache_disk):
        yield


@contextmanager
def keeping_no_cache() -> Iterator[None]:
    """Have no dataset that is built in the block write a file `labels.cache` into its folder."""

    def save(_prefix: str, _path: Path, x: dict[str, object], version: str) -> None:
        x["version"] = version

    with replaced(stock, "save_dataset_cache_file", save):
        yield


def scanned_again(why: ScanDamaged) -> str:
    """Return the log line for a scan that cannot be used."""
    return f"The prepared scan of the dataset is not used, since {why}: it is scanned again."


def _as_cache(dataset: Untyped, path: Path, results: list[Result]) -> dict[str, Any]:
    """Return what Ultralytics' scan would return (8.4.190, data/dataset.py:123).

    Raises:
        ValueError: No image of a training split has labels.
    """
    labels, messages, counts = [], [], [0, 0, 0, 0]
    for result in results:
        label, missing, found, empty, corrupt, message = dataset.result_to_label(result)
        for place, number in enumerate((found, missing, empty, corrupt)):
            counts[place] += number
        if label is not None:
            labels.append(label)
        if message:
            messages.append(f"{dataset.prefix}{message}")
    if counts[0] == 0 and labels and dataset.augment:
        raise ValueError(f"{dataset.prefix}No labels found in {path}. {HELP_URL}")
    summary = dataset.scan_summary(*counts)
    log_line(f"{dataset.prefix}Labels from the scan of this dataset version: {summary}")
    return {
        "labels": labels,
        "hash": "",
        "results": (*counts, len(results)),
        "msgs": messages,
        "version": stock.DATASET_CACHE_VERSION,
    }


def _kept_samples(dataset: Untyped, results: list[Result]) -> list[tuple[str, int]]:
    """Return what `ClassificationDataset.verify_images` would (data/dataset.py:1327)."""
    check_file_speeds([file for file, _ in dataset.samples[:5]], prefix=dataset.prefix)
    messages = [f"{dataset.prefix}{message}" for *_, message in results if message]
    if messages:
        log_line("\n".join(messages))
    verdicts = zip(dataset.samples, results, strict=True)
    kept = [sample for sample, (_, found, _, _) in verdicts if found]
    corrupt = len(results) - len(kept)
    log_line(f"{dataset.prefix}Scan of this dataset version: {len(kept)} images, {corrupt} corrupt")
    return kept
