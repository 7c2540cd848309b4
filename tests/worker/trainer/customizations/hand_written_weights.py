"""Class weights as a user would write them, with a separate model class."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.nn.tasks import DetectionModel

from worker.trainer.upstream import Untyped

IN_ORDER = (4.0, 0.5, 1.0)


class WeightedModel(DetectionModel):
    """A model class whose loss has weights, as guides show it."""

    def init_criterion(self) -> Untyped:
        criterion: Any = super().init_criterion()  # type: ignore[no-untyped-call] # Ultralytics is untyped
        branches: list[Any] = [getattr(criterion, name, None) for name in ("one2many", "one2one")]
        for branch in branches if all(branches) else [criterion]:
            branch.bce = torch.nn.BCEWithLogitsLoss(
                pos_weight=torch.tensor(self.class_loss_weights), reduction="none"
            )
        return criterion

    class_loss_weights: Sequence[float]


class WeightedByHand(DetectionTrainer):
    class_loss_weights: ClassVar[Sequence[float]] = IN_ORDER

    def get_model(
        self,
        cfg: Untyped = None,
        weights: Untyped = None,
        verbose: bool = True,  # noqa: FBT001, FBT002 # as upstream has it
    ) -> Untyped:
        model = WeightedModel(  # type: ignore[no-untyped-call] # Ultralytics is untyped
            cfg, nc=self.data["nc"], ch=self.data["channels"], verbose=verbose
        )
        model.class_loss_weights = self.class_loss_weights
        model.names = self.data["names"]
        if weights:
            model.load(weights)  # type: ignore[no-untyped-call] # Ultralytics is untyped
        return model


class WeightedOtherwiseByHand(WeightedByHand):
    class_loss_weights = (4.0, 0.5, 1.25)
