"""Applies the frozen class weights of the spec to the class loss of every task."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from ultralytics.utils.loss import (
    E2ELoss,
    SemanticSegmentationLoss,
    v8ClassificationLoss,
    v8DetectionLoss,
)
from ultralytics.utils.torch_utils import unwrap_model

from app.jobs.spec.customize import BalancedClassWeights, InverseFrequencyClassWeights
from worker.trainer.errors import BadSpec
from worker.trainer.protocol import WarningEvent
from worker.trainer.run import TrainerMixin


class ClassWeights(TrainerMixin):
    """Weights the class loss, in training and in validation.

    `explicit` and `inverse_frequency`: overrides `set_class_weights` and `resume_training`, both
    after super. The first runs before a criterion exists and before the EMA copies the model
    (8.4.190, trainer.py:455); the second creates a new criterion for end-to-end heads
    (trainer.py:1142). The weighted criterion belongs to the model, so each copy of the model has
    one, too: the EMA, whose validation loss is in results.csv, as with a model class that weights
    its own loss, and the EMA that a resume or a recovery from NaN copies again (trainer.py:1081).
    Halving the batch keeps it.

    `balanced`: sets `cls_pw` before super and leaves the rest to Ultralytics, whose weights apply
    to positives and negatives, or to pixels (semantic).

    Adds nothing to a checkpoint: Ultralytics removes the criterion before it saves
    (trainer.py:791), and the weights are not in the state dict. Each rank computes with the same
    frozen numbers. With AMP the class loss, including the weights, is float32: autocast computes
    all of these losses in float32.
    """

    def __init__(self, *, overrides: dict[str, object]) -> None:
        choice = self.run.job.spec.customize.class_weights
        if isinstance(choice, BalancedClassWeights):
            overrides = overrides | {"cls_pw": choice.power}
        super().__init__(overrides=overrides)

    def set_class_weights(self) -> None:
        """Set the weights of the criterion, and warn about classes without labels."""
        super().set_class_weights()
        self.__weigh()
        choice = self.run.job.spec.customize.class_weights
        if isinstance(choice, InverseFrequencyClassWeights) and self.run.job.resume_from is None:
            self.__warn_of_absent_classes()

    def resume_training(self, ckpt: dict[str, Any] | None) -> None:
        """Set the weights again, since a resume may create a new criterion."""
        super().resume_training(ckpt)
        self.__weigh()

    def __weigh(self) -> None:
        weights = self.__weights()
        if weights is None:
            return
        model: Any = unwrap_model(self.model)
        criterion = getattr(model, "criterion", None) or model.init_criterion()
        model.criterion = weigh(criterion, torch.tensor(weights, device=self.device))

    def __weights(self) -> list[float] | None:
        """Return a weight for each class of the model, or None if Ultralytics sets the weights."""
        by_name = self.run.job.spec.class_weights
        if by_name is None:
            return None
        names, background = self.data["names"], self.data.get("bg_class_idx")
        return weights_by_index(by_name, names, background=background)

    def __warn_of_absent_classes(self) -> None:
        added = self.data.get("bg_class_idx") or None  # 0: none was added
        weights = enumerate(self.__weights() or [])
        light = {self.data["names"][n] for n, weight in weights if weight == 1.0 and n != added}
        # The most frequent class always has 1.0. Count labels only if there are other such classes,
        # since counting reads all masks for semantic.
        if len(light) == 1:
            return
        labels = self.__training_labels()
        for name in sorted(name for name in light if labels[name] == 0):
            message = f'Class "{name}" has no training labels; its weight is 1.0.'
            self.run.pipe.emit(WarningEvent(code="class_without_labels", message=message))

    def __training_labels(self) -> Counter[str]:
        """Count the labels of each class by name; for semantic, the pixels."""
        if self.run.job.task == "classify":
            images: Any = self.train_loader.dataset
            return Counter(self.data["names"][sample[1]] for sample in images.samples)
        counts: Counter[str] = Counter()
        for index, count in enumerate(self.get_class_counts()):
            counts[self.data["names"][index]] += int(count)
        return counts


class WeightedCrossEntropy:
    """The weighted class loss of classify (loss.py:1021), divided by the sum of used weights."""

    def __init__(self, weights: torch.Tensor) -> None:
        self.weights = weights

    def __call__(
        self,
        preds: Any,  # noqa: ANN401 # logits, or the head's validation output
        batch: Mapping[str, torch.Tensor],
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        logits = preds[1] if isinstance(preds, list | tuple) else preds
        loss = functional.cross_entropy(logits, batch["cls"], weight=self.weights, reduction="mean")
        return loss, {"loss": loss.detach()}


def weights_by_index(
    by_name: Mapping[str, float], names: Mapping[int, str], *, background: int | None = None
) -> list[float]:
    """Return a weight for each class of the model; classes with the same name share their weight.

    Ultralytics renames classes that are named by ImageNet's codes (n01440764;
    nn/autobackend.py: check_class_names), but keeps their order. In that case the weights are
    assigned by order.

    Args:
        by_name: The weight of every class of the dataset, in the dataset's order.
        names: The class names in Ultralytics, with a background that it may have added for
            polygons.
        background: The index of the background; its weight is 1.0 (semantic, data/utils.py:1049).

    Raises:
        BadSpec: A class has no weight.
    """
    own = {index: name for index, name in names.items() if index != background}
    missing = sorted(set(own.values()) - by_name.keys())
    if missing and len(by_name) == len(own):
        in_order = dict(zip(sorted(own), by_name.values(), strict=True))
        return [in_order.get(index, 1.0) for index in range(len(names))]
    if missing:
        raise BadSpec(f'class_weights: the class "{missing[0]}" of the dataset has no weight.')
    return [by_name[names[index]] if index in own else 1.0 for index in range(len(names))]


def weigh(criterion: Any, weights: torch.Tensor) -> Any:  # noqa: ANN401 # has no base class
    """Return the criterion with a weighted class loss; all except classify's change in place.

    Args:
        criterion: A criterion as a model's `init_criterion` returns it; it may already be weighted.
        weights: (classes,), float32, on the criterion's device.

    Raises:
        BadSpec: The loss is a trainer plugin's own, which this function cannot weight.
    """
    if isinstance(criterion, E2ELoss):
        weigh(criterion.one2many, weights)
        weigh(criterion.one2one, weights)
    elif isinstance(criterion, v8DetectionLoss):
        criterion.bce = nn.BCEWithLogitsLoss(pos_weight=weights, reduction="none")
    elif isinstance(criterion, SemanticSegmentationLoss):
        # Not persistent, as in loss.py:1457: the state dict of a checkpoint must not contain it.
        criterion.ce.register_buffer("weight", weights, persistent=False)
    elif type(criterion) in {v8ClassificationLoss, WeightedCrossEntropy}:
        return WeightedCrossEntropy(weights)
    else:
        raise BadSpec(f"class_weights: the loss {type(criterion).__name__} cannot be weighted.")
    return criterion
