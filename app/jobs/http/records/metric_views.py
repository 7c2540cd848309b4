"""The JSON models of metrics: columns over epochs, of one job or of several, and per class."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, Field

from app.jobs.class_metrics import ClassSeries, Columns
from app.jobs.curves import Curve, MarkKind
from app.jobs.lineage import MAX_GENERATIONS, Generation

SystemName = Literal[
    "cpu",
    "memory_bytes",
    "read_bytes",
    "gpu_utilization",
    "gpu_memory_bytes",
    "gpu_celsius",
    "gpu_watts",
    "loader_wait_seconds",
]
SYSTEM_NAMES: tuple[SystemName, ...] = get_args(SystemName)


class MarkView(BaseModel):
    """Something that changed at the start of an epoch."""

    epoch: int = Field(description="The first epoch that it is true of.", examples=[27])
    kind: MarkKind = Field(
        description="`extended`: the job continued another job's training here. `resumed`: another "
        "attempt of the job began here. `layers_unfrozen`: the layers of `customize.freeze` learn "
        "from here on. `mosaic_closed`: `close_mosaic` ended mosaic and mixing here; not known of "
        "a job with a time budget."
    )


class GenerationView(BaseModel):
    """The part of a curve that one job trained."""

    job: str | None = Field(
        description="The job. null: it was deleted together with its epochs, or it is more than "
        f"{MAX_GENERATIONS} jobs back.",
        examples=["job_01JZ8QD3W5X0A1B2C3D4E5F6G7"],
    )
    first_epoch: int = Field(description="The first epoch of this part.", examples=[1])
    last_epoch: int | None = Field(
        description="The epoch that the next job continues from. null for the job itself.",
        examples=[None, 100],
    )

    @classmethod
    def of(cls, row: Generation) -> Self:
        """Return the view of one generation."""
        return cls(job=row.job_id, first_epoch=row.first_epoch, last_epoch=row.last_epoch)


class MetricsView(BaseModel):
    """The metrics of every finished epoch, as columns of equal length."""

    epochs: list[int] = Field(description="Numbers of the epochs.", examples=[[1, 2]])
    series: dict[str, list[float | None]] = Field(
        description="By name, the value of each epoch. null: not finite, or not of that epoch.",
        examples=[{"metrics/mAP50(B)": [0.1, 0.2]}],
    )
    seconds: list[float] = Field(
        description="The job's running time at the end of each epoch: of all attempts until then, "
        "without the time in which the job waited or was paused.",
        examples=[[4.9, 9.8]],
    )
    ended_at: list[datetime] = Field(description="When each epoch was recorded.")
    best: int | None = Field(
        description="The best epoch, by the metric that chooses `best.pt`.", examples=[2]
    )
    marks: list[MarkView] = Field(description="What changed at the start of which epoch, in order.")

    lineage: list[GenerationView] | None = Field(
        description="Which job trained which epochs, the oldest first. null unless the query has "
        "`lineage=true`.",
        examples=[None],
    )

    @classmethod
    def of(cls, curve: Curve, *, lineage: bool) -> "MetricsView":
        """Return the view of a curve; with `lineage`, also which job trained which epochs."""
        return cls.model_construct(
            epochs=curve.epochs,
            series=curve.series,
            seconds=curve.seconds,
            ended_at=curve.ended_at,
            best=curve.best,
            marks=[
                MarkView.model_construct(epoch=mark.epoch, kind=mark.kind) for mark in curve.marks
            ],
            lineage=[GenerationView.of(each) for each in curve.lineage] if lineage else None,
        )


class ManyMetricsView(BaseModel):
    """The metrics of several jobs."""

    jobs: dict[str, MetricsView] = Field(
        description="By id, in the order of the request; with `lineage` if it was asked for.",
        examples=[
            {
                "job_01JZ8QD3W5X0A1B2C3D4E5F6G7": {
                    "epochs": [1, 2],
                    "series": {"metrics/mAP50(B)": [0.1, 0.2]},
                    "seconds": [4.9, 9.8],
                    "ended_at": ["2026-11-30T08:00:05Z", "2026-11-30T08:00:10Z"],
                    "best": 2,
                    "marks": [],
                    "lineage": [],
                }
            }
        ],
    )
    missing: list[str] = Field(
        description="The ids that are not of a job in your projects.", examples=[[]]
    )


class SystemView(BaseModel):
    """What a training used in every finished epoch, as columns of equal length."""

    epochs: list[int] = Field(description="Numbers of the epochs.", examples=[[1, 2]])
    series: dict[SystemName, list[float | None]] = Field(
        description="By name, the value of each epoch; what was never measured is left out. null: "
        "not measured in that epoch. `cpu`: cores that the trainer's processes kept busy, mean. "
        "`memory_bytes`: their memory, a page that they share counted once, maximum. `read_bytes`: "
        "bytes read from storage, sum. `gpu_utilization`: share of the time in which the slot's "
        "GPUs computed, from 0 to 1, mean. `gpu_memory_bytes`: memory in use on them, maximum. "
        "`gpu_celsius`: the hottest of them, mean. `gpu_watts`: their power, mean. "
        "`loader_wait_seconds`: how long the training loop waited for batches, sum.",
        examples=[{"cpu": [1.9, 2.0], "loader_wait_seconds": [0.2, 0.1]}],
    )

    @classmethod
    def of(cls, rows: Iterable[tuple[int, dict[str, float | None]]]) -> "SystemView":
        """Turn rows of an epoch and its values into columns."""
        epochs, systems = [], []
        for epoch, system in rows:
            epochs.append(epoch)
            systems.append(system)
        measured = [name for name in SYSTEM_NAMES if any(name in system for system in systems)]
        series = {name: [system.get(name) for system in systems] for name in measured}
        return cls.model_construct(epochs=epochs, series=series)


class ClassScores(BaseModel):
    """The scores of one class. null: the class has no ground truth. Omitted: not of this task.

    `iou` belongs to semantic segmentation, whose other scores count pixels.
    """

    precision: float | None = Field(default=None, description="Precision.", examples=[0.8125])
    recall: float | None = Field(default=None, description="Recall.", examples=[0.7431])
    f1: float | None = Field(
        default=None, description="F1, of precision and recall.", examples=[0.7763]
    )
    ap50: float | None = Field(
        default=None, description="Average precision at an IoU of 0.5.", examples=[0.8019]
    )
    ap50_95: float | None = Field(
        default=None,
        description="Mean of the average precision at IoUs from 0.5 to 0.95.",
        examples=[0.5128],
    )
    iou: float | None = Field(
        default=None,
        description="Share of the pixels in labels or prediction that are in both.",
        examples=[0.6402],
    )


class ClassRow(ClassScores):
    """One class: the scores of its boxes (or its only scores), and of its masks or keypoints."""

    name: str = Field(description="Name of the class.", examples=["scratch"])
    mask: ClassScores | None = Field(
        default=None, description="Scores of the masks, for segment.", examples=[None]
    )
    pose: ClassScores | None = Field(
        default=None, description="Scores of the keypoints, for pose.", examples=[None]
    )


class ClassMetricsView(BaseModel):
    """The per-class metrics of one epoch, in the class order of the dataset."""

    epoch: int = Field(description="Number of the epoch.", examples=[27])
    classes: list[ClassRow] = Field(description="The classes, in the order of the dataset.")

    @classmethod
    def of(cls, epoch: int, columns: Columns, names: Sequence[str]) -> Self:
        """Turn columns such as `precision(B)` into one entry per class."""
        rows = [_scores_of(columns, index) for index in range(len(names))]
        return cls(
            epoch=epoch,
            classes=[
                ClassRow.model_validate({"name": name, **scores})
                for name, scores in zip(names, rows, strict=True)
            ],
        )


class ClassSeriesView(BaseModel):
    """The per-class metrics of several epochs, as columns."""

    epochs: list[int] = Field(description="Numbers of the epochs.", examples=[[1, 2, 3]])
    classes: list[str] = Field(
        description="The classes, in the order of the dataset.", examples=[["circle", "square"]]
    )
    series: dict[str, list[list[float | None]]] = Field(
        description="By score, for each class its value in each epoch. null: the class has no "
        "ground truth. The scores of masks and keypoints begin with `mask.` and `pose.`.",
        examples=[{"ap50_95": [[0.1, 0.2, 0.3], [0.2, 0.2, 0.4]]}],
    )

    @classmethod
    def of(cls, found: ClassSeries) -> "ClassSeriesView":
        """Return the view of a series."""
        series = {".".join(_place_of(name)): values for name, values in found.columns.items()}
        return cls.model_construct(epochs=found.epochs, classes=found.classes, series=series)


PART_OF_SUFFIX = {"M": "mask", "P": "pose"}


def _place_of(column: str) -> tuple[str, ...]:
    """Return where a column such as `ap50(M)` is in an entry of a class: `mask`, `ap50`."""
    name, _, suffix = column.removesuffix(")").partition("(")
    part = PART_OF_SUFFIX.get(suffix)
    return (name,) if part is None else (part, name)


def _scores_of(columns: Columns, index: int) -> dict[str, Any]:
    scores: dict[str, Any] = {}
    for column, values in columns.items():
        *parts, name = _place_of(column)
        place = scores.setdefault(parts[0], {}) if parts else scores
        place[name] = values[index] if index < len(values) else None
    return scores
