"""The JSON models of the queue, and of the reasons why a job waits."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Literal, Self

from pydantic import BaseModel, Field, JsonValue

from app.core.pages import Page
from app.core.path_prefix import link
from app.jobs.http.job_views import JobRow
from app.jobs.http.waiting import Wait, WaitingReason
from app.jobs.http.worker_views import RunningJobView, running_job_view
from app.jobs.plan.views import PlanView
from app.jobs.queue.changes import Change, ChangeKind
from app.jobs.queue.forecast import Forecast
from app.jobs.queue.order import ESTIMATED_PLACES, WaitingJob
from app.jobs.queue.reasons import QueueReason
from app.jobs.queue.waiting import SlotCheck, WaitingFacts, sentence_of
from app.jobs.repository import MAX_POSITION
from app.jobs.states import JobState
from app.jobs.tables import Job
from app.quotas.repository import QuotaUse

Needs = Literal["gpu", "cpu", "any"]
UNTIL = Field(
    description="When the back-off after an interruption ends. null: there is none.",
    examples=[None],
)
STARTS = Field(
    description="Estimated from the plans of the jobs before it and the remaining time of running "
    f"ones. null: one of these has no estimate, or {ESTIMATED_PLACES} jobs or more are before it.",
    examples=[1380.0],
)


class QueueEntryView(BaseModel):
    """A waiting job, its place, and what it waits for."""

    place: int | None = Field(
        description="Place in the order of claims, from 1. Jobs of other projects count and are "
        "not shown. null: a limit holds the job, and it is claimed in turn when the limit allows.",
        examples=[4],
    )
    job: JobRow = Field(description="The waiting job.")
    needs: Needs = Field(description="The slots that it can run on.")
    waits_for: QueueReason = Field(description="What it waits for.")
    until: datetime | None = UNTIL
    starts_in_seconds: float | None = STARTS

    @classmethod
    def of(cls, waiting: WaitingJob, project_names: Mapping[str, str], *, grace: timedelta) -> Self:
        """Return the view of one waiting job; see `JobRow.fields_of`."""
        gpus = waiting.listed.job.gpus
        reason = WaitingReason.of(waiting.waits_for)
        wait = Wait(waiting.place, reason, waiting.starts_in_seconds)
        return cls(
            place=waiting.place,
            job=JobRow.of(waiting.listed, project_names, wait, grace=grace),
            needs="any" if gpus is None else "gpu" if gpus else "cpu",
            waits_for=waiting.waits_for,
            until=waiting.until,
            starts_in_seconds=waiting.starts_in_seconds,
        )


class QueuePage(Page[QueueEntryView]):
    """A page of the waiting jobs of a queue."""

    not_shown: int = Field(
        description="Number of your waiting jobs that are behind the first "
        f"{MAX_POSITION} places, which are not looked at.",
        examples=[0],
    )


class ForecastView(BaseModel):
    """Where a job would wait if it were submitted now."""

    place: int | None = Field(
        description="Place in the order of claims, from 1. null: a limit would hold the job, or it "
        f"would be behind the first {MAX_POSITION} places, which are not looked at.",
        examples=[1],
    )
    waits_for: QueueReason = Field(description="What it would wait for.", examples=["slot"])
    slot: str | None = Field(
        description="Machine and slot that would take it. null: not known, or the scope "
        "workers:read is missing.",
        examples=["gpu-a/0"],
    )
    starts_in_seconds: float | None = STARTS

    @classmethod
    def of(cls, forecast: Forecast, *, shows_slots: bool) -> Self:
        """Return the view of a forecast."""
        return cls(
            place=forecast.place,
            waits_for=forecast.waits_for,
            slot=forecast.slot.name if forecast.slot and shows_slots else None,
            starts_in_seconds=forecast.starts_in_seconds,
        )


class ValidatedJobView(PlanView):
    """The plan of a job that is not stored, where it would wait, and its spec."""

    queue: ForecastView = Field(description="Where it would wait if it were submitted now.")
    spec: dict[str, JsonValue] = Field(
        description="The spec as a submit would store it.",
        examples=[{"dataset": "bccd", "model": "yolo26n.pt", "train": {"epochs": 100}}],
    )


class RequirementsView(BaseModel):
    """What a job requires of a slot."""

    queue: str = Field(description="The queue that the job waits in.", examples=["default"])
    gpus: int | None = Field(
        description="Number of GPUs; 0: a CPU slot. null: any slot.", examples=[1]
    )
    trainer: str | None = Field(
        description="Trainer plugin. null: none.", examples=[None, "weighted_boxes"]
    )


class SlotFitView(BaseModel):
    """A live slot, and which requirements of the job it meets."""

    worker: str = Field(description="Id of the slot.", examples=["wrk_01JZ8QD3W5X0A1B2C3D4E5F6G7"])
    name: str = Field(description="Machine and slot.", examples=["gpu-a/0"])
    suits: bool = Field(
        description="It serves the queue and has the GPUs and the trainer.", examples=[True]
    )
    serves_queue: bool = Field(description="Whether it serves the job's queue.", examples=[True])
    has_gpus: bool = Field(
        description="Whether it has the GPUs that the job requires.", examples=[True]
    )
    has_trainer: bool = Field(
        description="Whether it has the trainer plugin that the job requires.", examples=[True]
    )
    cordoned: bool = Field(
        description="true: it takes no more jobs until it is uncordoned.", examples=[False]
    )
    busy: bool = Field(description="true: it runs a job, of any project.", examples=[True])
    job: RunningJobView | None = Field(description="What it runs, if you may see it.")

    @classmethod
    def of(cls, fit: SlotCheck, project_ids: Collection[str]) -> Self:
        """Return the view of one slot."""
        return cls(
            worker=fit.slot.worker_id,
            name=fit.slot.name,
            suits=fit.suits,
            serves_queue=fit.serves_queue,
            has_gpus=fit.has_gpus,
            has_trainer=fit.has_trainer,
            cordoned=fit.slot.is_cordoned,
            busy=fit.slot.is_busy,
            job=running_job_view(fit.occupant, project_ids),
        )


class RunningLimitView(BaseModel):
    """How many jobs run, and how many may."""

    running: int = Field(description="Jobs that run now.", examples=[2])
    limit: int | None = Field(description="null: no limit.", examples=[4])

    @classmethod
    def of(cls, measured: QuotaUse) -> Self:
        """Return the view of one limit."""
        return cls(running=measured.used, limit=measured.limit)


class LimitsView(BaseModel):
    """What decides when the job is claimed, besides the slots."""

    priority: int = Field(description="Priority of the job.", examples=[0])
    project: RunningLimitView = Field(description="Of the project that owns the job.")
    user: RunningLimitView = Field(description="Of the user who owns the job.")


class ChangeView(BaseModel):
    """One change with which the next claim takes the job, and the request that makes it."""

    kind: ChangeKind = Field(
        description="change: of the job. clone: a new job that differs, which starts from the "
        "beginning; the waiting one stays. uncordon: of a slot. cancel: of another job of yours."
    )
    patch: dict[str, JsonValue] | None = Field(
        description="A merge patch (RFC 7396): of the job, or of the spec of the clone.",
        examples=[{"priority": 5}],
    )
    target: str | None = Field(
        description="The job that is cancelled, or the slot that is uncordoned.",
        examples=[None, "wrk_01JZ8QD3W5X0A1B2C3D4E5F6G7"],
    )
    method: Literal["PATCH", "POST"] = Field(description="HTTP method of the request.")
    href: str = Field(
        description="Send the patch, or an empty body, here.",
        examples=["/v1/jobs/job_01JZ8QD3W5X0A1B2C3D4E5F6G7"],
    )
    starts: Literal["now", "at_next_claim"] = Field(
        description="at_next_claim: when the slot has ended the job that it runs."
    )
    slot: str | None = Field(
        description="Machine and slot that then takes it. null: the scope workers:read is missing.",
        examples=["gpu-a/0"],
    )

    @classmethod
    def of(cls, change: Change, job_id: str, *, shows_slots: bool) -> Self:
        """Return the view of one change."""
        paths = {
            ChangeKind.CHANGE: link(f"/v1/jobs/{job_id}"),
            ChangeKind.CLONE: link(f"/v1/jobs/{job_id}/clone"),
            ChangeKind.CANCEL: link(f"/v1/jobs/{change.target}/cancel"),
            ChangeKind.UNCORDON: link(f"/v1/workers/{change.target}/uncordon"),
        }
        return cls(
            kind=change.kind,
            patch=None if change.patch is None else dict(change.patch),
            target=change.target,
            method="PATCH" if change.kind is ChangeKind.CHANGE else "POST",
            href=paths[change.kind],
            starts="at_next_claim" if change.slot.is_busy else "now",
            slot=change.slot.name if shows_slots else None,
        )


class WaitingView(BaseModel):
    """Why a job waits, and which changes would let it start."""

    job: str = Field(description="Id of the job.", examples=["job_01JZ8QD3W5X0A1B2C3D4E5F6G7"])
    state: JobState = Field(description="What the job does.", examples=["queued"])
    waits_for: QueueReason | None = Field(description="null: the job does not wait.")
    reason: str = Field(
        description="The reason in one sentence.",
        examples=["All slots that suit the job are busy."],
    )
    place: int | None = Field(
        description="Place in its queue, from 1, as in the job's status.", examples=[4]
    )
    until: datetime | None = UNTIL
    starts_in_seconds: float | None = STARTS
    requires: RequirementsView = Field(description="What the job requires of a slot.")
    slots: list[SlotFitView] | None = Field(
        description="The live slots. null: it does not wait, or the scope workers:read is missing."
    )
    limits: LimitsView | None = Field(
        description="What decides when the job is claimed, besides the slots. null: it does not "
        "wait."
    )
    changes: list[ChangeView] = Field(
        description="Each was tried against the rules of claims. Empty: no single change that you "
        "may make lets it start."
    )

    @classmethod
    def of(
        cls,
        job: Job,
        waiting: WaitingFacts | None,
        changes: Collection[Change],
        *,
        project_ids: Collection[str],
        shows_slots: bool,
    ) -> Self:
        """Return the view of one job."""
        requires = RequirementsView(queue=job.queue, gpus=job.gpus, trainer=job.trainer)
        if waiting is None:
            return cls(
                job=job.id,
                state=job.state,
                waits_for=None,
                reason=f"The job does not wait: it is {job.state}.",
                place=None,
                until=None,
                starts_in_seconds=None,
                requires=requires,
                slots=None,
                limits=None,
                changes=[],
            )
        slots = [SlotFitView.of(fit, project_ids) for fit in waiting.slots]
        return cls(
            job=job.id,
            state=job.state,
            waits_for=waiting.waits_for,
            reason=sentence_of(waiting, shows_slots=shows_slots),
            place=waiting.place,
            until=waiting.until,
            starts_in_seconds=waiting.starts_in_seconds,
            requires=requires,
            slots=slots if shows_slots else None,
            limits=LimitsView(
                priority=job.priority,
                project=RunningLimitView.of(waiting.project_running),
                user=RunningLimitView.of(waiting.user_running),
            ),
            changes=[ChangeView.of(it, job.id, shows_slots=shows_slots) for it in changes],
        )
