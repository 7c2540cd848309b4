"""When data is removed."""

from pydantic import BaseModel, ConfigDict, Field

from app.settings.units import Seconds


class GarbageSettings(BaseModel):
    """When the server removes data that is no longer needed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    grace_hours: float = Field(
        24.0,
        ge=0,
        description="Delay before unreferenced bytes are removed. "
        "Set it higher than the duration of a backup.",
    )
    period_seconds: Seconds = Field(
        60.0, description="Interval at which a server checks for removable data."
    )


class RetentionSettings(BaseModel):
    """How long data is kept that is still useful, but that nothing depends on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    upload_days: float = Field(
        30,
        ge=0,
        le=36_500,
        description="Days for which the uploaded archive of a dataset version is kept after its "
        "last use: its upload, its verification, or a new version read from it.",
    )
    invalid_upload_days: float = Field(
        7, ge=0, le=36_500, description="The same, of a version that is invalid."
    )
    worker_days: float = Field(
        7,
        gt=0,
        le=36_500,
        description="Days after which a slot that has stopped or fallen silent is forgotten, "
        "unless it is cordoned.",
    )
