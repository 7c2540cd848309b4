"""`/v1/workers`: the slots of all workers, what each runs, and which of them take jobs."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path

from app.accounts.authentication import Principal, authenticate, needs
from app.core.context import Context, InContext
from app.core.pages import WholeList
from app.core.problems import responses_for
from app.core.strict_json import StrictRoute
from app.fleet.cordons import set_cordon
from app.fleet.repository import all_workers, live_ids, visible_worker
from app.fleet.tables import Cordon
from app.jobs.http.worker_views import Watched, WorkerView
from app.jobs.queue.occupants import occupants

router = APIRouter(
    prefix="/v1/workers",
    tags=["workers"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate)],
    responses=responses_for(400, 401, 403, 406, 422, 503),
)
Reader = Annotated[Principal, Depends(needs("workers:read"))]
Writer = Annotated[Principal, Depends(needs("workers:write"))]
WorkerId = Annotated[str, Path(description="Id of the slot (wrk_…).")]
CHANGE = responses_for(404, 422, 507)


@router.get("")
def list_workers(context: InContext, principal: Reader) -> WholeList[WorkerView]:
    """List the slots. A slot that has stopped is listed for `TRAINYARD_RETENTION__WORKER_DAYS`.

    Workers belong to the instance, not to a project.
    """
    silent = context.settings.timing.worker_silence
    with context.database.read() as unit:
        rows = all_workers(unit.session)
        watched = Watched(
            frozenset(live_ids(unit.session, silent=silent)),
            occupants(unit.session),
            principal.project_ids,
        )
    return WholeList(data=[watched.view(row) for row in rows])


@router.post("/{worker_id}/drain", status_code=202, responses=CHANGE)
def drain_worker(worker_id: WorkerId, context: InContext, principal: Writer) -> WorkerView:
    """Drain a slot: it takes no more jobs, and its job is stopped and continues elsewhere.

    The job is stopped as at a shutdown of the worker, so it continues from its newest state. The
    slot is drained when it is no longer `busy`. Requires an administrator of the instance.
    """
    return _set(context, principal, worker_id, Cordon.DRAINING)


@router.post("/{worker_id}/cordon", responses=CHANGE)
def cordon_worker(worker_id: WorkerId, context: InContext, principal: Writer) -> WorkerView:
    """Cordon a slot: it finishes its job and takes no more. Requires an administrator."""
    return _set(context, principal, worker_id, Cordon.CORDONED)


@router.post("/{worker_id}/uncordon", responses=CHANGE)
def uncordon_worker(worker_id: WorkerId, context: InContext, principal: Writer) -> WorkerView:
    """Let a cordoned or drained slot take jobs again. Requires an administrator."""
    return _set(context, principal, worker_id, None)


def _set(
    context: Context, principal: Principal, worker_id: str, cordon: Cordon | None
) -> WorkerView:
    principal.require_administrator()
    set_cordon(context.database, principal.actor(), worker_id, cordon)
    silent = context.settings.timing.worker_silence
    with context.database.read() as unit:
        row = visible_worker(unit.session, worker_id)
        watched = Watched(
            frozenset(live_ids(unit.session, silent=silent)),
            occupants(unit.session, worker_id),
            principal.project_ids,
        )
    return watched.view(row)
