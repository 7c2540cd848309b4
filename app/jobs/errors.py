"""How a request about jobs can be refused."""

from dataclasses import replace

from pydantic import JsonValue

from app.core.errors import (
    Conflict,
    FieldError,
    Invalid,
    NotFound,
    PreconditionFailed,
    Unavailable,
)
from app.jobs.guards import JobFacts, allowed_events, transition_for
from app.jobs.states import JobEvent, JobState


class JobNotFound(NotFound):
    """No such job, or none in the caller's projects."""

    slug, title = "job-not-found", "No such job"

    def __init__(self) -> None:
        super().__init__("There is no job of this id in your projects.")


class PlanNotFound(NotFound):
    """The job is older than plans are."""

    slug, title = "plan-not-found", "No plan of this job"

    def __init__(self) -> None:
        super().__init__("This job was submitted before plans were kept.")


class ClassMetricsNotFound(NotFound):
    """The job has no per-class metrics, or none of that epoch."""

    slug, title = "class-metrics-not-found", "No such per-class metrics"

    def __init__(self, epoch: int | None) -> None:
        of = "" if epoch is None else f" of epoch {epoch}"
        super().__init__(
            f"The job has no per-class metrics{of}: they come with each epoch, for jobs with "
            "customize.metrics.per_class."
        )


class InvalidTransition(Conflict):
    """The job's present state does not allow what was asked."""

    slug, title = "invalid-transition", "The job's state does not allow this"

    def __init__(self, event: JobEvent, facts: JobFacts) -> None:
        asked = f" with {facts.request} requested" if facts.request else ""
        where = " and in the trash" if facts.in_trash else ""
        now = ", ".join(allowed_events(facts)) or "nothing"
        super().__init__(
            f"A job that is {facts.state}{asked}{where} cannot {event}; allowed now: {now}.",
            extra=_situation(facts),
        )


class NothingToKeep(Conflict):
    """A job that does not run was to be stopped with its result, and has no checkpoint yet."""

    slug, title = "nothing-to-keep", "There is no result to keep"

    def __init__(self, facts: JobFacts) -> None:
        now = ", ".join(allowed_events(facts))
        super().__init__(
            f"A job that is {facts.state} without a checkpoint has nothing to keep; "
            f"allowed now: {now}.",
            extra=_situation(facts),
        )


class GraceIsOver(Conflict):
    """The job was in the trash for too long: its files may be gone."""

    slug, title = "grace-is-over", "The job cannot be restored any more"

    def __init__(self, days: float) -> None:
        super().__init__(f"Jobs can be restored for {days:g} days; this one was deleted before.")


class JobInTrash(Conflict):
    """What was asked needs the job outside of the trash."""

    slug, title = "job-in-trash", "The job is in the trash"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"Job {job_id} is in the trash; restore it first.")


class JobNotEnded(Conflict):
    """Only a job that has ended can be gone on from."""

    slug, title = "job-not-ended", "The job has not ended"

    def __init__(self, job_id: str, state: JobState) -> None:
        super().__init__(
            f"Job {job_id} is {state}; stop or cancel it, or wait for its end, then extend it.",
            extra={"state": state},
        )


class NoTrainingState(Conflict):
    """The job has no training state that another could go on from."""

    slug, title = "no-training-state", "There is no training state to go on from"

    def __init__(self, job_id: str, *, has_best: bool) -> None:
        instead = (
            f'Submit a job with "model": "{job_id}" to start from its best.pt'
            if has_best
            else "Clone it to train it anew"
        )
        super().__init__(
            f"Job {job_id} has no training state: none was written, or it is older than "
            f"TRAINYARD_KEEP_STATE_DAYS. {instead}.",
            extra={"model": job_id if has_best else None},
        )


def refusal_of(event: JobEvent, facts: JobFacts) -> Conflict:
    """Return the error of an event that the table has no row for, as the job stands."""
    would_do = transition_for(event, replace(facts, has_checkpoint=True))
    return InvalidTransition(event, facts) if would_do is None else NothingToKeep(facts)


def _situation(facts: JobFacts) -> dict[str, JsonValue]:
    allowed: list[JsonValue] = list(allowed_events(facts))
    return {
        "state": facts.state,
        "request": facts.request,
        "in_trash": facts.in_trash,
        "allowed": allowed,
    }


class IdempotencyKeyReuse(Invalid):
    """The same key came with another body before."""

    slug, title = "idempotency-key-reuse", "The idempotency key was used for another request"

    def __init__(self) -> None:
        message = "This Idempotency-Key came with another body before; use a new one."
        super().__init__(
            message, errors=[FieldError("header/Idempotency-Key", "idempotency-key-reuse", message)]
        )


class ConcurrentRequests(Unavailable):
    """Concurrent requests changed what this one depends on, several times; nothing was stored."""

    slug, title = "concurrent-requests", "Concurrent requests were faster"

    def __init__(self) -> None:
        super().__init__(
            "Other requests with the same Idempotency-Key, or for the same job, were faster each "
            "time; nothing was stored. Send this request again."
        )


class TaskMismatch(Invalid):
    """The model, the data set and the asked task do not go together."""

    slug, title = "task-mismatch", "Model, data set and task do not fit"

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(message, errors=[FieldError(pointer, "task-mismatch", message)])


class NoWeightsYet(Conflict):
    """The job named as a model has no `best.pt`."""

    slug, title = "no-weights-yet", "That job has no best.pt"


class StaleRevision(PreconditionFailed):
    """`If-Match` names another revision than the job has."""

    def __init__(self, revision: int) -> None:
        super().__init__(
            f'The job is at revision {revision}; read it again and send If-Match: "{revision}".',
            extra={"revision": revision},
        )
