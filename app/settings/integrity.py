"""How often the stored bytes are hashed again."""

from pydantic import BaseModel, ConfigDict, Field

FASTEST_BYTES = 20_000_000


class ScrubSettings(BaseModel):
    """How the servers look for damaged bytes in the artifact store."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    period_days: float = Field(
        7,
        ge=0,
        le=3650,
        description="Days from the begin of one pass over all stored bytes to the next; a pass "
        "takes as long. 0: never.",
    )
    bytes_per_second: int = Field(
        FASTEST_BYTES,
        gt=0,
        le=FASTEST_BYTES,
        description="The most bytes that are hashed in a second, whatever the period.",
    )
