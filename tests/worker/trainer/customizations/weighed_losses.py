"""The expected class losses, computed from their formulas with torch's primitives alone."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch.nn import functional

from app.core.tasks import Task
from worker.trainer.upstream import Untyped


def losses_of_branches(
    criterion: Untyped, predictions: Untyped, batch: Mapping[str, Any]
) -> Iterator[tuple[Mapping[str, torch.Tensor], torch.Tensor, torch.Tensor, float]]:
    """Yield the loss items, logits, target scores and cls gain of each branch.

    An untrained model detects no object: target scores are scaled to a maximum of 1, as rounding
    would otherwise hide the positive term.
    """
    names = ("one2many", "one2one") if hasattr(criterion, "one2one") else ("",)
    for name in names:
        branch = getattr(criterion, name) if name else criterion
        output = predictions[name] if name else predictions
        enlarged: list[torch.Tensor] = []

        def enlarge(
            _module: Untyped,
            _inputs: Untyped,
            assigned: Untyped,
            kept: list[torch.Tensor] = enlarged,
        ) -> tuple[torch.Tensor, ...]:
            kept.append(assigned[2] / assigned[2].max())
            return (*assigned[:2], kept[0], *assigned[3:])

        hook = branch.assigner.register_forward_hook(enlarge)
        items = branch.loss(output, batch)[1]
        hook.remove()
        yield items, output["scores"].detach().permute(0, 2, 1), enlarged[0], branch.hyp.cls


def cls_loss_by_hand(
    logits: torch.Tensor, targets: torch.Tensor, weights: Sequence[float], gain: float
) -> float:
    """Sum w t softplus(-x) + (1 - t) softplus(x), over the sum of targets; shapes (n, a, c)."""
    x, t, w = logits.double(), targets.double(), torch.tensor(weights).double()
    terms = w * t * functional.softplus(-x) + (1 - t) * functional.softplus(x)
    return float(gain * terms.sum() / t.sum().clamp(min=1))


def assert_weighs_boxes(model: Untyped, batch: Mapping[str, Any], weights: Sequence[float]) -> None:
    """Assert that each branch weights its class loss and no other loss."""
    predictions = model.train()(batch["img"])
    ours = list(losses_of_branches(model.criterion, predictions, batch))
    plain = list(losses_of_branches(model.init_criterion(), predictions, batch))
    assert len(ours) == (2 if hasattr(model.criterion, "one2one") else 1)
    for (items, logits, targets, gain), (unweighted, *_) in zip(ours, plain, strict=True):
        by_hand = cls_loss_by_hand(logits, targets, weights, gain)
        assert float(items["cls_loss"]) == pytest.approx(by_hand, rel=1e-4)
        assert float(items["cls_loss"]) != pytest.approx(float(unweighted["cls_loss"]), rel=1e-3)
        assert items.keys() == unweighted.keys()
        for name in items.keys() - {"cls_loss"}:
            assert torch.equal(items[name], unweighted[name]), name


def cross_entropy_by_hand(
    logits: torch.Tensor, targets: torch.Tensor, weights: Sequence[float]
) -> float:
    """Return the weighted mean of -log p of the true class; shapes (n, c) and (n,)."""
    w = torch.tensor(weights).double()[targets]
    true = logits.double().log_softmax(1).gather(1, targets[:, None])[:, 0]
    return float(-(w * true).sum() / w.sum())


def assert_weighs_images(
    model: Untyped, batch: Mapping[str, Any], weights: Sequence[float]
) -> None:
    logits = model.train()(batch["img"]).detach()
    loss, items = model.criterion(logits, batch)
    by_hand = cross_entropy_by_hand(logits, batch["cls"], weights)
    assert float(loss) == float(items["loss"]) == pytest.approx(by_hand, rel=1e-5)
    assert float(loss) != pytest.approx(float(model.init_criterion()(logits, batch)[0]), rel=1e-3)


def assert_weighs_pixels(
    model: Untyped, batch: Mapping[str, Any], weights: Sequence[float]
) -> None:
    predictions = model.train()(batch["img"])
    items = model.criterion(predictions, batch)[1]
    plain = model.init_criterion()(predictions, batch)[1]
    main, auxiliary = (pixels_of(output, batch) for output in predictions)
    by_hand = cross_entropy_by_hand(*main, weights)
    assert float(items["ce_loss"]) == pytest.approx(by_hand, rel=1e-5)
    assert float(items["ce_loss"]) != pytest.approx(float(plain["ce_loss"]), rel=1e-3)
    by_hand = 0.4 * cross_entropy_by_hand(*auxiliary, weights)
    assert float(items["aux_loss"]) == pytest.approx(by_hand, rel=1e-5)
    assert torch.equal(items["dice_loss"], plain["dice_loss"])


def pixels_of(output: torch.Tensor, batch: Mapping[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits (n, c) and classes (n,) of the pixels that have a class."""
    masks = batch["semantic_mask"].long()
    size = masks.shape[1:]
    sized = functional.interpolate(output.detach(), size, mode="bilinear", align_corners=False)
    labelled = masks != 255
    return sized.permute(0, 2, 3, 1)[labelled], masks[labelled]


ASSERT_WEIGHS: dict[Task, Callable[[Any, Mapping[str, Any], Sequence[float]], None]] = {
    "detect": assert_weighs_boxes,
    "classify": assert_weighs_images,
    "semantic": assert_weighs_pixels,
}
