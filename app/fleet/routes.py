"""`/v1/workers`: who is there, and what each slot offers."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Self

from fastapi import APIRouter, Depends
from pydantic import BaseModel, JsonValue

from app.accounts.authentication import Principal, authenticate, needs
from app.core.context import InContext
from app.core.pages import Page
from app.core.problems import responses_for
from app.core.strict_json import StrictRoute
from app.fleet.repository import all_workers, live_workers
from app.fleet.tables import Worker

router = APIRouter(
    prefix="/v1/workers",
    tags=["workers"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate)],
    responses=responses_for(400, 401, 403, 406, 503),
)
Reader = Annotated[Principal, Depends(needs("workers:read"))]


class Presence(StrEnum):
    """Whether a slot is there: it says so, it said that it goes, or it fell silent."""

    LIVE = "live"
    SILENT = "silent"
    STOPPED = "stopped"


class WorkerView(BaseModel):
    """One slot: the GPUs (or the CPU) that one worker process works for."""

    id: str
    node: str
    host: str
    slot: str
    state: Presence
    queues: list[str]
    gpus: int
    devices: list[dict[str, JsonValue]]
    plugins: list[str]
    version: str
    started_at: datetime
    heartbeat_at: datetime
    stopped_at: datetime | None

    @classmethod
    def of(cls, row: Worker, state: Presence) -> Self:
        """Return the view of one slot."""
        return cls(
            id=row.id,
            node=row.node,
            host=row.host,
            slot=row.slot,
            state=state,
            queues=row.queues,
            gpus=row.gpus,
            devices=row.devices,
            plugins=row.plugins,
            version=row.version,
            started_at=row.started_at,
            heartbeat_at=row.heartbeat_at,
            stopped_at=row.stopped_at,
        )


@router.get("")
def list_workers(context: InContext, _: Reader) -> Page[WorkerView]:
    """List every slot that was ever seen. Workers belong to the instance, not to a project."""
    silent = timedelta(seconds=context.settings.timing.worker_silent_seconds)
    with context.database.read() as unit:
        rows = all_workers(unit.session)
        live = {row.id for row in live_workers(unit.session, silent=silent)}
    data = [WorkerView.of(row, _presence(row, live)) for row in rows]
    return Page(data=data, next=None, has_more=False)


def _presence(row: Worker, live: set[str]) -> Presence:
    if row.stopped_at is not None:
        return Presence.STOPPED
    return Presence.LIVE if row.id in live else Presence.SILENT
