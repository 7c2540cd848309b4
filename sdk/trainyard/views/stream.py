"""What a program sees that follows a job."""

from typing import Any

from pydantic import Field

from trainyard.views.base import View
from trainyard.views.jobs import EventView


class StreamRunningJob(View):
    """How far a running job is."""

    epoch: int | None
    epochs: int | None
    batch: int | None
    batches: int | None
    done: float
    eta_seconds: float | None
    losses: dict[str, float | None]
    log_bytes: int


class JobEvent(EventView):
    """Something that happened to a job; each comes once, in the order of `seq`."""

    job: str = ""


class Tick(View):
    """How far the job is; at most one a second, and only while it changes."""

    job: str
    epoch: int | None = None
    epochs: int | None = None
    batch: int | None = None
    batches: int | None = None
    done: float | None = None
    eta_seconds: float | None = None
    losses: dict[str, float | None] = Field(default_factory=dict)
    log_bytes: int | None = None


StreamItem = JobEvent | Tick


class EpochView(View):
    """A finished epoch."""

    epoch: int
    best: bool | None = None
    metrics: dict[str, float | None] = Field(default_factory=dict)
    lr: dict[str, float | None] = Field(default_factory=dict)
    system: dict[str, Any] = Field(default_factory=dict)
