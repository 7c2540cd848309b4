"""A dataset that is built from what was prepared equals the one that Ultralytics makes itself."""

import logging
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from PIL import Image
from ultralytics.cfg import get_cfg
from ultralytics.data.build import build_yolo_dataset
from ultralytics.data.dataset import ClassificationDataset
from ultralytics.data.utils import check_cls_dataset, check_det_dataset
from ultralytics.utils import LOGGER

from app.core.tasks import Task
from tests.worker.trainer.drawn_datasets import draw_dataset
from worker.trainer.datasets.arrays import write_arrays
from worker.trainer.datasets.reading import (
    PreparedScan,
    keeping_no_cache,
    reading_arrays,
    reading_scan,
)
from worker.trainer.datasets.rows import ScanDamaged
from worker.trainer.datasets.scan import write_scan
from worker.trainer.protocol import DatasetScan

TASKS: tuple[Task, ...] = ("detect", "segment", "pose", "obb", "classify", "semantic", "depth")
BOX_TASKS: tuple[Task, ...] = ("detect", "segment", "pose", "obb")
BAD_PIXEL_ROWS = 5

Untyped: TypeAlias = Any
"""Ultralytics has no types."""


def a_messy_dataset(root: Path, task: Task) -> Path:
    """Draw a dataset in which Ultralytics drops, repairs and remarks some files."""
    shutil.rmtree(root, ignore_errors=True)
    folder = draw_dataset(root, task)
    images = sorted((folder / "images" / "train").glob("*.png"))
    if task == "classify":
        images = sorted((folder / "train").glob("*/*.png"))
    Image.new("RGB", (BAD_PIXEL_ROWS, BAD_PIXEL_ROWS)).save(images[0])
    images[1].write_bytes(b"no image")
    for number, image in enumerate(images[2:4]):
        jpeg = image.with_suffix(".jpg")
        Image.open(image).convert("RGB").save(jpeg, quality=95)
        image.unlink()
        if number == 0:
            jpeg.write_bytes(jpeg.read_bytes() + b"\0\0")
    if task in BOX_TASKS:
        labels = sorted((folder / "labels" / "train").glob("*.txt"))
        labels[4].unlink()
        labels[5].write_text("")
        labels[6].write_text(labels[6].read_text() * 2)
        labels[7].write_text("77 0.5 0.5 0.1 0.1\n")
    return folder


@contextmanager
def messages() -> Iterator[list[str]]:
    """Collect what Ultralytics says about files."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.extend(record.getMessage().splitlines())  # type: ignore[method-assign]
    LOGGER.addHandler(handler)
    try:
        yield lines
    finally:
        LOGGER.removeHandler(handler)


def about_files(lines: list[str], folder: Path) -> list[str]:
    remarks = ("ignoring", "restored", "duplicate", "missing")
    return [line for line in lines if f"{folder}/" in line and any(map(line.__contains__, remarks))]


def built(folder: Path, task: Task, *, mode: str = "train", **arguments: object) -> Untyped:
    """Build a dataset as the trainer of its task does."""
    cfg: Untyped = get_cfg(overrides={"task": task, **arguments})
    if task == "classify":
        found = check_cls_dataset(folder)
        return ClassificationDataset(
            found[mode], cfg, augment=mode == "train", prefix=mode, names=found["names"]
        )
    data = check_det_dataset(folder / "data.yaml")
    if cfg.single_cls:
        data |= {"names": {0: "item"}, "nc": 1}
    return build_yolo_dataset(cfg, data[mode], 4, data, mode=mode, rect=mode == "val")


def a_scan(folder: Path, task: Task, *, single_cls: bool = False) -> PreparedScan:
    file = folder.parent / "scan.npz"
    report = write_scan(folder.resolve(), task, file, single_cls=single_cls)
    return PreparedScan.read(DatasetScan(path=file, sha256=report.sha256), folder)


def built_from_scan(folder: Path, task: Task, **arguments: Untyped) -> Untyped:
    scan = a_scan(folder, task, single_cls=bool(arguments.get("single_cls")))
    with keeping_no_cache(), reading_scan(scan):
        return built(folder, task, **arguments)


def plain(value: Untyped) -> Untyped:
    """Return a value whose arrays are their types, shapes and bytes, for comparison."""
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return type(value), [plain(each) for each in value]
    return type(value), value


def content_of(dataset: Untyped) -> Untyped:
    if isinstance(dataset, ClassificationDataset):
        return plain([list(sample) for sample in dataset.samples])
    found = {"labels": dataset.labels, "files": dataset.im_files, "mask": dataset.data}
    return plain(found | {"shapes": getattr(dataset, "batch_shapes", None)})


def names_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


CASES: dict[str, tuple[Task, Task, dict[str, Untyped]]] = {
    **{task: (task, task, {}) for task in TASKS},
    "polygons as masks": ("segment", "semantic", {}),
    "pose as boxes": ("pose", "detect", {}),
    "one class": ("detect", "detect", {"single_cls": True}),
    "some images": ("segment", "segment", {"fraction": 0.5}),
    "validation": ("obb", "obb", {"mode": "val"}),
    "masks for validation": ("semantic", "semantic", {"mode": "val"}),
    "classes for validation": ("classify", "classify", {"mode": "val"}),
}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path.resolve()


class TestTheScan:
    @pytest.mark.parametrize("case", CASES)
    def test_a_dataset_from_a_scan_equals_ultralytics_own(self, case: str, place: Path) -> None:
        drawn, task, arguments = CASES[case]
        folder = a_messy_dataset(place / "data", drawn)
        with messages() as theirs:
            stock = content_of(built(folder, task, **arguments))
        folder = a_messy_dataset(place / "data", drawn)

        with messages() as ours:
            dataset = content_of(built_from_scan(folder, task, **arguments))

        assert dataset == stock
        assert about_files(ours, folder) == about_files(theirs, folder)

    @pytest.mark.parametrize("task", ["detect", "classify"])
    def test_a_dataset_from_a_scan_writes_no_file(self, task: Task, place: Path) -> None:
        folder = a_messy_dataset(place / "data", task)
        scan = a_scan(folder, task)
        before = names_in(folder)

        with keeping_no_cache(), reading_scan(scan):
            built(folder, task)

        assert names_in(folder) == before

    def test_a_training_split_without_labels_is_refused_as_by_ultralytics(
        self, place: Path
    ) -> None:
        folder = draw_dataset(place, "detect")
        for label in folder.glob("labels/train/*"):
            label.unlink()
        with pytest.raises(ValueError, match="No labels found in") as theirs:
            built(folder, "detect")

        with pytest.raises(ValueError, match="No labels found in") as ours:
            built_from_scan(folder, "detect")

        assert str(ours.value) == str(theirs.value)

    def test_a_scan_of_other_settings_is_not_used_and_the_log_says_so(self, place: Path) -> None:
        folder = a_messy_dataset(place / "data", "pose")
        scan = a_scan(folder, "pose")
        stock = content_of(built(folder, "detect"))

        with messages() as lines, keeping_no_cache(), reading_scan(scan):
            dataset = content_of(built(folder, "detect"))

        assert dataset == stock
        assert any("it was made for other settings: it is scanned again" in line for line in lines)

    def test_a_scan_without_an_image_of_the_dataset_is_not_used(self, place: Path) -> None:
        folder = draw_dataset(place, "detect")
        scan = a_scan(folder, "detect")
        shutil.copy(folder / "images/train/train000.png", folder / "images/train/new.png")

        with keeping_no_cache(), reading_scan(scan):
            dataset = built(folder, "detect")

        assert str(folder / "images/train/new.png") in dataset.im_files

    @pytest.mark.parametrize("damage", ["cut", "changed", "missing"])
    def test_a_damaged_scan_is_not_read(self, damage: str, place: Path) -> None:
        folder, file = draw_dataset(place, "detect"), place / "scan.npz"
        report = write_scan(folder, "detect", file, single_cls=False)
        content = file.read_bytes()
        file.write_bytes(content[:-9] if damage == "cut" else content.replace(b"train", b"drain"))
        if damage == "missing":
            file.unlink()

        with pytest.raises(ScanDamaged):
            PreparedScan.read(DatasetScan(path=file, sha256=report.sha256), folder)

    def test_a_scan_contains_no_pickle(self, place: Path) -> None:
        folder = a_messy_dataset(place / "data", "segment")

        write_scan(folder, "segment", place / "scan.npz", single_cls=False)

        with np.load(place / "scan.npz", allow_pickle=False) as arrays:
            assert all(arrays[name].dtype != object for name in arrays.files)


def arrays_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.npy")}


def all_images(folder: Path, task: Task) -> None:
    """Read every image of a dataset with `cache: "disk"`, as a training does."""
    for mode in ("train", "val"):
        dataset = built(folder, task, mode=mode, cache="disk")
        for number in range(len(dataset)):
            dataset[number]


class TestTheArrays:
    @pytest.mark.parametrize("task", ["detect", "classify", "depth"])
    def test_the_arrays_are_the_files_that_ultralytics_writes(
        self, task: Task, place: Path
    ) -> None:
        theirs, ours = draw_dataset(place / "a", task), draw_dataset(place / "b", task)
        all_images(theirs, task)

        report = write_arrays(ours, task)

        assert arrays_in(ours) == arrays_in(theirs)
        assert report.arrays == len(arrays_in(theirs))
        assert report.array_bytes == sum(map(len, arrays_in(ours).values()))

    @pytest.mark.parametrize("channels", [1, 4])
    def test_arrays_have_the_channels_of_the_dataset(self, channels: int, place: Path) -> None:
        folders = [draw_dataset(place / name, "detect") for name in ("a", "b")]
        for folder in folders:
            for image in folder.rglob("*.png"):
                mode = {1: "L", 4: "RGBA"}[channels]
                Image.open(image).convert(mode).save(image)
            with (folder / "data.yaml").open("a") as yaml:
                yaml.write(f"channels: {channels}\n")
        built(folders[0], "detect", cache="disk")
        built(folders[0], "detect", mode="val", cache="disk")

        write_arrays(folders[1], "detect")

        assert arrays_in(folders[1]) == arrays_in(folders[0])

    def test_a_scan_knows_the_size_of_the_arrays(self, place: Path) -> None:
        folder = draw_dataset(place, "obb")
        scanned = write_scan(folder, "obb", place / "scan.npz", single_cls=False)

        written = write_arrays(folder, "obb")

        assert scanned.array_bytes == written.array_bytes

    @pytest.mark.parametrize("are_there", [True, False])
    def test_random_numbers_and_images_are_those_of_ultralytics_own_cache(
        self, place: Path, *, are_there: bool
    ) -> None:
        theirs, ours = draw_dataset(place / "a", "detect"), draw_dataset(place / "b", "detect")
        random.seed(7)
        stock = built(theirs, "detect", cache="disk")
        drawn = random.random()
        if are_there:
            write_arrays(ours, "detect")
        before = names_in(ours) | {"labels/train.cache"}

        random.seed(7)
        with reading_arrays(are_there=are_there):
            dataset = built(ours, "detect", cache="disk")

        assert random.random() == drawn
        images = [plain(dataset.load_image(number)) for number in range(len(dataset))]
        assert images == [plain(stock.load_image(number)) for number in range(len(stock))]
        assert names_in(ours) == before
        assert dataset.cache == ("disk" if are_there else None)
