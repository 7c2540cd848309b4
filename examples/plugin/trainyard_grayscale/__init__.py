"""A trainer plugin that turns some training images gray and reports their share per epoch.

For cameras that switch to infrared at night: a model that relies on colour goes blind there.
Ultralytics' own `hsv_s` only weakens colours, by a random amount for every image.
"""

from typing import Any, ClassVar

import torch
from pydantic import Field

from worker.trainer.plugins import PluginOptions, TrainerPlugin

METRIC = "grayscale/share"
RED, GREEN, BLUE = 0.299, 0.587, 0.114
"""Weights of the channels in luminance (ITU-R BT.601)."""


class GrayscaleOptions(PluginOptions):
    """The fields of a job's `trainer.options`."""

    probability: float = Field(
        default=0.25, ge=0, le=1, description="Chance of each training image to lose its colours."
    )


class Grayscale:
    """A mixin for a task's trainer: changes and counts images after Ultralytics made a batch."""

    plugin_options: GrayscaleOptions
    epoch: int
    args: Any

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401 -- handed through
        self.begin_epoch(0)
        super().__init__(*arguments, **options)

    def begin_epoch(self, seed: int) -> None:
        """Reset the count and the plugin's own generator; the job's other random numbers stay.

        With the seed, a resumed job draws the same numbers as an uninterrupted one.
        """
        self.images = self.grayscale_images = 0
        self.random = torch.Generator().manual_seed(seed)

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Turn some images gray; the batch is (n, 3, height, width), RGB from 0 to 1."""
        batch = super().preprocess_batch(batch)  # type: ignore[misc] # the trainer has it
        images = batch["img"]
        drawn = torch.rand(len(images), generator=self.random) < self.plugin_options.probability
        weights = images.new_tensor([RED, GREEN, BLUE]).view(1, 3, 1, 1)
        luminance = (images * weights).sum(1, keepdim=True).expand_as(images)
        batch["img"] = torch.where(drawn.to(images.device).view(-1, 1, 1, 1), luminance, images)
        self.images += len(images)
        self.grayscale_images += int(drawn.sum())
        return batch

    def validate(self) -> tuple[dict[str, float] | None, float | None]:
        """Add the plugin's metric: a column of results.csv and a series of the API."""
        metrics, fitness = super().validate()  # type: ignore[misc] # the trainer has it
        if metrics is None:
            return None, None
        share = self.grayscale_images / self.images if self.images else 0.0
        return {**metrics, METRIC: share}, fitness


def begin_epoch(trainer: Any) -> None:  # noqa: ANN401 -- the composed trainer
    """Start the count of an epoch."""
    trainer.begin_epoch(trainer.args.seed + trainer.epoch)


class GrayscalePlugin(TrainerPlugin):
    """The plugin that the entry point names."""

    Options = GrayscaleOptions
    tasks = frozenset({"detect", "segment", "pose", "obb"})
    mixins = (Grayscale,)
    callbacks: ClassVar = {"on_train_epoch_start": begin_epoch}
