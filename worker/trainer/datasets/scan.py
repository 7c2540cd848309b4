"""Scans a dataset with Ultralytics' own datasets and verification, and writes the results."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any, Final

from PIL import Image
from ultralytics.cfg import get_cfg
from ultralytics.data import dataset as stock
from ultralytics.data.build import build_yolo_dataset
from ultralytics.data.utils import check_cls_dataset, check_det_dataset, verify_image

from app.core.tasks import Task
from worker.trainer.datasets.requests import ScanReport
from worker.trainer.datasets.rows import Result, Scan, Settings
from worker.trainer.datasets.settings import settings_of
from worker.trainer.upstream import Untyped, replaced, scan_threads

SPLITS: Final = ("train", "val", "test")
NPY_HEADER_BYTES: Final = 128

Collected = dict[str, Result]


def write_scan(folder: Path, task: Task, output: Path, *, single_cls: bool) -> ScanReport:
    """Scan the images of all splits as a training of the task does, and write the results.

    Ultralytics repairs some JPEG files of the folder (8.4.190, data/utils.py:283).

    Args:
        folder: The dataset's folder, resolved.
        task: The task of the training.
        output: The new file.
        single_cls: Whether the training treats all classes as one.
    """
    results: Collected = {}
    settings: list[Settings] = []
    with _collecting(results, settings):
        channels = _build(folder, task, single_cls=single_cls)
    scan = Scan.of(settings[0], results, folder)
    return ScanReport(
        sha256=scan.write(output),
        images=len(results),
        array_bytes=sum(NPY_HEADER_BYTES + _pixels(path) * channels for path in results),
    )


def _build(folder: Path, task: Task, *, single_cls: bool) -> int:
    """Build the datasets of all splits, as the task's trainer does; return their channels."""
    arguments: Untyped = get_cfg(overrides={"task": task, "single_cls": single_cls})
    if task == "classify":
        found = check_cls_dataset(folder)
        for split in filter(found.get, SPLITS):
            stock.ClassificationDataset(found[split], arguments)
        return int(found["channels"])
    data = check_det_dataset(folder / "data.yaml")
    if single_cls:  # as in engine/trainer.py:867
        data |= {"names": {0: "item"}, "nc": 1}
    for split in filter(data.get, SPLITS):
        build_yolo_dataset(arguments, data[split], 1, data, mode="val", fraction=1.0)
    return int(data["channels"])


@contextmanager
def _collecting(results: Collected, settings: list[Settings]) -> Iterator[None]:
    """Have datasets verify all their images, and be empty then."""

    def get_labels(self: Untyped) -> list[object]:
        self.prefix = ""
        self.get_label_files()
        settings.append(settings_of(self))
        verify, images = self.verify_args()
        results.update(zip(self.im_files, _verified(verify, images), strict=True))
        return []

    def verify_images(self: Untyped) -> list[object]:
        settings.append(settings_of(self))
        images = [(sample, "") for sample in self.samples]
        files = (file for file, _ in self.samples)
        verdicts = ((file, *rest) for (file, _), *rest in _verified(verify_image, images))
        results.update(zip(files, verdicts, strict=True))
        return []

    with (
        replaced(stock.YOLODataset, "get_labels", get_labels),
        replaced(stock.ClassificationDataset, "verify_images", verify_images),
    ):
        yield


def _verified(verify: Callable[[Any], Result], images: Any) -> list[Any]:  # noqa: ANN401 -- an iterable of their arguments
    with ThreadPool(scan_threads()) as pool:
        return list(pool.imap(verify, images))


def _pixels(path: str) -> int:
    try:
        with Image.open(path) as image:
            return image.width * image.height
    except OSError:  # the scan left it out
        return 0
