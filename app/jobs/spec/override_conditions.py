"""When Ultralytics overrides or refuses arguments: the conditions of `overridden_arguments`.

Each is a function of what was asked. Where a fact is not known, it is false.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from app.core.tasks import Task
from app.jobs.spec.spec_facts import SpecFacts, images_used
from app.jobs.spec.train_arguments import TrainArguments
from app.models.architectures import Family, architecture

STRIDE: Final = 32
"""Of every shipped model. A model with a larger one needs larger images, never smaller ones."""
SMALLEST_SIDE: Final = 2 * STRIDE
BATCH_ON_CPU: Final = 16
"""Used on a CPU in place of a share of the GPU's memory (Ultralytics 8.4.190, autobatch.py:82)."""
DEFAULT_MAX_DET: Final = 300
COLOURS: Final = 3
LARGEST_HUE: Final = 0.5
"""Of `ColorJitter` of torchvision."""
VISIBLE_KEYPOINT: Final = 3
"""The values of a keypoint with visibility: x, y, visible."""
ADAM_FAMILY: Final = frozenset({"Adam", "Adamax", "AdamW", "NAdam", "RAdam"})

_WITH_BOXES: Final[frozenset[Task]] = frozenset({"detect", "segment", "pose", "obb"})


@dataclass(frozen=True)
class AskedArguments:
    """The arguments of a job, and the facts that decide what they do.

    Args:
        train: every argument that applies to the task, with its value.
        model: the model as the spec names it.
        gpus: the GPUs that the spec asks for.
        has_plugin: whether a trainer plugin trains.
        facts: about dataset and model.
    """

    train: TrainArguments
    model: str
    gpus: int | None
    has_plugin: bool
    facts: SpecFacts

    @property
    def task(self) -> Task:
        """The task of the job."""
        return self.facts.task

    @property
    def is_on_cpu(self) -> bool:
        """Whether the job can run on a CPU only."""
        return self.gpus == 0

    @property
    def batch(self) -> int | None:
        """The images of a batch; None if the memory of a GPU decides."""
        if self.train.batch >= 1:
            return int(self.train.batch)
        return BATCH_ON_CPU if self.is_on_cpu else None

    @property
    def images(self) -> int:
        """The training images that `fraction` selects; 0 if their number is not known."""
        return images_used(self.train.fraction, self.facts.images.get("train", 0))

    @property
    def imgsz(self) -> int:
        """The side of the images, a multiple of the stride."""
        return math.ceil(self.train.imgsz / STRIDE) * STRIDE

    @property
    def smallest_side(self) -> int:
        """The smallest side of a batch, with `multi_scale`."""
        smallest = int(self.imgsz * (1 - self.train.multi_scale))
        return max(STRIDE, smallest) // STRIDE * STRIDE

    @property
    def most_objects(self) -> int:
        """The objects of the image that has most of them, in the splits used; 0 if not known."""
        return max((objects for _, objects in self._records_used()), default=0)

    def _records_used(self) -> Iterator[tuple[int, int]]:
        records = self.facts.running_max_objects or {}
        yield from (row for row in records.get("train", ()) if row[0] < self.images)
        yield from records.get(self.train.split, ())

    @property
    def family(self) -> Family | None:
        """The family of a shipped architecture; None for any other."""
        shipped = architecture(self.facts.architecture or "")
        return None if shipped is None else shipped.family

    def details(self) -> Mapping[str, object]:
        """Return the values that messages mention."""
        return {
            "architecture": self.facts.architecture,
            "batch": self.batch,
            "channels": self.facts.channels,
            "images": self.images,
            "asked_imgsz": self.train.imgsz,
            "imgsz": self.imgsz,
            "most_objects": self.most_objects,
            "optimizer": self.train.optimizer,
            "side": self.smallest_side,
        }


def changes_hue_too_much(asked: AskedArguments) -> bool:
    """Return whether torchvision refuses the change of hue of a classification."""
    is_applied = asked.task == "classify" and asked.train.auto_augment is None
    return is_applied and asked.train.hsv_h > LARGEST_HUE


def last_batch_has_one_image(asked: AskedArguments) -> bool:
    """Return whether batch normalization would get one value per channel from the last batch.

    On several devices each has a batch of its own; a job has at most one.
    """
    if asked.batch is None or not asked.images or asked.smallest_side >= SMALLEST_SIDE:
        return False
    batch = min(asked.batch, asked.images)
    return (asked.images % batch or batch) == 1


def trains_only_backgrounds(asked: AskedArguments) -> bool:
    """Return whether none of the training images that `fraction` selects has an object."""
    records = asked.facts.running_max_objects
    if records is None or not asked.images:
        return False
    return not any(position < asked.images for position, _ in records.get("train", ()))


def lacks_flip_idx(asked: AskedArguments) -> bool:
    """Return whether the keypoints of a flipped image would be wrong."""
    return asked.task == "pose" and asked.facts.has_flip_idx is False


def has_crowded_images(asked: AskedArguments) -> bool:
    """Return whether an image has more objects than the default of `max_det`."""
    is_default = asked.train.max_det == DEFAULT_MAX_DET
    return asked.task in _WITH_BOXES and is_default and asked.most_objects > DEFAULT_MAX_DET


def has_no_visibility(asked: AskedArguments) -> bool:
    """Return whether each keypoint has two values, x and y."""
    values = VISIBLE_KEYPOINT if asked.facts.keypoints is None else asked.facts.keypoints[1]
    return asked.task == "pose" and values < VISIBLE_KEYPOINT


def is_of_an_older_family(asked: AskedArguments) -> bool:
    """Return whether the model has neither an NMS-free head nor a residual loss of keypoints."""
    return asked.family not in {None, "yolo26"}
