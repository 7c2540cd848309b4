"""The plots that Ultralytics draws: their titles, and the sets that they belong to."""

import re
from typing import Final, Literal

PlotSet = Literal["results", "validation", "training"]

PREVIEW_WIDTH: Final = 520
PREVIEW_HEIGHT: Final = 1040
"""Pixels that a preview has at most; a plot keeps its shape."""
PREVIEW_BYTES: Final = 200 * 1024

_TITLES: Final = {
    "results.png": "Metrics and losses by epoch",
    "confusion_matrix.png": "Confusion matrix",
    "confusion_matrix_normalized.png": "Confusion matrix, normalized",
    "labels.jpg": "Labels",
    "iou_bar_chart.png": "IoU by class",
}
_CURVES: Final = {
    "PR": "Precision by recall",
    "F1": "F1 by confidence",
    "P": "Precision by confidence",
    "R": "Recall by confidence",
}
_PARTS: Final = {"Box": "boxes", "Mask": "masks", "Pose": "key points"}
_CURVE: Final = re.compile(r"(?P<part>Box|Mask|Pose)?(?P<curve>PR|F1|P|R)_curve\.png")
_VALIDATION: Final = re.compile(r"val_batch(?P<batch>\d{1,9})_(?P<what>labels|pred)\.jpg")
_TRAINING: Final = re.compile(r"train_batch(?P<batch>\d{1,9})\.jpg")


def title_of(name: str) -> str:
    """Return the title of a plot: what it shows, or else its file name without the suffix."""
    if name in _TITLES:
        return _TITLES[name]
    if curve := _CURVE.fullmatch(name):
        part = _PARTS.get(curve["part"])
        return _CURVES[curve["curve"]] + (f" ({part})" if part else "")
    if batch := _VALIDATION.fullmatch(name):
        what = "labels" if batch["what"] == "labels" else "predictions"
        return f"Validation batch {batch['batch']}, {what}"
    if batch := _TRAINING.fullmatch(name):
        return f"Training batch {batch['batch']}"
    return name.rpartition(".")[0] or name


def set_of_plot(name: str) -> PlotSet:
    """Return the set of a plot: images of validation, images of training, or results."""
    if name.startswith("val_batch"):
        return "validation"
    return "training" if name.startswith(("train_batch", "labels")) else "results"
