"""Jobs, their plans and their attempts."""

from datetime import datetime
from typing import Any, Final

from trainyard.views.base import View

ENDED: Final = frozenset({"succeeded", "failed", "cancelled"})
"""The states in which a job stays until a person acts."""


class SlotView(View):
    """The slot that runs a job."""

    worker: str
    name: str | None


class ProgressView(View):
    """How far a training is."""

    epoch: int
    epochs: int
    started_epoch: int | None
    batch: int
    batches: int
    losses: dict[str, float | None]
    eta_seconds: float | None


class BestView(View):
    """The epoch whose weights `best.pt` has."""

    epoch: int
    metric: str
    value: float | None
    direction: str
    at: dict[str, float | None] | None


class JobErrorView(View):
    """Why a job failed."""

    code: str
    title: str
    message: str
    hint: str
    amended: dict[str, Any] | None
    log_line: int | None
    attempt: int | None


class JobRow(View):
    """A job as lists have it."""

    id: str
    parent: str | None
    name: str | None
    project: str
    created_by: str | None
    state: str
    phase: str | None
    request: str | None
    attempt: int
    revision: int
    priority: int
    queue: str
    slot: SlotView | None
    queue_position: int | None
    waiting_reason: str | None
    task: str
    model: str
    dataset: str
    dataset_name: str | None
    dataset_version: str
    tags: dict[str, str]
    progress: ProgressView | None
    best: BestView | None
    curve: list[float | None]
    error: JobErrorView | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    duration_seconds: float
    trashed_at: datetime | None
    kept_until: datetime | None
    links: dict[str, str]

    @property
    def has_ended(self) -> bool:
        """Whether it has succeeded, failed or been cancelled."""
        return self.state in ENDED


class JobView(JobRow):
    """A job with its spec."""

    notes: str
    resume_epoch: int | None
    spec: dict[str, Any]
    resolved: dict[str, Any]
    class_weight_count: int


class ActorView(View):
    """Who did something."""

    user: str | None = None
    key: str | None = None


class AttemptView(View):
    """One attempt of a worker to train a job."""

    number: int
    worker: str
    worker_name: str | None
    started_at: datetime
    ended_at: datetime | None
    first_epoch: int | None
    last_epoch: int | None
    end_reason: str | None
    actor: ActorView | None
    exit_code: int | None
    message: str | None
    resumed: str
    resumed_from: int | None


class EventView(View):
    """Something that happened to a job. `seq` counts from 1 within the job."""

    seq: int
    type: str
    level: str
    data: dict[str, Any]
    created_at: datetime


class PlanWarning(View):
    """Something that a person should know before the training starts."""

    code: str
    pointer: str | None
    message: str


class EstimatePlan(View):
    """How long the training will probably take."""

    seconds: float | None
    epoch_seconds: float | None
    device: str | None
    jobs: list[str]
    note: str | None


class ExtentPlan(View):
    """How much there is to train."""

    epochs: int
    training_images: int
    validation_images: int
    images: dict[str, int]
    batches_per_epoch: int | None
    accumulate: int | None
    optimizer_steps: int | None
    warmup_batches: int | None


class SwitchedOn(View):
    """A customization that another one needs."""

    field: str
    because: str


class ForecastView(View):
    """Where a job would wait if it were submitted now."""

    place: int | None
    waits_for: str
    slot: str | None
    starts_in_seconds: float | None


class PlanView(View):
    """What a training would do. Model, classes and optimizer are as the server sends them."""

    model: dict[str, Any] | None
    classes: dict[str, Any]
    optimizer: dict[str, Any]
    extent: ExtentPlan
    estimate: EstimatePlan
    switched_on: list[SwitchedOn]
    warnings: list[PlanWarning]
    resolved: dict[str, Any]


class ValidatedJobView(PlanView):
    """The plan of a job that is not stored, where it would wait, and its spec."""

    queue: ForecastView
    spec: dict[str, Any]


class LeftOutView(View):
    """An argument that is no part of a spec, and why."""

    argument: str
    because: str


class ParsedView(View):
    """A training in Ultralytics' words as a spec."""

    spec: dict[str, Any]
    missing: list[str]
    left_out: list[LeftOutView]
