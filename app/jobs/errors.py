"""The errors of requests about jobs."""

from dataclasses import replace

from pydantic import JsonValue

from app.core.errors import (
    Conflict,
    FieldError,
    Invalid,
    NotFound,
    PreconditionFailed,
    TooManyRequests,
    Unavailable,
)
from app.jobs.guards import JobFacts, allowed_events, transition_for
from app.jobs.states import JobEvent, JobState


class JobNotFound(NotFound):
    """The job does not exist in the caller's projects."""

    slug, title = "job-not-found", "No such job"

    def __init__(self) -> None:
        super().__init__("There is no job with this id in your projects.")


class TooManyWaits(TooManyRequests):
    """Too many requests wait for jobs already, of this caller or of all."""

    slug, title = "too-many-waits", "Too many requests wait"

    def __init__(self, of_caller: int) -> None:
        super().__init__(
            f"Too many requests wait for jobs; a key or session may have {of_caller} at once. "
            "Send the request without wait, or poll GET /v1/events for all jobs.",
            retry_after=1,
        )


class PlanNotFound(NotFound):
    """The job was submitted before plans were stored."""

    slug, title = "plan-not-found", "The job has no plan"

    def __init__(self) -> None:
        super().__init__("This job was submitted before plans were stored.")


class AttemptNotFound(NotFound):
    """The job has no attempt with this number."""

    def __init__(self, number: int, newest: int) -> None:
        has = f"its newest is {newest}" if newest else "it has not run yet"
        super().__init__(f"The job has no attempt {number}; {has}.")


class ClassMetricsNotFound(NotFound):
    """The job has no per-class metrics, or none for that epoch."""

    slug, title = "class-metrics-not-found", "No such per-class metrics"

    def __init__(self, epoch: int | None) -> None:
        of_epoch = "" if epoch is None else f" of epoch {epoch}"
        super().__init__(
            f"The job has no per-class metrics{of_epoch}. Jobs with "
            "customize.metrics.per_class record them in each epoch."
        )


class SeriesTooLong(Invalid):
    """The response would be too long; the caller can ask for it in parts."""

    slug, title = "series-too-long", "The series are too long for one response"

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(message, errors=[FieldError(pointer, "series-too-long", message)])


class InvalidTransition(Conflict):
    """The job's current state does not allow the requested action."""

    slug, title = "invalid-transition", "The job's state does not allow this"

    def __init__(self, event: JobEvent, facts: JobFacts) -> None:
        pending = f" with {facts.request} requested" if facts.request else ""
        where = " and in the trash" if facts.in_trash else ""
        now = ", ".join(allowed_events(facts)) or "nothing"
        super().__init__(
            f"A job that is {facts.state}{pending}{where} cannot {event}; allowed now: {now}.",
            extra=_situation(facts),
        )


class NothingToKeep(Conflict):
    """A waiting job cannot be stopped with its result, because it has no checkpoint yet."""

    slug, title = "nothing-to-keep", "There is no result to keep"

    def __init__(self, facts: JobFacts) -> None:
        now = ", ".join(allowed_events(facts))
        super().__init__(
            f"A job that is {facts.state} without a checkpoint has nothing to keep; "
            f"allowed now: {now}.",
            extra=_situation(facts),
        )


class NothingToAmend(Conflict):
    """No change of the spec is known that avoids a failure of this job."""

    slug, title = "nothing-to-amend", "No change of the spec is known that avoids a failure"

    def __init__(self, facts: JobFacts) -> None:
        situation = _situation(facts)
        allowed: list[JsonValue] = [*allowed_events(facts), "clone"]
        now = ", ".join(map(str, allowed))
        super().__init__(
            f"The job is {facts.state}, and its error has no amended spec. Clone it with changes "
            f"of your own; allowed now: {now}.",
            extra=situation | {"allowed": allowed},
        )


class GraceIsOver(Conflict):
    """The job has been in the trash for too long; its files may be deleted."""

    slug, title = "grace-is-over", "The job can no longer be restored"

    def __init__(self, days: float) -> None:
        super().__init__(f"Jobs can be restored for {days:g} days; this one was deleted earlier.")


class JobInTrash(Conflict):
    """The requested action is not allowed for a job in the trash."""

    slug, title = "job-in-trash", "The job is in the trash"

    def __init__(self, job_id: str) -> None:
        super().__init__(f"Job {job_id} is in the trash; restore it first.")


class JobNotEnded(Conflict):
    """Only an ended job can be extended."""

    slug, title = "job-not-ended", "The job has not ended"

    def __init__(self, job_id: str, state: JobState) -> None:
        super().__init__(
            f"Job {job_id} is {state}. Stop it, cancel it or wait for its end, then extend it.",
            extra={"state": state},
        )


class NoTrainingState(Conflict):
    """The job has no training state from which another job could continue."""

    slug, title = "no-training-state", "There is no training state to continue from"

    def __init__(self, job_id: str, *, has_best: bool) -> None:
        instead = (
            f'Submit a job with "model": "{job_id}" to start from its best.pt'
            if has_best
            else "Clone it to train it again"
        )
        super().__init__(
            f"Job {job_id} has no training state: none was written, or it is older than "
            f"TRAINYARD_KEEP_STATE_DAYS. {instead}.",
            extra={"model": job_id if has_best else None},
        )


def refusal_of(event: JobEvent, facts: JobFacts) -> Conflict:
    """Return the error for an event that the table has no row for in the job's current state."""
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
    """An earlier request used the same key with another body."""

    slug, title = "idempotency-key-reuse", "The idempotency key was used for another request"

    def __init__(self) -> None:
        message = "An earlier request used this Idempotency-Key with another body; use a new key."
        super().__init__(
            message, errors=[FieldError("header/Idempotency-Key", "idempotency-key-reuse", message)]
        )


class ConcurrentRequests(Unavailable):
    """Concurrent requests repeatedly changed what this request depends on. Nothing was stored."""

    slug, title = "concurrent-requests", "Concurrent requests were faster"

    def __init__(self) -> None:
        super().__init__(
            "Other requests with the same Idempotency-Key, or for the same job, were faster each "
            "time. Nothing was stored. Send this request again."
        )


class PriorityTooHigh(Invalid):
    """The priority is above the ceiling of the caller's role."""

    slug, title = "priority-too-high", "The role allows no such priority"

    def __init__(self, priority: int, ceiling: int, role: str) -> None:
        message = (
            f"The priority {priority} is above {ceiling}, the highest that the role {role} may use."
        )
        errors = [FieldError("/priority", "priority-too-high", message)]
        super().__init__(message, errors=errors, extra={"ceiling": ceiling, "role": role})


class TaskMismatch(Invalid):
    """The model, the dataset and the task do not fit together."""

    slug, title = "task-mismatch", "Model, dataset and task do not fit together"

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__(message, errors=[FieldError(pointer, "task-mismatch", message)])


class NoWeightsYet(Conflict):
    """The job that is named as the model has no `best.pt`."""

    slug, title = "no-weights-yet", "That job has no best.pt"


class StaleRevision(PreconditionFailed):
    """The job's revision is not the one in `If-Match`."""

    def __init__(self, revision: int) -> None:
        super().__init__(
            f'The job is at revision {revision}; read it again and send If-Match: "{revision}".',
            extra={"revision": revision},
        )
