"""The classes of several jobs side by side, each job in its own best epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from app.web.api import Api, ApiProblem

SCORES: Final = {
    "ap50_95": "AP50-95",
    "f1": "F1",
    "recall": "Recall",
    "precision": "Precision",
    "iou": "IoU",
}
NOT_FOUND: Final = 404
MOST_ROWS: Final = 200


@dataclass(frozen=True)
class ClassValue:
    """The score of a class in one job; the highest of the class is `is_top`."""

    value: float | None
    is_top: bool


@dataclass(frozen=True)
class CompareClasses:
    """The scores of classes.

    Attributes:
        scores: what can be shown, by name, with a title.
        score: what is shown.
        places: places of the jobs that record classes.
        rows: for each class its name, and its score in each of these jobs.
        total: the number of all classes.
    """

    scores: Mapping[str, str]
    score: str
    places: Sequence[int]
    rows: Sequence[tuple[str, Sequence[ClassValue]]]
    total: int


async def compare_classes(
    api: Api, jobs: Sequence[Mapping[str, Any]], wanted: str
) -> CompareClasses | None:
    """Read the classes of jobs; None if none of them records classes."""
    found: dict[int, list[dict[str, Any]]] = {}
    for place, job in enumerate(jobs):
        classes = await _classes(api, job)
        if classes:
            found[place] = classes
    if not found:
        return None
    rows = [row for classes in found.values() for row in classes]
    scores = {key: title for key, title in SCORES.items() if any(key in row for row in rows)}
    score = wanted if wanted in scores else next(iter(scores), "")
    names = list(dict.fromkeys(row["name"] for row in rows))
    by_job = [{row["name"]: row.get(score) for row in classes} for classes in found.values()]
    return CompareClasses(
        scores=scores,
        score=score,
        places=list(found),
        rows=[(name, class_values([of.get(name) for of in by_job])) for name in names[:MOST_ROWS]],
        total=len(names),
    )


async def _classes(api: Api, job: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the scores of each class in the best epoch of a job."""
    if not job["best"] or not ((job["resolved"].get("customize") or {}).get("metrics") or {}).get(
        "per_class"
    ):
        return []
    path = f"/v1/jobs/{job['id']}/metrics/classes"
    try:
        found = await api.get(path, {"epoch": job["best"]["epoch"]})
    except ApiProblem as refused:
        if refused.status != NOT_FOUND:
            raise
        return []
    classes: list[dict[str, Any]] = found["classes"]
    return classes


def class_values(values: Sequence[float | None]) -> list[ClassValue]:
    """Return the scores of a class, of which the highest of several is marked."""
    known = [value for value in values if value is not None]
    top = max(known) if len(known) > 1 else None
    return [ClassValue(value, value is not None and value == top) for value in values]
