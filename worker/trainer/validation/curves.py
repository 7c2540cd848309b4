"""Curves and confusion matrix of a validator that has validated, as Ultralytics computed them."""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from app.artifacts.validation import (
    BACKGROUND,
    DENSE_CLASSES,
    FEW_POINTS,
    FULL_CLASSES,
    MOST_CELLS,
    MOST_CURVES,
    MOST_MATRIX_CLASSES,
)
from worker.trainer.upstream import Untyped

DIGITS: Final = 5
"""Decimal digits, as Ultralytics rounds the metrics of an epoch (validator.py:303)."""
MATRIX_IOU: Final = 0.45
"""Overlap at which a prediction counts for a truth in the matrix (metrics.py:395)."""

Values = NDArray[np.float64]
Json = dict[str, Any]

_CURVES: Final = {
    "pr": "prec_values",
    "f1": "f1_curve",
    "precision": "p_curve",
    "recall": "r_curve",
}
_PARTS: Final = {"masks": "seg", "pose": "pose"}
_UNITS: Final = {"classify": "images", "semantic": "pixels"}


def curves_of(validator: Untyped, *, task: str, classes: int) -> Json | None:
    """Return `app.artifacts.validation.Curves` as JSON, with numbers of classes as their names.

    Args:
        validator: The validator of any task, after it has validated.
        task: Its task.
        classes: The number of classes of the dataset. A further one is the background.

    Returns:
        None if Ultralytics computes neither curves nor a matrix, as for depth.
    """
    metrics, confusion = validator.metrics, getattr(validator, "confusion_matrix", None)
    box = getattr(metrics, "box", None)
    if box is None and confusion is None:
        return None
    matrix = None if confusion is None else np.asarray(confusion.matrix, dtype=np.float64)
    found: Json = {
        "classes_total": classes,
        "confusion": None if matrix is None else _confusion(matrix, validator, task, classes),
    }
    if box is not None:
        objects = metrics.nt_per_class
        found |= _curve_set(box, objects)
        for name, attribute in _PARTS.items():
            if hasattr(metrics, attribute):
                found[name] = _curve_set(getattr(metrics, attribute), objects)
    if task == "classify":
        found["accuracy"] = {"top1": metrics.top1, "top5": metrics.top5}
    return found


def _curve_set(metric: Untyped, objects: NDArray[np.int64]) -> Json:
    """Return the four curves of an `ultralytics.utils.metrics.Metric`.

    Args:
        metric: Its curves have one row for each class with objects.
        objects: The number of objects in the labels, by class.
    """
    indices = [int(index) for index in metric.ap_class_index]
    places = _points(len(metric.px), len(indices))
    shown = largest(indices, objects, MOST_CURVES)
    x = np.asarray(metric.px)[places].tolist()
    curves = {}
    for name, attribute in _CURVES.items():
        # Without any class, Ultralytics' precision by recall still has one row, of zeros.
        rows = np.asarray(getattr(metric, attribute))[: len(indices), places]
        by_class = dict(zip(indices, rows, strict=True))
        mean = rows.mean(0) if len(rows) else np.full(len(places), np.nan)
        curves[name] = {
            "x": x,
            "mean": rounded(mean),
            "classes": {str(index): rounded(by_class[index]) for index in shown},
        }
    return curves


def _points(points: int, classes: int) -> NDArray[np.int64]:
    """Return which points of a curve are kept."""
    if classes <= FULL_CLASSES or points <= FEW_POINTS:
        return np.arange(points)
    return np.linspace(0, points - 1, FEW_POINTS).round().astype(np.int64)


def largest(indices: Sequence[int], objects: NDArray[Any], most: int) -> list[int]:
    """Return the `most` classes with the most objects, in class order; of equals, the first."""
    by_size = sorted(indices, key=lambda index: (-objects[index], index))
    return sorted(by_size[:most])


def rounded(values: Values) -> list[float | None]:
    """Return the values with `DIGITS` digits; None for NaN."""
    return [value if math.isfinite(value) else None for value in np.round(values, DIGITS).tolist()]


def _confusion(matrix: Values, validator: Untyped, task: str, classes: int) -> Json:
    unit = _UNITS.get(task, "objects")
    names = _names_of(len(matrix), classes)
    if task == "semantic" and classes == 1:
        matrix = matrix[::-1, ::-1]  # Ultralytics has the background first (semantic/val.py:70)
    if classes > MOST_MATRIX_CLASSES:
        kept = largest(range(classes), matrix.sum(0), MOST_MATRIX_CLASSES)
        kept += range(classes, len(matrix))
        matrix, names = matrix[np.ix_(kept, kept)], [names[index] for index in kept]
    is_dense = classes <= DENSE_CLASSES
    cells = [] if is_dense else _cells(matrix)
    return {
        "unit": unit,
        "conf": validator.args.conf if unit == "objects" else None,
        "iou": MATRIX_IOU if unit == "objects" else None,
        "names": names,
        "matrix": matrix.astype(np.int64).tolist() if is_dense else None,
        "cells": None if is_dense else cells[:MOST_CELLS],
        "cells_left_out": max(0, len(cells) - MOST_CELLS),
    }


def _names_of(size: int, classes: int) -> list[str]:
    return [str(index) for index in range(classes)] + [BACKGROUND] * (size - classes)


def _cells(matrix: Values) -> list[tuple[int, int, int]]:
    """Return the cells that are not zero, largest first."""
    rows, columns = np.nonzero(matrix)
    counts = matrix[rows, columns].astype(np.int64)
    order = np.lexsort((columns, rows, -counts))
    return list(
        zip(rows[order].tolist(), columns[order].tolist(), counts[order].tolist(), strict=True)
    )
