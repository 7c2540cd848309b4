"""How a request about jobs can be refused."""

from app.core.errors import Conflict, FieldError, Invalid, NotFound, PreconditionFailed
from app.jobs.states import JobEvent, JobFacts, allowed_events


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
        allowed = allowed_events(facts)
        asked = f" with {facts.request} requested" if facts.request else ""
        now = ", ".join(allowed) or "nothing"
        super().__init__(
            f"A job that is {facts.state}{asked} cannot {event}; allowed now: {now}.",
            extra={"state": facts.state, "request": facts.request, "allowed": list(allowed)},
        )


class IdempotencyKeyReuse(Invalid):
    """The same key came with another body before."""

    slug, title = "idempotency-key-reuse", "The idempotency key was used for another request"

    def __init__(self) -> None:
        message = "This Idempotency-Key came with another body before; use a new one."
        super().__init__(
            message, errors=[FieldError("header/Idempotency-Key", "idempotency-key-reuse", message)]
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
