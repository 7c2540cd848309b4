"""The facts about the dataset and the model of a spec that decide what its arguments do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.core.tasks import Task

RunningMaximum = Mapping[str, Sequence[tuple[int, int]]]
"""By split, each image with more objects than all images before it: (position, objects)."""


@dataclass(frozen=True)
class SpecFacts:
    """The facts about the dataset and the model that a spec names.

    Args:
        dataset_version: the id of the version.
        task: the task of the job.
        classes: the names of the dataset's classes, in class order.
        class_counts: labels of each class in the training split.
        architecture: the shipped yaml of the model; None if it is another architecture.
        layers_with_parameters: indices of the model's layers with trainable parameters.
        images: images of the dataset, by split; empty if they are not known.
        channels: channels of the images.
        keypoints: for a dataset with keypoints, their number and the values of each.
        running_max_objects: of label files; None if an earlier release verified the dataset and
            its pack has not been read yet, or if the targets are no label files.
        has_flip_idx: whether the data.yaml has `flip_idx`; None as above.
        has_masks: whether the targets are masks; None as above.
    """

    dataset_version: str
    task: Task
    classes: Sequence[str] = ()
    class_counts: Mapping[str, int] = field(default_factory=dict)
    architecture: str | None = None
    layers_with_parameters: frozenset[int] = frozenset()
    images: Mapping[str, int] = field(default_factory=dict)
    channels: int = 3
    keypoints: tuple[int, int] | None = None
    running_max_objects: RunningMaximum | None = None
    has_flip_idx: bool | None = None
    has_masks: bool | None = None


def images_used(fraction: float, available: int) -> int:
    """Return the number of training images that `fraction` selects, the first ones by name.

    Classification selects as many, but evenly spaced (Ultralytics 8.4.190, data/base.py:224,
    data/dataset.py:1213). A whole number above 1 is a number of images, any other a share.
    """
    is_number = isinstance(fraction, int) and fraction > 1
    count = int(fraction) if is_number else max(1, round(available * fraction))
    return min(count, available)
