"""The JSON models of jobs and their records."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, Field, JsonValue

from app.artifacts.names import ArtifactKind
from app.artifacts.tables import Artifact
from app.core.path_prefix import link
from app.events.tables import EventRow, Level
from app.jobs.class_metrics import Columns
from app.jobs.end_reasons import EndReason
from app.jobs.lineage import MAX_GENERATIONS, Generation
from app.jobs.plan.views import MAX_WEIGHTS_SHOWN
from app.jobs.repository import ListedJob
from app.jobs.states import JobState, Phase, Request
from app.jobs.tables import Attempt, Epoch, Job, JobProgress


class ProgressView(BaseModel):
    """Progress of the running or the last attempt. Epochs and batches count from 1."""

    epoch: int
    epochs: int = Field(
        description="The last epoch as far as is known. A stop, early stopping and `train.time` "
        "change it; when the job has finished it is the number of trained epochs."
    )
    batch: int = Field(description="Finished batches of the epoch.")
    batches: int
    losses: dict[str, float | None]
    eta_seconds: float | None = Field(
        description="Seconds to the end of the last epoch, and at most what is left of "
        "`train.time`. null unless the job is training or validating."
    )


class BestView(BaseModel):
    """The best epoch so far, by the metric that chooses `best.pt`."""

    epoch: int
    metric: str
    value: float | None


class JobErrorView(BaseModel):
    """Why a job failed, and what to do about it."""

    code: EndReason
    message: str
    hint: str
    amended: dict[str, JsonValue] | None = Field(
        default=None,
        exclude_if=lambda amended: amended is None,
        description="A merge patch (RFC 7396) of `spec` that avoids the failure: the body of a "
        "clone. Omitted if none is known.",
    )


class JobRow(BaseModel):
    """A job in a list."""

    id: str
    parent: str | None
    name: str | None
    project: str
    state: JobState
    phase: Phase | None
    request: Request | None
    attempt: int
    revision: int
    priority: int
    queue: str
    task: str
    model: str
    dataset: str
    dataset_version: str
    tags: dict[str, str]
    progress: ProgressView | None
    best: BestView | None
    curve: list[float | None]
    error: JobErrorView | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    trashed_at: datetime | None
    links: dict[str, str]

    @classmethod
    def fields_of(cls, listed: ListedJob, project_names: Mapping[str, str]) -> dict[str, Any]:
        """Return the fields that a row and a status share."""
        job = listed.job
        return {
            "id": job.id,
            "parent": job.parent_id,
            "name": job.name or None,
            "project": project_names[job.project_id],
            "state": job.state,
            "phase": job.phase,
            "request": job.request,
            "attempt": job.attempt,
            "revision": job.revision,
            "priority": job.priority,
            "queue": job.queue,
            "task": job.task,
            "model": job.model,
            "dataset": job.dataset_id,
            "dataset_version": job.dataset_version_id,
            "tags": dict(listed.tags),
            "progress": _progress(job, listed.progress),
            "best": _best(job),
            "curve": job.curve or [],
            "error": _error(job),
            "created_at": job.created_at,
            "started_at": job.started_at,
            "ended_at": job.ended_at,
            "trashed_at": job.trashed_at,
            "links": _links(job.id),
        }

    @classmethod
    def of(cls, listed: ListedJob, project_names: Mapping[str, str]) -> Self:
        """Return the row of one job."""
        return cls(**cls.fields_of(listed, project_names))


class JobView(JobRow):
    """A job's status: its row, its spec as submitted and as resolved, and why it waits."""

    notes: str
    resume_epoch: int | None = Field(
        description="The epoch after which the job would continue if its worker died now, or after "
        "a resume or retry. null: it would start from the beginning. A pause stores the newest "
        "finished epoch first."
    )
    queue_position: int | None
    waiting_reason: str | None
    spec: dict[str, JsonValue]
    resolved: dict[str, JsonValue] = Field(
        description="The spec with all defaults filled in. "
        f"`class_weights` has the first {MAX_WEIGHTS_SHOWN} classes; `links.class_weights` has all."
    )
    class_weight_count: int = Field(description="Number of `class_weights`; 0: none.")


class ClassWeightView(BaseModel):
    """The weight of one class in the loss."""

    name: str
    weight: float


class MetricsView(BaseModel):
    """The metrics of every finished epoch, as columns of equal length. null: not finite."""

    epochs: list[int]
    series: dict[str, list[float | None]]

    @classmethod
    def of(cls, rows: Sequence[Epoch], keys: Sequence[str] | None) -> Self:
        """Turn rows into columns in one pass. `keys` selects series; None selects all."""
        names: dict[str, None] = {}
        for row in rows:
            names |= dict.fromkeys([*row.metrics, *row.lr])
        chosen = [name for name in names if keys is None or name in keys]
        merged = [{**row.metrics, **row.lr} for row in rows]
        series = {name: [values.get(name) for values in merged] for name in chosen}
        return cls(epochs=[row.epoch for row in rows], series=series)


class GenerationView(BaseModel):
    """The part of a curve that one job trained."""

    job: str | None = Field(
        description="The job. null: it was deleted together with its epochs, or it is more than "
        f"{MAX_GENERATIONS} jobs back."
    )
    first_epoch: int
    last_epoch: int | None = Field(
        description="The epoch that the next job continues from. null for the job itself."
    )

    @classmethod
    def of(cls, row: Generation) -> Self:
        """Return the view of one generation."""
        return cls(job=row.job_id, first_epoch=row.first_epoch, last_epoch=row.last_epoch)


class LineageMetricsView(MetricsView):
    """The metrics of a job and of the jobs that it extends, and which job trained which epochs."""

    lineage: list[GenerationView]

    @classmethod
    def of_line(
        cls, rows: Sequence[Epoch], keys: Sequence[str] | None, line: Sequence[Generation]
    ) -> Self:
        """Turn rows into columns. `line` lists the jobs and the epochs that they trained."""
        view = MetricsView.of(rows, keys)
        lineage = [GenerationView.of(generation) for generation in line]
        return cls(epochs=view.epochs, series=view.series, lineage=lineage)


class ClassScores(BaseModel):
    """The scores of one class. null: the class has no ground truth. Omitted: not of this task.

    `iou` belongs to semantic segmentation, whose other scores count pixels.
    """

    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    ap50: float | None = None
    ap50_95: float | None = None
    iou: float | None = None


class ClassRow(ClassScores):
    """One class: the scores of its boxes (or its only scores), and of its masks or keypoints."""

    name: str
    mask: ClassScores | None = None
    pose: ClassScores | None = None


class ClassMetricsView(BaseModel):
    """The per-class metrics of one epoch, in the class order of the dataset."""

    epoch: int
    classes: list[ClassRow]

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


class EventView(BaseModel):
    """One event of the log; `seq` counts from 1 without gaps."""

    seq: int
    type: str
    level: Level
    data: dict[str, JsonValue]
    created_at: datetime

    @classmethod
    def of(cls, row: EventRow) -> Self:
        """Return the view of one row."""
        return cls(
            seq=row.seq, type=row.type, level=row.level, data=row.data, created_at=row.created_at
        )


class AttemptView(BaseModel):
    """One attempt of a worker to run the job. `exit_code` is negative for a signal."""

    number: int
    worker: str
    started_at: datetime
    ended_at: datetime | None
    end_reason: EndReason | None
    exit_code: int | None
    message: str | None
    resumed: str

    @classmethod
    def of(cls, row: Attempt) -> Self:
        """Return the view of one row."""
        return cls(
            number=row.number,
            worker=row.worker_id,
            started_at=row.started_at,
            ended_at=row.ended_at,
            end_reason=row.end_reason,
            exit_code=row.exit_code,
            message=row.message,
            resumed=row.resumed,
        )


class ChecksView(BaseModel):
    """The checks that weights passed in a clean process with stock Ultralytics before publication.

    `forward`: one forward pass at `imgsz` pixels returned finite numbers. `safe_load`: Ultralytics'
    safe loader read the file. `parameters` counts all parameters, trainable or not.
    """

    loads: bool
    forward: bool
    safe_load: bool
    ultralytics: str
    task: str
    classes: int
    parameters: int
    imgsz: int


class ArtifactView(BaseModel):
    """A downloadable file of the job, or a checkpoint that it can resume from."""

    name: str
    kind: ArtifactKind
    epoch: int | None
    attempt: int
    size_bytes: int
    sha256: str
    checks: ChecksView | None
    created_at: datetime
    links: dict[str, str]

    @classmethod
    def of(cls, row: Artifact) -> Self:
        """Return the view of one row; checkpoints have no download."""
        links = {"download": link(f"/v1/jobs/{row.job_id}/artifacts/{row.name}")}
        return cls(
            name=row.name,
            kind=row.kind,
            epoch=row.epoch,
            attempt=row.attempt,
            size_bytes=row.size_bytes,
            sha256=row.sha256,
            checks=None if row.checks is None else ChecksView.model_validate(row.checks),
            created_at=row.created_at,
            links={} if row.kind is ArtifactKind.CHECKPOINT else links,
        )


class QueueView(BaseModel):
    """A queue: waiting and running jobs of the caller's projects, and live slots that serve it."""

    name: str
    queued: int
    running: int
    workers: int


PART_OF_SUFFIX = {"M": "mask", "P": "pose"}


def _scores_of(columns: Columns, index: int) -> dict[str, Any]:
    scores: dict[str, Any] = {}
    for column, values in columns.items():
        name, _, suffix = column.removesuffix(")").partition("(")
        part = PART_OF_SUFFIX.get(suffix)
        place = scores if part is None else scores.setdefault(part, {})
        place[name] = values[index] if index < len(values) else None
    return scores


def _progress(job: Job, row: JobProgress | None) -> ProgressView | None:
    if row is None:
        return None
    is_training = job.phase in {Phase.TRAINING, Phase.VALIDATING}
    return ProgressView(
        epoch=row.epoch,
        epochs=row.epochs,
        batch=row.batch,
        batches=row.batches,
        losses=row.losses,
        eta_seconds=row.eta_seconds if is_training else None,
    )


def _best(job: Job) -> BestView | None:
    if job.best_epoch is None or job.best_metric is None:
        return None
    return BestView(epoch=job.best_epoch, metric=job.best_metric, value=job.best_value)


def _error(job: Job) -> JobErrorView | None:
    if job.state is not JobState.FAILED or job.end_reason is None:
        return None
    return JobErrorView(
        code=job.end_reason,
        message=job.error_message or "",
        hint=job.error_hint or "",
        amended=job.error_amended,
    )


def _links(job_id: str) -> dict[str, str]:
    own = link(f"/v1/jobs/{job_id}")
    parts = ("plan", "metrics", "events", "logs", "attempts", "checkpoints", "artifacts")
    links = {part: f"{own}/{part}" for part in parts}
    return {"self": own, **links, "class_weights": f"{own}/class-weights"}
