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

    name: str = Field(description="Name of the plugin.", examples=["weighted_boxes"])
    version: str = Field(description="Installed version.", examples=["1.2.0"])
    error: str | None = Field(
        description="Reason why the slot cannot use it; null if it can.", examples=[None]
    )


class RunningJobView(BaseModel):
    """The job that a slot runs, and how far it is."""

    id: str = Field(description="Id of the job.", examples=["job_01JZ8QD3W5X0A1B2C3D4E5F6G7"])
    name: str | None = Field(
        description="Name of the job. null: none.", examples=["night shift, line 4"]
    )
    epoch: int | None = Field(
        description="The current epoch, from 1. null: it prepares.", examples=[31]
    )
    epochs: int | None = Field(description="The last epoch as far as is known.", examples=[100])
    done: float | None = Field(
        description="Finished share of all epochs, from 0 to 1.", examples=[0.3069]
    )


class WorkerView(BaseModel):
    """One slot: the GPUs (or the CPU) that one worker process uses."""

    id: str = Field(description="Id of the slot.", examples=["wrk_01JZ8QD3W5X0A1B2C3D4E5F6G7"])
    name: str = Field(description="Machine and slot.", examples=["gpu-a/0"])
    node: str = Field(description="Id of the machine.", examples=["nod_01JZ8QD3W5X0A1B2C3D4E5F6G7"])
    host: str = Field(description="Name of the machine.", examples=["gpu-a"])
    slot: str = Field(
        description="Name of the slot on its machine: the GPUs that it uses, or `cpu`.",
        examples=["0"],
    )
    state: Presence = Field(description="Whether the slot is live.")
    cordoned: bool = Field(
        description="true: it takes no more jobs until it is uncordoned.", examples=[False]
    )
    draining: bool = Field(
        description="true: it was drained, and its job is being stopped. When this is false and "
        "`cordoned` is true and `busy` is false, the slot can be shut down.",
        examples=[False],
    )
    busy: bool = Field(description="true: it runs a job, of any project.", examples=[True])
    job: RunningJobView | None = Field(
        description="The job that it runs. null: none, or one of a project that is not yours."
    )
    queues: list[str] = Field(description="The queues that it serves.", examples=[["default"]])
    gpus: int = Field(description="Number of its GPUs; 0: a CPU slot.", examples=[1])
    devices: list[dict[str, JsonValue]] = Field(
        description="What it computes on, as the worker reported it.",
        examples=[
            [{"name": "NVIDIA H100 80GB HBM3", "memory_bytes": 85_520_809_984, "uuid": "GPU-5b2f"}]
        ],
    )
    plugins: list[PluginView] = Field(description="Its trainer plugins.")
    version: str = Field(description="Version of the worker.", examples=["0.5.0"])
    use: SlotUse | None = Field(
        description="Use of its devices at the last heartbeat. null: not live, or not measured."
    )
    use_15_min: list[float | None] = Field(
        description="Utilization in the last 15 minutes: up to 30 means of 30 seconds from 0 to 1, "
        "oldest first. null: not measured.",
        examples=[[0.92, 0.95]],
    )
    started_at: datetime = Field(description="When it registered.")
    heartbeat_at: datetime = Field(description="When it was heard of last.")
    stopped_at: datetime | None = Field(
        description="When it stopped. null: it has not.", examples=[None]
    )


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
