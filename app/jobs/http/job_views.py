"""The JSON models of a job: its row in a list, and its status."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, Self

from pydantic import BaseModel, Field, JsonValue

from app.core.path_prefix import link
from app.core.tasks import TASK_NAMES
from app.jobs.end_reasons import EndReason
from app.jobs.http.waiting import Wait, WaitingReason
from app.jobs.listed import ListedJob
from app.jobs.plan.views import MAX_WEIGHTS_SHOWN, shown_spec
from app.jobs.spec.metric_table import Direction, direction_of
from app.jobs.states import JobState, Phase, Request
from app.jobs.tables import Job

LINKED: Final = {
    **{
        part: part
        for part in (
            *("plan", "metrics", "events", "logs", "attempts", "checkpoints", "artifacts"),
            *("waiting", "curves"),
        )
    },
    "class_weights": "class-weights",
    "artifacts_zip": "artifacts.zip",
    "events_stream": "events/stream",
    "worst_images": "images/worst",
}
"""The paths below a job that its links name."""


class ProgressView(BaseModel):
    """Progress of the running or the last attempt. Epochs and batches count from 1."""

    epoch: int = Field(description="The current epoch.", examples=[31])
    epochs: int = Field(
        description="The last epoch as far as is known. A stop, early stopping and `train.time` "
        "change it; when the job has finished it is the number of trained epochs.",
        examples=[100],
    )
    started_epoch: int | None = Field(
        description="The first epoch that this attempt trains. null: its trainer has not started, "
        "or an earlier release ran it.",
        examples=[1],
    )
    batch: int = Field(description="Finished batches of the epoch.", examples=[9])
    batches: int = Field(description="Batches of an epoch.", examples=[13])
    losses: dict[str, float | None] = Field(
        description="Means of the epoch's losses so far, by name. null: not finite.",
        examples=[{"box_loss": 1.21, "cls_loss": 0.94, "dfl_loss": 1.07}],
    )
    eta_seconds: float | None = Field(
        description="Seconds to the end of the last epoch, and at most what is left of "
        "`train.time`. null unless the job is training or validating, and until one whole epoch "
        "of this attempt has ended.",
        examples=[211.5],
    )


class BestView(BaseModel):
    """The best epoch so far, by the metric that chooses `best.pt`."""

    epoch: int = Field(description="Number of the epoch.", examples=[27])
    metric: str = Field(description="The metric that chooses.", examples=["fitness"])
    value: float | None = Field(
        description="Its value in that epoch. null: not finite.", examples=[0.4127]
    )
    direction: Direction = Field(
        description="Whether a higher or a lower value is better.", examples=["higher"]
    )
    at: dict[str, float | None] | None = Field(
        description="The metrics of that epoch, at most 4 KiB of them. null: they are gone with a "
        "deleted parent.",
        examples=[{"metrics/mAP50(B)": 0.6218, "metrics/mAP50-95(B)": 0.3895}],
    )


class JobErrorView(BaseModel):
    """Why a job failed, and what to do about it."""

    code: EndReason = Field(description="Why the last attempt ended.", examples=["out_of_memory"])
    title: str = Field(description="The failure in one line.", examples=["Memory ran out"])
    message: str = Field(
        description="What happened, in the words of the trainer or the worker.",
        examples=["CUDA out of memory."],
    )
    hint: str = Field(
        description="What to do about it.", examples=["Lower train.batch or train.imgsz."]
    )
    amended: dict[str, JsonValue] | None = Field(
        description="A merge patch (RFC 7396) of `spec` that avoids the failure: the body of a "
        'clone; `{"amended": true}` does the same. Empty: the machine failed, and the same spec '
        "can run. null: none is known.",
        examples=[{"train": {"batch": 8}}],
    )
    log_line: int | None = Field(
        description="The line of the attempt's log that tells the failure, from 1: read it with "
        "`logs?attempt=…&lines=…`. null: unknown.",
        examples=[412],
    )
    attempt: int | None = Field(description="The attempt that failed.", examples=[2])


class SlotView(BaseModel):
    """The slot that runs a job."""

    worker: str = Field(description="Id of the slot.", examples=["wrk_01JZ8QD3W5X0A1B2C3D4E5F6G7"])
    name: str | None = Field(
        description="Host and slot, such as gpu-a/0. null: an earlier release claimed the job.",
        examples=["gpu-a/0"],
    )


class JobRow(BaseModel):
    """A job in a list."""

    id: str = Field(description="Id of the job.", examples=["job_01JZ8QD3W5X0A1B2C3D4E5F6G7"])
    parent: str | None = Field(
        description="The job that this one clones or extends. null: none.",
        examples=[None, "job_01JZ8QD3W5X0A1B2C3D4E5F6G7"],
    )
    name: str | None = Field(
        description="Its name, for people. null: none.", examples=["night shift, line 4"]
    )
    project: str = Field(description="Name of the project that owns it.", examples=["default"])
    created_by: str | None = Field(description="The user who submitted the job.", examples=["ada"])
    state: JobState = Field(description="What the job does.", examples=["running"])
    phase: Phase | None = Field(
        description="What its attempt does. null unless the job is running.", examples=["training"]
    )
    request: Request | None = Field(
        description="The pending request to a running job. null: none is pending.",
        examples=[None],
    )
    attempt: int = Field(description="Number of its last attempt. 0: none has begun.", examples=[1])
    revision: int = Field(
        description="Counts changes of the job; send it as If-Match to change only this state.",
        examples=[3],
    )
    priority: int = Field(
        description="A job with a higher priority is claimed first.", examples=[0]
    )
    queue: str = Field(description="The queue that it waits in.", examples=["default"])
    slot: SlotView | None = Field(description="null unless the job is running.")
    queue_position: int | None = Field(
        description="Place in the order of claims, from 1; 1001: beyond 1000. null unless queued.",
        examples=[None, 4],
    )
    waiting_reason: WaitingReason | None = Field(description="null unless queued.", examples=[None])
    starts_in_seconds: float | None = Field(
        description="Estimated as in `/v1/queue`. null unless queued, without an estimate, and in "
        "the response to a change of the job.",
        examples=[None, 1380.0],
    )
    task: str = Field(description="The task.", examples=["detect"], json_schema_extra=TASK_NAMES)
    model: str = Field(
        description="The model that it starts from, as in its spec.", examples=["yolo26n.pt"]
    )
    dataset: str = Field(
        description="Id of the dataset.", examples=["ds_01JZ8QD3W5X0A1B2C3D4E5F6G7"]
    )
    dataset_name: str | None = Field(
        description="null: the dataset was deleted.", examples=["night"]
    )
    dataset_version: str = Field(
        description="Id of the version that it trains on.",
        examples=["dsv_01JZ8QD3W5X0A1B2C3D4E5F6G7"],
    )
    tags: dict[str, str] = Field(
        description="Key-value pairs to filter jobs by.", examples=[{"line": "4"}]
    )
    progress: ProgressView | None = Field(
        description="Progress of the running or the last attempt. null: no attempt has reported "
        "any."
    )
    best: BestView | None = Field(description="The best epoch so far. null: none yet.")
    curve: list[float | None] = Field(
        description="Values of the metric that chooses `best.pt`, for a small curve. null: not "
        "finite.",
        examples=[[0.0312, 0.1284, 0.2977, 0.4127]],
    )
    error: JobErrorView | None = Field(
        description="Why the job failed. null unless it failed.", examples=[None]
    )
    created_at: datetime = Field(description="When it was submitted.")
    started_at: datetime | None = Field(description="When its first attempt began. null: none has.")
    ended_at: datetime | None = Field(
        description="When it ended. null: it has not.", examples=[None]
    )
    duration_seconds: float = Field(
        description="Running time of all attempts, without pauses and waiting. It grows while the "
        "job runs, and a growing time alone does not change the `ETag`.",
        examples=[1284.2],
    )
    trashed_at: datetime | None = Field(
        description="When it was moved to the trash. null: it is not in the trash.", examples=[None]
    )
    kept_until: datetime | None = Field(
        description="Until when the job can be restored; after it, it is deleted for good. null "
        "unless it is in the trash.",
        examples=[None],
    )
    links: dict[str, str] = Field(
        description="Paths that belong to it, by name.",
        examples=[
            {
                "metrics": "/v1/jobs/job_01JZ8QD3W5X0A1B2C3D4E5F6G7/metrics",
                "logs": "/v1/jobs/job_01JZ8QD3W5X0A1B2C3D4E5F6G7/logs",
            }
        ],
    )

    @classmethod
    def fields_of(
        cls,
        listed: ListedJob,
        project_names: Mapping[str, str],
        wait: Wait | None,
        *,
        grace: timedelta,
    ) -> dict[str, Any]:
        """Return the fields that a row and a status share.

        `wait` is that of a waiting job; a job stays in the trash for `grace`.
        """
        job, related = listed.job, listed.related
        return {
            "id": job.id,
            "parent": job.parent_id,
            "name": job.name or None,
            "project": project_names[job.project_id],
            "created_by": related.owner_name,
            "state": job.state,
            "phase": job.phase,
            "request": job.request,
            "attempt": job.attempt,
            "revision": job.revision,
            "priority": job.priority,
            "queue": job.queue,
            "slot": _slot(listed),
            "queue_position": wait and wait.position,
            "waiting_reason": wait and wait.reason,
            "starts_in_seconds": wait and wait.starts_in_seconds,
            "task": job.task,
            "model": job.model,
            "dataset": job.dataset_id,
            "dataset_name": related.dataset_name,
            "dataset_version": job.dataset_version_id,
            "tags": dict(listed.tags),
            "progress": progress_view(listed),
            "best": _best(job),
            "curve": job.curve or [],
            "error": _error(job),
            "created_at": job.created_at,
            "started_at": job.started_at,
            "ended_at": job.ended_at,
            "duration_seconds": _duration(listed),
            "trashed_at": job.trashed_at,
            "kept_until": job.trashed_at and job.trashed_at + grace,
            "links": _links(job.id),
        }

    @classmethod
    def of(
        cls,
        listed: ListedJob,
        project_names: Mapping[str, str],
        wait: Wait | None,
        *,
        grace: timedelta,
    ) -> Self:
        """Return the row of one job; see `fields_of`."""
        return cls(**cls.fields_of(listed, project_names, wait, grace=grace))


class JobSpecView(BaseModel):
    """The end of a `JobView`: the specs of a job, which never change while it waits or runs."""

    spec: dict[str, JsonValue]
    resolved: dict[str, JsonValue]
    class_weight_count: int

    @classmethod
    def fields_of(
        cls, spec: Mapping[str, Any], resolved_spec: Mapping[str, Any], *, threads: int | None
    ) -> dict[str, Any]:
        """Return the fields for the specs of a job and its CPU threads."""
        return {
            "spec": spec,
            "resolved": {**shown_spec(resolved_spec), "threads": threads},
            "class_weight_count": len(resolved_spec.get("class_weights") or ()),
        }


class JobView(JobRow):
    """A job's status: its row, and its spec as submitted and as resolved."""

    notes: str = Field(description="Free text.", examples=["First run with the new camera."])
    resume_epoch: int | None = Field(
        description="The epoch after which the job would continue if its worker died now, or after "
        "a resume or retry. null: it would start from the beginning. A pause stores the newest "
        "finished epoch first.",
        examples=[30],
    )
    spec: dict[str, JsonValue] = Field(
        description="The spec as it was submitted.",
        examples=[
            {
                "dataset": "ds_01JZ8QD3W5X0A1B2C3D4E5F6G7",
                "model": "yolo26n.pt",
                "train": {"epochs": 100},
            }
        ],
    )
    resolved: dict[str, JsonValue] = Field(
        description="The spec with all defaults filled in. "
        f"`class_weights` has the first {MAX_WEIGHTS_SHOWN} classes; "
        "`links.class_weights` has all.",
        examples=[
            {"dataset": "dsv_01JZ8QD3W5X0A1B2C3D4E5F6G7", "model": "yolo26n.pt", "task": "detect"}
        ],
    )
    class_weight_count: int = Field(description="Number of `class_weights`; 0: none.", examples=[0])


def _slot(listed: ListedJob) -> SlotView | None:
    job = listed.job
    if job.state is not JobState.RUNNING or job.worker_id is None:
        return None
    return SlotView(worker=job.worker_id, name=listed.related.slot_name)


def _duration(listed: ListedJob) -> float:
    job, running = listed.job, listed.related.open_seconds
    return round(job.earlier_seconds + job.ran_seconds + running, 3)


def progress_view(listed: ListedJob) -> ProgressView | None:
    """Return a job's progress; None if it has none."""
    row = listed.progress
    if row is None:
        return None
    is_training = listed.job.phase in {Phase.TRAINING, Phase.VALIDATING}
    return ProgressView(
        epoch=row.epoch,
        epochs=row.epochs,
        started_epoch=listed.related.first_epoch,
        batch=row.batch,
        batches=row.batches,
        losses=row.losses,
        eta_seconds=row.eta_seconds if is_training else None,
    )


def _best(job: Job) -> BestView | None:
    if job.best_epoch is None or job.best_metric is None:
        return None
    stored = job.best_at or {}
    is_of_it = stored.get("epoch") == job.best_epoch
    task: Any = job.task
    known = direction_of(task, job.best_metric) or "higher"
    return BestView(
        epoch=job.best_epoch,
        metric=job.best_metric,
        value=job.best_value,
        direction=stored["direction"] if is_of_it else known,
        at=stored["metrics"] if is_of_it else None,
    )


def _error(job: Job) -> JobErrorView | None:
    if job.state is not JobState.FAILED or job.end_reason is None:
        return None
    return JobErrorView(
        code=job.end_reason,
        title=job.end_reason.headline,
        message=job.error_message or "",
        hint=job.error_hint or "",
        amended=job.error_amended,
        log_line=job.error_log_line,
        attempt=job.attempt or None,
    )


def _links(job_id: str) -> dict[str, str]:
    own = link(f"/v1/jobs/{job_id}")
    return {"self": own, **{name: f"{own}/{path}" for name, path in LINKED.items()}}
