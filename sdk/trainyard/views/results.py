"""Metrics, files and images that a training made."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import Field

from trainyard.views.base import View

if TYPE_CHECKING:
    from types import ModuleType


class MarkView(View):
    """Something that happened in an epoch."""

    epoch: int
    kind: str


class MetricsView(View):
    """The metrics of every finished epoch, as columns."""

    epochs: list[int]
    series: dict[str, list[float | None]]
    seconds: list[float]
    ended_at: list[datetime]
    best: int | None
    marks: list[MarkView]

    def columns(self) -> dict[str, list[Any]]:
        """Return `epoch`, `seconds` and each series as one column."""
        return {"epoch": list(self.epochs), "seconds": list(self.seconds), **self.series}

    def to_pandas(self) -> Any:  # noqa: ANN401
        """Return a `pandas.DataFrame` with a row for each epoch. pandas must be installed."""
        return _table_library("pandas").DataFrame(self.columns())

    def to_polars(self) -> Any:  # noqa: ANN401
        """Return a `polars.DataFrame` with a row for each epoch. polars must be installed."""
        return _table_library("polars").DataFrame(self.columns())


class ManyMetricsView(View):
    """The metrics of several jobs by id, and the ids that are not of a job."""

    jobs: dict[str, MetricsView]
    missing: list[str]


class ClassScores(View):
    """The scores of a class; a score that the task does not have is None."""

    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    ap50: float | None = None
    ap50_95: float | None = None
    iou: float | None = None


class ClassRow(ClassScores):
    """The scores of one class: of its boxes, and of its masks and poses."""

    name: str
    mask: ClassScores | None = None
    pose: ClassScores | None = None


class ClassMetricsView(View):
    """The scores of each class in one epoch."""

    epoch: int
    classes: list[ClassRow]

    def columns(self) -> dict[str, list[Any]]:
        """Return `name` and each score of the boxes as one column."""
        names = ["name", *ClassScores.model_fields]
        return {name: [getattr(row, name) for row in self.classes] for name in names}

    def to_pandas(self) -> Any:  # noqa: ANN401
        """Return a `pandas.DataFrame` with a row for each class. pandas must be installed."""
        return _table_library("pandas").DataFrame(self.columns())

    def to_polars(self) -> Any:  # noqa: ANN401
        """Return a `polars.DataFrame` with a row for each class. polars must be installed."""
        return _table_library("polars").DataFrame(self.columns())


class ArtifactView(View):
    """A file of a job."""

    name: str
    kind: str
    epoch: int | None
    attempt: int
    size_bytes: int
    sha256: str
    title: str | None
    created_at: datetime
    links: dict[str, str]


class ClassErrorsView(View):
    """The errors of a class in an image."""

    class_name: str = Field(alias="class")
    missed: int
    false: int
    confused: int


class TrueObjectView(View):
    """An object of the labels, and what became of it."""

    class_name: str = Field(alias="class")
    box: list[float] | None
    corners: list[float] | None
    outcome: str
    predicted_class: str | None


class PredictedObjectView(View):
    """A prediction, and what became of it."""

    class_name: str = Field(alias="class")
    confidence: float
    box: list[float] | None
    corners: list[float] | None
    outcome: str | None
    true_class: str | None


class WorstImageView(View):
    """A validation image that `best.pt` got wrong."""

    number: int
    file: str
    width: int | None
    height: int | None
    badness: float
    missed: int
    false: int
    confused: int
    classes: list[ClassErrorsView]
    truths: list[TrueObjectView]
    truths_total: int
    predictions: list[PredictedObjectView]
    predictions_total: int
    scores: dict[str, float]


def _table_library(name: str) -> "ModuleType":
    from importlib import import_module  # noqa: PLC0415 - optional packages

    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"This table needs {name}: pip install {name}") from error
