"""Limits on event streams."""

from pydantic import BaseModel, ConfigDict, Field


class StreamSettings(BaseModel):
    """How many event streams a server keeps open."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    maximum: int = Field(
        2000, ge=1, le=100_000, description="Event streams of one server; further ones get 503."
    )
    per_credential: int = Field(
        20,
        ge=1,
        le=10_000,
        description="Event streams of one key or one session at one server; further ones get 429.",
    )
