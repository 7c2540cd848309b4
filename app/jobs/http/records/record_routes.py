"""`/v1/jobs/{id}/…`: plan and class weights."""

from itertools import islice
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field

from app.accounts.authentication import Principal, authenticate, needs
from app.core.context import InContext
from app.core.pages import Cursor, Page, PageSize
from app.core.problems import responses_for
from app.core.strict_json import StrictRoute
from app.jobs.errors import PlanNotFound
from app.jobs.http.parameters import JobId
from app.jobs.http.records.epoch_range import EpochRange, EpochRangeText
from app.jobs.http.views import ClassWeightView
from app.jobs.plan.rates import with_rates
from app.jobs.plan.views import PlanView
from app.jobs.repository import visible_job, visible_job_and_plan

router = APIRouter(
    prefix="/v1/jobs/{job_id}",
    tags=["jobs"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate)],
    responses=responses_for(400, 401, 403, 406, 404, 422, 503),
)
Reader = Annotated[Principal, Depends(needs("jobs:read"))]


class PlanQuery(BaseModel):
    """The epochs whose learning rates to return."""

    rates: Annotated[
        EpochRangeText | None,
        Field(
            description="The epochs of `optimizer.epochs_shown` and `optimizer.groups[].rates`: "
            "`all`, or a range such as `1-50`. Default: the first, the middle and the last."
        ),
    ] = None


class ClassWeightsQuery(BaseModel):
    """The page of a list."""

    cursor: Cursor = None
    limit: PageSize = 50


@router.get("/plan")
def read_plan(
    job_id: JobId,
    context: InContext,
    principal: Reader,
    query: Annotated[PlanQuery, Query()],
) -> PlanView:
    """Read the plan that was made when the job was submitted."""
    with context.database.read() as unit:
        job, plan = visible_job_and_plan(unit.session, principal.project_ids, job_id)
    if plan is None:
        raise PlanNotFound
    view = PlanView.stored(plan, job)
    if query.rates is None:
        return view
    wanted = EpochRange.parse(query.rates, pointer="query/rates")
    optimizer = with_rates(view, job.resolved_spec, first=wanted.first, last=wanted.last)
    return view.model_copy(update={"optimizer": optimizer})


@router.get("/class-weights")
def list_class_weights(
    job_id: JobId,
    context: InContext,
    principal: Reader,
    query: Annotated[ClassWeightsQuery, Query()],
) -> Page[ClassWeightView]:
    """List the weights of the classes in the loss, in class order; none without class weights."""
    with context.database.read() as unit:
        job = visible_job(unit.session, principal.project_ids, job_id)
    kind = f"class-weights:{job_id}"
    start = int(str(context.cursors.open(kind, query.cursor)[0])) if query.cursor else 0
    weights = (job.resolved_spec.get("class_weights") or {}).items()
    return Page.of(
        [*enumerate(islice(weights, start, start + query.limit + 1), start)],
        query.limit,
        seal=lambda row: context.cursors.seal(kind, [row[0] + 1]),
        view=lambda row: ClassWeightView(name=row[1][0], weight=row[1][1]),
    )
