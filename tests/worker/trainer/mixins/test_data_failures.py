"""What Ultralytics raises about a dataset, as the user of the job reads it."""

import io
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from app.core.tasks import Task
from app.jobs.end_reasons import EndReason
from tests.worker.trainer.customizations.in_process import Heard
from tests.worker.trainer.drawn_datasets import draw_dataset, spoil_labels
from tests.worker.trainer.jobs import a_job
from worker.trainer.compose import compose_trainer, overrides
from worker.trainer.errors import BadData, diagnose
from worker.trainer.interrupts import Interrupts
from worker.trainer.protocol import JobFile
from worker.trainer.run import TrainingRun
from worker.trainer.upstream import Loader, configure_ultralytics

TIFF = "train003.tif"


def training_loader(job: JobFile) -> Loader:
    """Return the loader of the training images, without a model."""
    configure_ultralytics(threads=job.threads)
    run = TrainingRun(job, Heard(), Interrupts())
    trainer: Any = compose_trainer(run)(overrides=overrides(job))
    trainer.model = SimpleNamespace(stride=torch.tensor([32]))
    loader: Loader = trainer.get_dataloader(
        trainer.data["train"], batch_size=4, rank=-1, mode="train"
    )
    return loader


def add_undecodable_image(folder: Path) -> None:
    """Replace an image by a TIFF of 32-bit numbers: Pillow reads it and OpenCV does not."""
    (image,) = folder.rglob("train003.png")
    Image.open(io.BytesIO(image.read_bytes())).convert("L").convert("F").save(image.with_name(TIFF))
    image.unlink()


def remove_labels(folder: Path) -> None:
    for file in folder.glob("labels/train/*.txt"):
        file.unlink()


def spoil_masks(folder: Path) -> None:
    for file in folder.glob("masks/train/*.png"):
        Image.new("L", (96, 80), 77).save(file)


def remove_images(folder: Path) -> None:
    for file in folder.glob("images/train/*.png"):
        file.unlink()


@dataclass(frozen=True)
class Fault:
    """A fault of a dataset, and what the job's error has to contain."""

    spoil: Callable[[Path], None]
    words: tuple[str, ...]
    task: Task = "detect"
    train: dict[str, object] = field(default_factory=dict)


FAULTS = {
    "no-usable-label": Fault(spoil_labels, ("train000.png: ", "out of bounds")),
    "no-label": Fault(remove_labels, ("No training image has an object",)),
    "no-images": Fault(remove_images, ("No images found in",)),
    "no-usable-mask": Fault(spoil_masks, ("train000.png: ", "mask ids"), task="semantic"),
    "not-decoded-into-memory": Fault(
        add_undecodable_image,
        (f"images/train/{TIFF} ", "OpenCV"),
        train={"cache": True},
    ),
    "not-decoded-into-memory-classify": Fault(
        add_undecodable_image,
        (f"/{TIFF} ", "OpenCV"),
        task="classify",
        train={"cache": True},
    ),
}


class TestLoader:
    @pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
    def test_a_loader_that_cannot_be_built_blames_the_file_in_plain_text(
        self, fault: Fault, tmp_path: Path
    ) -> None:
        dataset = draw_dataset(tmp_path, fault.task)
        fault.spoil(dataset)
        job = a_job(dataset, tmp_path, task=fault.task, train=fault.train)

        with pytest.raises(Exception) as raised:  # noqa: PT011 -- diagnosed below
            training_loader(job)

        found = diagnose(raised.value)
        assert (found.reason, found.hint) == (EndReason.BAD_DATA, EndReason.BAD_DATA.hint)
        assert [words for words in fault.words if words not in found.message] == []
        assert "\x1b" not in found.message
        assert ".cache" not in found.message
        assert str(tmp_path) not in found.message

    def test_a_dataset_that_the_operating_system_refuses_is_not_blamed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        job = a_job(draw_dataset(tmp_path, "detect"), tmp_path)
        monkeypatch.setattr("ultralytics.data.base.check_file_speeds", lose_the_disk)

        with pytest.raises(OSError, match="Input/output error"):
            training_loader(job)


class TestSamples:
    @pytest.mark.parametrize("task", ["detect", "classify"])
    def test_an_image_that_cannot_be_decoded_is_named_when_it_is_read(
        self, task: Task, tmp_path: Path
    ) -> None:
        dataset = draw_dataset(tmp_path, task)
        add_undecodable_image(dataset)
        samples: Any = training_loader(a_job(dataset, tmp_path, task=task)).dataset

        with pytest.raises(BadData, match=rf"train/.*{TIFF} cannot be decoded by OpenCV"):
            deque(map(samples.__getitem__, range(len(samples))), maxlen=0)

    def test_an_image_with_other_channels_than_the_dataset_is_named(self, tmp_path: Path) -> None:
        samples: Any = training_loader(a_job(draw_dataset(tmp_path, "detect"), tmp_path)).dataset
        samples.cv2_flag = 0  # as OpenCV reads a file with fewer channels than the dataset has

        with pytest.raises(BadData, match=r"images/train/train000\.png has 1 channels"):
            samples.get_image_and_label(0)

    def test_an_image_that_has_disappeared_is_not_blamed(self, tmp_path: Path) -> None:
        dataset = draw_dataset(tmp_path, "detect")
        samples: Any = training_loader(a_job(dataset, tmp_path)).dataset
        (dataset / "images/train/train000.png").unlink()

        with pytest.raises(FileNotFoundError, match="No such file"):
            samples.get_image_and_label(0)


def lose_the_disk(*_arguments: object, **_options: object) -> None:
    raise OSError(5, "Input/output error")
