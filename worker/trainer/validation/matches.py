"""Matches predictions of one image with its truths, and counts the errors, with numpy alone."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.artifacts.validation import MOST_CLASSES_OF_IMAGE, MOST_OBJECTS
from worker.trainer.validation.curves import DIGITS, Json

CONF: Final = 0.25
"""Predictions above this confidence count: the confidence that Ultralytics shows predictions from,
and that of its confusion matrix by default (metrics.py:394)."""
IOU: Final = 0.5
"""A match overlaps by more."""

_ERRORS_FIRST: Final = {"missed": 0, "false": 0, "confused": 0, "hit": 1}

Numbers = NDArray[np.int64]
Floats = NDArray[Any]


def matched(iou: Floats, confidence: Floats) -> Numbers:
    """Return for each truth the prediction that claims it, or -1.

    As Ultralytics does for its confusion matrix (metrics.py:433): each prediction, the most
    confident first, claims the free truth that it overlaps most, whatever the classes are.

    Args:
        iou: (truths, predictions), not changed.
        confidence: (predictions,)
    """
    claimed = np.full(len(iou), -1)
    if not iou.size:
        return claimed
    free = iou.copy()
    candidates = np.flatnonzero((free > IOU).any(0))
    for prediction in candidates[np.argsort(-confidence[candidates], kind="stable")]:
        truth = free[:, prediction].argmax()
        if free[truth, prediction] > IOU:
            claimed[truth] = prediction
            free[truth] = 0
    return claimed


@dataclass(frozen=True)
class Matches:
    """The truths and predictions of one image, and which prediction claims which truth.

    Attributes:
        true: (truths,) classes.
        predicted: (predictions,) classes.
        confidence: (predictions,)
        claims: (truths,) see `matched`.
    """

    true: Numbers
    predicted: Numbers
    confidence: Floats
    claims: Numbers

    @property
    def is_missed(self) -> NDArray[np.bool_]:
        """Which truths no prediction claims."""
        return self.claims < 0

    @property
    def is_false(self) -> NDArray[np.bool_]:
        """Which predictions claim no truth."""
        free = np.ones(len(self.predicted), dtype=np.bool_)
        free[self.claims[self.claims >= 0]] = False
        return free

    @property
    def is_confused(self) -> NDArray[np.bool_]:
        """Which truths are claimed by a prediction of another class."""
        confused = np.zeros(len(self.true), dtype=np.bool_)
        claimed = np.flatnonzero(self.claims >= 0)
        confused[claimed] = self.predicted[self.claims[claimed]] != self.true[claimed]
        return confused

    @property
    def badness(self) -> float:
        """Missed and confused truths, plus the confidences of false predictions."""
        errors = self.is_missed.sum() + self.is_confused.sum()
        return float(errors + self.confidence[self.is_false].sum(dtype=np.float64))

    def as_json(self, true_boxes: Sequence[Json], predicted_boxes: Sequence[Json]) -> Json:
        """Return the part of `WorstImage` about objects; boxes as `box` or `corners`."""
        truth_of = {int(claim): truth for truth, claim in enumerate(self.claims) if claim >= 0}
        truths = [self._truth(truth, box) for truth, box in enumerate(true_boxes)]
        predictions = [
            self._prediction(number, truth_of.get(number), box)
            for number, box in enumerate(predicted_boxes)
        ]
        predictions.sort(key=lambda each: -each["confidence"])
        return {
            "missed": int(self.is_missed.sum()),
            "false": int(self.is_false.sum()),
            "confused": int(self.is_confused.sum()),
            "classes": errors_by_class(truths, predictions),
            "truths": sorted(truths, key=_error_first)[:MOST_OBJECTS],
            "truths_total": len(truths),
            "predictions": sorted(predictions, key=_error_first)[:MOST_OBJECTS],
            "predictions_total": len(predictions),
        }

    def _truth(self, truth: int, box: Json) -> Json:
        claim, true = int(self.claims[truth]), int(self.true[truth])
        found = {"class": true, **box}
        if claim < 0:
            return found | {"outcome": "missed"}
        predicted = int(self.predicted[claim])
        if predicted == true:
            return found | {"outcome": "hit"}
        return found | {"outcome": "confused", "predicted_class": predicted}

    def _prediction(self, number: int, truth: int | None, box: Json) -> Json:
        predicted = int(self.predicted[number])
        confidence = round(float(self.confidence[number]), DIGITS)
        found = {"class": predicted, "confidence": confidence, **box}
        if truth is None:
            return found | {"outcome": "false"}
        if int(self.true[truth]) == predicted:
            return found | {"outcome": "hit"}
        return found | {"outcome": "confused", "true_class": int(self.true[truth])}


def errors_by_class(truths: Sequence[Json], predictions: Sequence[Json]) -> list[Json]:
    """Return the classes with errors, those with the most first, and their counts by kind."""
    counts: dict[int, Json] = defaultdict(lambda: {"missed": 0, "false": 0, "confused": 0})
    for each in (*truths, *predictions):
        if each["outcome"] in {"missed", "false", "confused"}:
            counts[each["class"]][each["outcome"]] += 1
    worst_first = sorted(counts.items(), key=lambda item: (-sum(item[1].values()), item[0]))
    return [{"class": number, **kinds} for number, kinds in worst_first[:MOST_CLASSES_OF_IMAGE]]


def _error_first(each: Json) -> int:
    return _ERRORS_FIRST[each["outcome"]]
