"""`/v1/jobs/bulk`: one action on many jobs."""

from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from app.accounts.authentication import Principal, authenticate, needs
from app.core.context import InContext
from app.core.problems import Problem, problem_of, responses_for
from app.core.strict_json import StrictRoute
from app.jobs.commands.bulk import BulkAction, apply_to_jobs
from app.jobs.http.job_views import JobRow
from app.jobs.http.waiting import waits_of

router = APIRouter(
    prefix="/v1/jobs",
    tags=["jobs"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate)],
    responses=responses_for(400, 401, 403, 406, 413, 415, 422, 503, 507),
)
Writer = Annotated[Principal, Depends(needs("jobs:write"))]


class RefusedView(BaseModel):
    """A job that was left as it is, and the problem that its own route would have answered."""

    job: str = Field(description="Id of the job.", examples=["job_01JZ8QD3W5X0A1B2C3D4E5F6G7"])
    problem: Problem = Field(
        description="The problem that the job's own route would have answered."
    )


class BulkView(BaseModel):
    """The changed jobs and the refused ones, each in the order of the request."""

    done: list[JobRow] = Field(description="The changed jobs, in the order of the request.")
    refused: list[RefusedView] = Field(
        description="The refused jobs, in the order of the request.", examples=[[]]
    )


@router.post("/bulk")
def act_on_jobs(action: BulkAction, context: InContext, principal: Writer) -> BulkView:
    """Apply one action to up to 200 jobs.

    Each job changes, or is refused, in a transaction of its own: a refusal of one does not affect
    the others, and no job changes by halves. A request that was cut off can be sent again.
    """
    outcome = apply_to_jobs(context, principal, action)
    with context.database.read() as unit:
        waits = waits_of(unit, context, [listed.job for listed in outcome.done])
    names, grace = principal.project_names, context.settings.trash_grace
    return BulkView(
        done=[
            JobRow.of(listed, names, waits.get(listed.job.id), grace=grace)
            for listed in outcome.done
        ],
        refused=[
            RefusedView(job=refused.job_id, problem=problem_of(refused.error))
            for refused in outcome.refused
        ],
    )
