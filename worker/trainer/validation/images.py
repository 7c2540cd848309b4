"""Judges each image of a validation: how bad it is, and what is wrong. One class per kind of task.

A judge watches one method of the validator: it looks at what the method gets, before the method
acts, and changes nothing of it.
"""

import copy
from collections.abc import Sequence
from functools import partial
from typing import Any, Final, Protocol

import numpy as np
import torch
from torch.nn import functional
from ultralytics.utils import ops
from ultralytics.utils.metrics import batch_probiou, box_iou

from worker.trainer.upstream import Untyped
from worker.trainer.validation.curves import DIGITS, Json
from worker.trainer.validation.matches import CONF, IOU, Matches, errors_by_class, matched
from worker.trainer.validation.worst import WorstRecord

MOST_LIKELY: Final = 5
"""Listed classes of a wrongly classified image."""
IGNORED: Final = 255
"""Pixels of a mask that do not count (metrics.py:1736)."""


class Judge(Protocol):
    """Judges the images of one task.

    Attributes:
        conf, iou: those of its matches, if it has any.
        method: the validator's method that it watches.
    """

    conf: float | None
    iou: float | None
    method: str

    def note(self, validator: Untyped, kept: WorstRecord, /, *arguments: Untyped) -> None:
        """Note the images in the arguments of a call of the method."""


class BoxJudge:
    """Detect, segment, pose and obb: matches of boxes."""

    conf: float | None = CONF
    iou: float | None = IOU
    method = "_process_batch"

    def note(self, validator: Untyped, kept: WorstRecord, /, *arguments: Untyped) -> None:
        """Note one image: its predictions and its truths."""
        predictions, image = arguments
        if not validator.args.plots:  # Ultralytics fills its matrix only to plot it (val.py:213)
            parts = {name: predictions[name] for name in ("cls", "conf", "bboxes")}
            validator.confusion_matrix.process_batch(parts, image, conf=validator.args.conf)
        matches, above = _matches_of(predictions, image)
        kept.note(
            matches.badness,
            lambda: _of_image(image) | _objects(matches, predictions["bboxes"][above], image),
        )


class ClassJudge:
    """Classify: wrongly classified images. Their files are known only by their order."""

    conf: float | None = None
    iou: float | None = None
    method = "update_metrics"

    def note(self, _validator: Untyped, kept: WorstRecord, /, *arguments: Untyped) -> None:
        """Note a batch: the probabilities of the classes, and the class of each image."""
        predictions, batch = arguments
        probabilities = predictions.float().cpu()
        for row, true in zip(probabilities, batch["cls"].cpu().tolist(), strict=True):
            likely = row.argsort(descending=True)[:MOST_LIKELY].tolist()
            is_wrong = likely[0] != true
            badness = 1 - float(row[true]) if is_wrong else 0.0
            kept.note(badness, partial(_wrong, row, true, likely))


class PixelJudge:
    """Semantic: 1 minus the mean IoU of the classes in labels or prediction of an image."""

    conf: float | None = None
    iou: float | None = None
    method = "update_metrics"

    def note(self, _validator: Untyped, kept: WorstRecord, /, *arguments: Untyped) -> None:
        """Note a batch: the predicted classes of the pixels, and those of the masks."""
        predictions, batch = arguments
        for number, (predicted, true) in enumerate(
            zip(predictions, batch["semantic_mask"], strict=True)
        ):
            mean = mean_iou(predicted.cpu().numpy(), true.cpu().numpy())
            scores = {"mean_iou": round(mean, DIGITS)}
            kept.note(1 - mean, partial(_with_scores, batch, number, scores))


class DepthJudge:
    """Depth: the absolute relative error of an image, as Ultralytics computes it."""

    conf: float | None = None
    iou: float | None = None
    method = "update_metrics"

    def note(self, validator: Untyped, kept: WorstRecord, /, *arguments: Untyped) -> None:
        """Note a batch: its predicted depths, and those of its images."""
        predicted, batch = arguments
        true = _with_channel(batch["depth"])
        found = _with_channel(predicted)
        if found.shape[-2:] != true.shape[-2:]:  # as depth/val.py:62
            size = true.shape[-2:]
            found = functional.interpolate(found.float(), size, mode="bilinear", align_corners=True)
        for number in range(len(true)):
            scores = _depth_scores(validator.metrics, found[number], true[number])
            kept.note(scores["abs_rel"], partial(_with_scores, batch, number, scores))


def judge_of(task: str) -> Judge:
    """Return the judge of a task's images."""
    judges: dict[str, type[Judge]] = {
        "classify": ClassJudge,
        "semantic": PixelJudge,
        "depth": DepthJudge,
    }
    return judges.get(task, BoxJudge)()


def mean_iou(predicted: Untyped, true: Untyped) -> float:
    """Return the mean IoU over the classes in either of two arrays of classes; 1 without any."""
    counts = (true != IGNORED) & (predicted >= 0) & (true >= 0)
    found, real = predicted[counts], true[counts]
    if not found.size:
        return 1.0
    classes = int(max(found.max(), real.max())) + 1
    both = np.bincount(found[found == real], minlength=classes)
    either = np.bincount(found, minlength=classes) + np.bincount(real, minlength=classes) - both
    return float((both[either > 0] / either[either > 0]).mean())


def _with_channel(depths: Untyped) -> Untyped:
    return depths.unsqueeze(1) if depths.ndim == 3 else depths  # noqa: PLR2004 -- (image, row, column)


def _matches_of(predictions: Untyped, image: Untyped) -> tuple[Matches, torch.Tensor]:
    """Return the matches of an image, and which of its predictions they are about."""
    above = predictions["conf"] > CONF
    boxes, confidence = predictions["bboxes"][above], predictions["conf"][above]
    overlap = batch_probiou if image["bboxes"].shape[-1] == 5 else box_iou  # noqa: PLR2004 -- with an angle
    has_both = len(boxes) and len(image["bboxes"])
    iou = overlap(image["bboxes"], boxes) if has_both else torch.zeros(len(image["cls"]), 0)
    certain = confidence.float().cpu().numpy()
    matches = Matches(
        true=image["cls"].int().cpu().numpy(),
        predicted=predictions["cls"][above].int().cpu().numpy(),
        confidence=certain,
        claims=matched(iou.float().cpu().numpy(), certain),
    )
    return matches, above


def _objects(matches: Matches, predicted: Untyped, image: Untyped) -> Json:
    return matches.as_json(_boxes_of(image["bboxes"], image), _boxes_of(predicted, image))


def _boxes_of(boxes: Untyped, image: Untyped) -> list[Json]:
    """Return boxes of the padded image in pixels as shares of the original: `box` or `corners`."""
    if not len(boxes):
        return []
    height, width = image["ori_shape"][:2]
    geometry: Untyped = ops
    is_rotated = boxes.shape[-1] == 5  # noqa: PLR2004 -- with an angle
    scaled = geometry.scale_boxes(
        image["imgsz"],
        boxes.float().clone(),
        image["ori_shape"],
        ratio_pad=image["ratio_pad"],
        xywh=is_rotated,
    )
    if is_rotated:
        corners = geometry.xywhr2xyxyxyxy(scaled).cpu().numpy() / (width, height)
        return [{"corners": each} for each in _shares(corners.reshape(-1, 8))]
    centers = geometry.xyxy2xywh(scaled).cpu().numpy() / (width, height, width, height)
    return [{"box": each} for each in _shares(centers)]


def _shares(values: Untyped) -> list[list[float]]:
    shares: list[list[float]] = np.round(values.astype(np.float64), DIGITS).tolist()
    return shares


def _of_image(image: Untyped) -> Json:
    height, width = image["ori_shape"][:2]
    return {"file": str(image["im_file"]), "width": int(width), "height": int(height)}


def _of_batch(batch: dict[str, Any], number: int) -> Json:
    if "ori_shape" not in batch:  # of depth
        return {"file": str(batch["im_file"][number])}
    return _of_image({name: batch[name][number] for name in ("im_file", "ori_shape")})


def _with_scores(batch: dict[str, Any], number: int, scores: dict[str, float]) -> Json:
    return _of_batch(batch, number) | {"scores": scores}


def _wrong(row: torch.Tensor, true: int, likely: Sequence[int]) -> Json:
    predicted = likely[0]
    truths = [{"class": true, "outcome": "confused", "predicted_class": predicted}]
    predictions: list[Json] = [
        {"class": number, "confidence": round(float(row[number]), DIGITS), "outcome": None}
        for number in likely
    ]
    predictions[0] |= {"outcome": "confused", "true_class": true}
    return {
        "confused": 1,
        "classes": errors_by_class(truths, predictions),
        "truths": truths,
        "truths_total": 1,
        "predictions": predictions,
        "predictions_total": len(row),
        "scores": {"true_probability": round(float(row[true]), DIGITS)},
    }


def _depth_scores(metrics: Untyped, predicted: Untyped, true: Untyped) -> dict[str, float]:
    """Return the scores of one image; 0 if too few of its pixels have a depth."""
    own = copy.copy(metrics)
    own.clear_stats()
    own.update_stats(predicted[None], true[None])
    own.process()
    names = ("abs_rel", "rmse", "delta1")
    return {name: round(own.results_dict[f"metrics/{name}"], DIGITS) for name in names}
