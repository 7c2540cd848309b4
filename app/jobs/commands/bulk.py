"""One action on many jobs: each job by its own transition, in its own transaction."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from app.accounts.authentication import Principal
from app.core.context import Context
from app.core.database import OUTAGE
from app.core.errors import TrainyardError, Unavailable
from app.core.logging import get_logger
from app.core.omitted_fields import change_schema
from app.core.problems import DatabaseUnavailable
from app.core.text_fields import plain_text
from app.jobs.commands.control import QUEUES_AGAIN, apply_user_event, change_job
from app.jobs.listed import ListedJob
from app.jobs.spec.base_model import SpecModel
from app.jobs.spec.job_spec import Tags
from app.jobs.states import JobEvent

MOST_JOBS: Final = 200
MOST_SECONDS: Final = 20.0
"""No further job is begun after this time."""

log = get_logger(__name__)


def _without_duplicates(jobs: list[str]) -> list[str]:
    if len(set(jobs)) < len(jobs):
        raise PydanticCustomError("duplicate_job", "Name each job once.")
    return jobs


class BulkChange(SpecModel):
    """The fields to change in every job; omitted fields keep their values."""

    model_config = ConfigDict(json_schema_extra=change_schema({"priority": 5}))

    priority: Annotated[
        int,
        Field(
            ge=-100,
            le=100,
            description="A job with a higher priority is claimed first.",
            examples=[5],
        ),
    ] = 0
    tags: Annotated[Tags, Field(description="All tags of each job from now on.")] = Field(
        default_factory=dict, examples=[{"line": "4"}]
    )


class BulkAction(SpecModel):
    """An action, and the jobs to apply it to."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"do": "cancel", "jobs": ["job_01JZ8QD3W5X0A1B2C3D4E5F6G7"]},
                {
                    "do": "change",
                    "jobs": ["job_01JZ8QD3W5X0A1B2C3D4E5F6G7"],
                    "change": {"priority": 5},
                },
            ]
        }
    )

    do: Annotated[
        Literal["cancel", "pause", "resume", "stop", "retry", "delete", "restore", "change"],
        Field(
            description="`delete` moves to the trash. `change` changes fields. The others are the "
            "actions of those names."
        ),
    ]
    jobs: Annotated[
        list[Annotated[str, Field(max_length=200), BeforeValidator(plain_text)]],
        Field(
            min_length=1,
            max_length=MOST_JOBS,
            description="Ids, each once.",
            json_schema_extra={"uniqueItems": True},
            examples=[["job_01JZ8QD3W5X0A1B2C3D4E5F6G7"]],
        ),
        AfterValidator(_without_duplicates),
    ]
    change: Annotated[
        BulkChange | None, Field(description="With `do: change`: the fields to change.")
    ] = None

    @model_validator(mode="after")
    def _check_change(self) -> Self:
        fields = self.change.model_fields_set if self.change else frozenset()
        if self.do == "change" and not fields:
            raise PydanticCustomError("missing_change", "Give the fields to change in change.")
        if self.do != "change" and self.change is not None:
            raise PydanticCustomError("change_without_do", "change belongs to do: change.")
        return self


class NotTried(Unavailable):
    """The request took too long; this job was not tried."""

    slug, title = "not-tried", "The job was not tried"

    def __init__(self) -> None:
        super().__init__(
            f"The jobs before this one took {MOST_SECONDS:g} seconds. Send the rest again."
        )


@dataclass(frozen=True)
class RefusedJob:
    """A job that was left as it is, and why."""

    job_id: str
    error: TrainyardError


@dataclass(frozen=True)
class BulkOutcome:
    """The changed jobs and the refused ones, each in the order of the request."""

    done: Sequence[ListedJob]
    refused: Sequence[RefusedJob]


def apply_to_jobs(context: Context, principal: Principal, action: BulkAction) -> BulkOutcome:
    """Apply an action to each job, as the route of a single job does.

    A refusal of one job does not affect the others. Once the database is unavailable, the remaining
    jobs are refused without a try.

    Raises:
        ReserveReached: the action queues jobs, and a disk has only its reserve.
    """
    if action.do in QUEUES_AGAIN:
        context.disk.require()
    ends = time.monotonic() + MOST_SECONDS
    done: list[ListedJob] = []
    refused: list[RefusedJob] = []
    outage: TrainyardError | None = None
    for job_id in action.jobs:
        outage = outage or (NotTried() if time.monotonic() > ends else None)
        outcome = outage or _applied(context, principal, action, job_id)
        if isinstance(outcome, ListedJob):
            done.append(outcome)
            continue
        refused.append(RefusedJob(job_id, outcome))
        if isinstance(outcome, DatabaseUnavailable):
            outage = outcome
    return BulkOutcome(done, refused)


def _applied(
    context: Context, principal: Principal, action: BulkAction, job_id: str
) -> ListedJob | TrainyardError:
    try:
        if action.change is None:
            return apply_user_event(context, principal, job_id, JobEvent(action.do))
        values, sent = {}, action.change.model_fields_set
        if "priority" in sent:
            values["priority"] = action.change.priority
        tags = dict(action.change.tags) if "tags" in sent else None
        return change_job(context, principal, job_id, values=values, tags=tags, revision=None)
    except TrainyardError as error:
        return error
    except OUTAGE as error:
        log.error("database.unavailable", error=type(error).__name__)  # noqa: TRY400 -- as for any request
        return DatabaseUnavailable("The database is unavailable; try again shortly.")
