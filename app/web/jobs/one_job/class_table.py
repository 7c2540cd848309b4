"""The table of classes in one epoch, and the curve of each class over all epochs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.web.api import Api, ApiProblem
from app.web.typed_numbers import whole_number

NOT_FOUND: Final = 404
TOO_LONG: Final = "series-too-long"
MOST_ROWS: Final = 200
CURVE_POINTS: Final = 40
SCORES: Final = {
    "precision": "Precision",
    "recall": "Recall",
    "f1": "F1",
    "ap50": "AP50",
    "ap50_95": "AP50-95",
    "iou": "IoU",
}
PARTS: Final = {"": "Boxes", "mask": "Masks", "pose": "Key points"}
CURVES: Final = ("ap50_95", "iou", "f1")
"""The score whose curve the table shows: the first one that the task has."""

Values = Mapping[str, Sequence[Sequence[float | None]]]


@dataclass(frozen=True)
class ClassRow:
    """One class: its scores in the epoch that is shown, and one score over all epochs."""

    name: str
    labels: int | None
    weight: float | None
    scores: Mapping[str, float | None]
    curve: Sequence[float | None]


@dataclass(frozen=True)
class ClassTable:
    """The classes in one epoch.

    Attributes:
        epoch: that is shown.
        best: the epoch of best.pt.
        first, last: the epochs to choose from.
        parts: what the scores can be of, by the name in the address, with a title.
        part: what the scores are of.
        scores: the columns, by name, with a title.
        curve_of: title of the score that has a curve; empty without curves.
        rows: the first classes.
        total: the number of all classes.
    """

    epoch: int
    best: int
    first: int
    last: int
    parts: Mapping[str, str]
    part: str
    scores: Mapping[str, str]
    curve_of: str
    rows: Sequence[ClassRow]
    total: int


async def read_class_table(
    api: Api, job: Mapping[str, Any], plan: Mapping[str, Any] | None, query: Mapping[str, str]
) -> ClassTable | None:
    """Read the classes of a job; None if it records none.

    Args:
        api: of the caller.
        job: its status.
        plan: of the job, which has the labels and weights of the classes.
        query: `epoch` and `part` of the address.
    """
    best: int | None = job["best"]["epoch"] if job["best"] else None
    asked = query.get("epoch", "")
    wanted = whole_number(asked, otherwise=best)
    columns = await _columns(api, f"/v1/jobs/{job['id']}/metrics/classes", wanted)
    if columns is None or not columns["epochs"]:
        return None
    epochs, series = columns["epochs"], columns["series"]
    parts = {name: title for name, title in PARTS.items() if _scores_of(series, name)}
    part = query.get("part", "")
    part = part if part in parts else next(iter(parts))
    shown = _scores_of(series, part)
    curve = next((key for key in CURVES if key in shown and len(epochs) > 1), "")
    epoch = wanted if wanted is not None and wanted in epochs else epochs[-1]
    known = plan["classes"]["shown"] if plan else []
    return ClassTable(
        epoch=epoch,
        best=best or epoch,
        first=epochs[0],
        last=epochs[-1],
        parts=parts if len(parts) > 1 else {},
        part=part,
        scores={key: SCORES[key] for key in shown},
        curve_of=SCORES[curve] if curve else "",
        rows=[
            ClassRow(
                name=name,
                labels=known[number]["training_labels"] if number < len(known) else None,
                weight=known[number]["weight"] if number < len(known) else None,
                scores={key: of[number][epochs.index(epoch)] for key, of in shown.items()},
                curve=_thinned(shown[curve][number]) if curve else [],
            )
            for number, name in enumerate(columns["classes"][:MOST_ROWS])
        ],
        total=len(columns["classes"]),
    )


async def _columns(api: Api, path: str, epoch: int | None) -> dict[str, Any] | None:
    """Return the scores of all epochs, or of one where all are too many; None for none."""
    try:
        found: dict[str, Any] = await api.get(path, {"epochs": "all"})
    except ApiProblem as refused:
        if refused.status == NOT_FOUND:
            return None
        if refused.slug != TOO_LONG or epoch is None:
            raise
        found = await api.get(path, {"epochs": epoch})
    return found


def _scores_of(series: Values, part: str) -> dict[str, Sequence[Sequence[float | None]]]:
    """Return the scores of boxes, masks or key points by their short name."""
    prefix = f"{part}." if part else ""
    return {key: series[prefix + key] for key in SCORES if prefix + key in series}


def _thinned(curve: Sequence[float | None]) -> Sequence[float | None]:
    """Return at most about `CURVE_POINTS` of the points, the last one among them."""
    step = max(1, len(curve) // CURVE_POINTS)
    return curve[::-1][::step][::-1]
