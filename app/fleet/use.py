"""The use of a slot, as its process measures it and the database keeps it."""

from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ConfigDict, Field

MEAN_SECONDS: Final = 30.0
MEANS: Final = 30
"""Means that are kept: 15 minutes."""


class SlotUse(BaseModel):
    """What a slot uses now: its GPUs, or the CPU and memory of its trainer. null: not measured."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    utilization: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="Busy share of its GPUs, or of all cores of the machine, from 0 to 1.",
        examples=[0.94],
    )
    memory_bytes: int | None = Field(
        default=None,
        ge=0,
        description="Used memory of its GPUs, or of its trainer.",
        examples=[31_000_000_000],
    )
    memory_total_bytes: int | None = Field(
        default=None,
        ge=0,
        description="Memory of its GPUs, or of the machine.",
        examples=[80_000_000_000],
    )
    celsius: float | None = Field(
        default=None, description="Temperature of its hottest GPU.", examples=[61.0]
    )
    watts: float | None = Field(
        default=None, ge=0, description="Power of its GPUs together.", examples=[412.5]
    )
    cores_busy: float | None = Field(
        default=None,
        ge=0,
        description="Cores that its trainer uses, on average of a second.",
        examples=[3.8],
    )


@dataclass(frozen=True)
class MeasuredUse:
    """The use of a slot now, and means of its utilization in the last 15 minutes, oldest first."""

    now: SlotUse
    means: tuple[float | None, ...]
