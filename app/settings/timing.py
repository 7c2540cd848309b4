"""Intervals that leases depend on."""

from datetime import timedelta
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.settings.units import Seconds


class Timing(BaseModel):
    """Every interval that leases depend on, in seconds.

    Only the database's clock decides whether a lease has expired. A worker measures the time since
    its last renewal with its monotonic clock, and kills its trainer after `self_fence_seconds`,
    before another worker may claim the job.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    lease_seconds: Seconds = Field(90.0, description="How long a claim is valid without a renewal.")
    heartbeat_seconds: Seconds = Field(
        10.0, description="Interval between renewals of a lease, and between heartbeats of a slot."
    )
    self_fence_seconds: Seconds = Field(
        75.0, description="A worker kills its trainer after this time without a renewed lease."
    )
    request_poll_seconds: Seconds = Field(
        0.5, description="Interval at which a worker checks its job for pending requests."
    )
    reconcile_seconds: Seconds = Field(
        2.0, description="Interval at which a server checks for unclaimed and abandoned jobs."
    )
    doorbell_retry_seconds: Seconds = Field(
        10.0,
        description="Delay before a server rings again for an unclaimed job; doubles every time.",
    )
    doorbell_retry_max_seconds: Seconds = Field(
        600.0, description="Upper limit of `doorbell_retry_seconds` after doubling."
    )
    restart_backoff_seconds: Seconds = Field(
        5.0,
        description="Delay before an interrupted job may be claimed again; doubles every time.",
    )
    kill_grace_seconds: Seconds = Field(
        10.0,
        description="Time between SIGTERM and SIGKILL to a trainer, in which it writes its newest "
        "training state; at most 1 s after a cancel.",
    )
    worker_silent_seconds: Seconds = Field(
        60.0, description="A slot counts as gone after this time without a heartbeat."
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.lease_seconds > self.self_fence_seconds > 3 * self.heartbeat_seconds:
            message = "needs lease_seconds > self_fence_seconds > 3 x heartbeat_seconds"
            raise ValueError(message)
        return self

    @property
    def lease(self) -> timedelta:
        """`lease_seconds` as a duration."""
        return timedelta(seconds=self.lease_seconds)

    @property
    def doorbell_retry(self) -> timedelta:
        """`doorbell_retry_seconds` as a duration."""
        return timedelta(seconds=self.doorbell_retry_seconds)

    @property
    def doorbell_retry_max(self) -> timedelta:
        """`doorbell_retry_max_seconds` as a duration."""
        return timedelta(seconds=self.doorbell_retry_max_seconds)

    @property
    def restart_backoff(self) -> timedelta:
        """`restart_backoff_seconds` as a duration."""
        return timedelta(seconds=self.restart_backoff_seconds)

    @property
    def worker_silence(self) -> timedelta:
        """`worker_silent_seconds` as a duration."""
        return timedelta(seconds=self.worker_silent_seconds)
