"""The JSON models of slots."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import BaseModel, Field, JsonValue

from app.fleet.repository import ReportedPlugin
from app.fleet.tables import Cordon, Presence, Worker
from app.fleet.use import SlotUse
from app.jobs.queue.occupants import Occupant


class PluginView(BaseModel):
    """A trainer plugin of one slot; `/v1/trainers` lists its tasks and options."""

    name: str
    version: str
    error: str | None = Field(description="Reason why the slot cannot use it; null if it can.")


class RunningJobView(BaseModel):
    """The job that a slot runs, and how far it is."""

    id: str
    name: str | None
    epoch: int | None = Field(description="The current epoch, from 1. null: it prepares.")
    epochs: int | None = Field(description="The last epoch as far as is known.")
    done: float | None = Field(description="Finished share of all epochs, from 0 to 1.")


class WorkerView(BaseModel):
    """One slot: the GPUs (or the CPU) that one worker process uses."""

    id: str
    name: str = Field(description="Machine and slot.", examples=["gpu-a/0"])
    node: str
    host: str
    slot: str
    state: Presence
    cordoned: bool = Field(description="true: it takes no more jobs until it is uncordoned.")
    draining: bool = Field(
        description="true: it was drained, and its job is being stopped. When this is false and "
        "`cordoned` is true and `busy` is false, the slot can be shut down."
    )
    busy: bool = Field(description="true: it runs a job, of any project.")
    job: RunningJobView | None = Field(
        description="The job that it runs. null: none, or one of a project that is not yours."
    )
    queues: list[str]
    gpus: int
    devices: list[dict[str, JsonValue]]
    plugins: list[PluginView]
    version: str
    use: SlotUse | None = Field(
        description="Use of its devices at the last heartbeat. null: not live, or not measured."
    )
    use_15_min: list[float | None] = Field(
        description="Utilization in the last 15 minutes: up to 30 means of 30 seconds from 0 to 1, "
        "oldest first. null: not measured.",
        examples=[[0.92, 0.95]],
    )
    started_at: datetime
    heartbeat_at: datetime
    stopped_at: datetime | None


@dataclass(frozen=True)
class Watched:
    """The slots that live, and what each runs, as one caller may see it."""

    live: frozenset[str]
    running: Mapping[str, Occupant]
    project_ids: frozenset[str]

    def view(self, row: Worker) -> WorkerView:
        """Return the view of one slot, whose plugins are loaded."""
        occupant = self.running.get(row.id)
        presence = Presence.of(is_stopped=row.stopped_at is not None, is_live=row.id in self.live)
        return WorkerView(
            id=row.id,
            name=row.name,
            node=row.node,
            host=row.host,
            slot=row.slot,
            state=presence,
            cordoned=row.cordon is not None,
            draining=row.cordon is Cordon.DRAINING and occupant is not None,
            busy=occupant is not None,
            job=running_job_view(occupant, self.project_ids),
            queues=row.queues,
            gpus=row.gpus,
            devices=row.devices,
            plugins=[_plugin_view(ReportedPlugin.model_validate(plugin)) for plugin in row.plugins],
            version=row.version,
            use=SlotUse.model_validate(row.use) if row.use and presence is Presence.LIVE else None,
            use_15_min=row.use_means or [],
            started_at=row.started_at,
            heartbeat_at=row.heartbeat_at,
            stopped_at=row.stopped_at,
        )


def running_job_view(
    occupant: Occupant | None, project_ids: Collection[str]
) -> RunningJobView | None:
    """Return the view of what a slot runs; None if it is of a project that is not among these."""
    if occupant is None or occupant.project_id not in project_ids:
        return None
    return RunningJobView(
        id=occupant.job_id,
        name=occupant.name or None,
        epoch=occupant.epoch,
        epochs=occupant.epochs,
        done=occupant.done,
    )


def _plugin_view(reported: ReportedPlugin) -> PluginView:
    return PluginView(name=reported.name, version=reported.version, error=reported.error)
