"""`/v1/workers` and `/v1/trainers`: the slots of all workers, and the trainer plugins."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field, JsonValue

from app.accounts.authentication import Principal, authenticate, needs
from app.core.context import InContext
from app.core.pages import Page
from app.core.problems import responses_for
from app.core.strict_json import StrictRoute
from app.fleet.repository import (
    KnownPlugin,
    ReportedPlugin,
    all_workers,
    known_plugins,
    live_workers,
)
from app.fleet.tables import Worker

router = APIRouter(
    prefix="/v1",
    tags=["workers"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate)],
    responses=responses_for(400, 401, 403, 406, 503),
)
Reader = Annotated[Principal, Depends(needs("workers:read"))]


class Presence(StrEnum):
    """The state of a slot: live, silent (without a recent heartbeat) or stopped (shut down)."""

    LIVE = "live"
    SILENT = "silent"
    STOPPED = "stopped"


class PluginView(BaseModel):
    """A trainer plugin of one slot; `/v1/trainers` lists its tasks and options."""

    name: str
    version: str
    error: str | None = Field(description="Reason why the slot cannot use it; null if it can.")


class WorkerView(BaseModel):
    """One slot: the GPUs (or the CPU) that one worker process uses."""

    id: str
    node: str
    host: str
    slot: str
    state: Presence
    queues: list[str]
    gpus: int
    devices: list[dict[str, JsonValue]]
    plugins: list[PluginView]
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
            plugins=[_plugin_view(ReportedPlugin.model_validate(plugin)) for plugin in row.plugins],
            version=row.version,
            started_at=row.started_at,
            heartbeat_at=row.heartbeat_at,
            stopped_at=row.stopped_at,
        )


class TrainerView(BaseModel):
    """A trainer plugin that a job can name, as reported by the slots that have it."""

    name: str = Field(description="The value for trainer.name of a job.")
    versions: list[str] = Field(
        description="Installed versions. The first one defines tasks and options_schema."
    )
    tasks: list[str] = Field(description="Tasks that it can train.")
    options_schema: dict[str, JsonValue] = Field(
        description="JSON Schema that trainer.options must satisfy."
    )
    slots: int = Field(description="Number of live slots that have it; if 0, jobs wait.")

    @classmethod
    def of(cls, known: KnownPlugin) -> Self:
        """Return the view of one plugin."""
        return cls(
            name=known.name,
            versions=list(known.versions),
            tasks=list(known.tasks),
            options_schema=known.options_schema,
            slots=known.slots,
        )


@router.get("/workers")
def list_workers(context: InContext, _: Reader) -> Page[WorkerView]:
    """List every slot that ever registered. Workers belong to the instance, not to a project."""
    silent = context.settings.timing.worker_silence
    with context.database.read() as unit:
        rows = all_workers(unit.session)
        live = {row.id for row in live_workers(unit.session, silent=silent)}
    data = [WorkerView.of(row, _presence(row, live)) for row in rows]
    return Page(data=data, next=None, has_more=False)


@router.get("/trainers")
def list_trainers(context: InContext, _: Reader) -> Page[TrainerView]:
    """List the trainer plugins that workers have reported. The operator installs them there."""
    silent = context.settings.timing.worker_silence
    with context.database.read() as unit:
        known = known_plugins(unit.session, silent=silent)
    return Page(
        data=[TrainerView.of(plugin) for plugin in known.values()], next=None, has_more=False
    )


def _plugin_view(reported: ReportedPlugin) -> PluginView:
    return PluginView(name=reported.name, version=reported.version, error=reported.error)


def _presence(row: Worker, live: set[str]) -> Presence:
    if row.stopped_at is not None:
        return Presence.STOPPED
    return Presence.LIVE if row.id in live else Presence.SILENT
