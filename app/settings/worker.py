"""Limits of a worker."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from app.settings.units import MIB

WarmTrainers = Literal["auto", "always", "never"]


class WorkerSettings(BaseModel):
    """Limits on the resources of the machine that a worker uses."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    memory_limit_bytes: int | None = Field(
        None,
        ge=MIB,
        description="Maximum address space of a trainer on a CPU slot. Default: no limit.",
    )
    dataset_cache_bytes: int = Field(
        100 * 1024 * MIB,
        ge=0,
        description="Size of the dataset cache on the worker's disk: versions, scans and arrays.",
    )
    log_bytes: int = Field(
        64 * MIB, ge=MIB, description="Maximum log of one attempt; later output is discarded."
    )
    warm: WarmTrainers = Field(
        "auto",
        description="Whether trainers are forked by a process that has imported torch and "
        "Ultralytics (400 MB of memory per slot): auto (from a slot's first job until ten minutes "
        "after its last one), always, or never.",
    )
