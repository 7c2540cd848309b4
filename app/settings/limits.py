"""Limits on the size of one request."""

from pydantic import BaseModel, ConfigDict, Field

from app.settings.units import MIB


class Limits(BaseModel):
    """Upper limits on the size of one request."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    json_body_bytes: int = Field(MIB, ge=1024, description="Maximum size of a JSON body.")
    dataset_archive_bytes: int = Field(
        64 * 1024 * MIB, ge=MIB, description="Maximum size of a dataset archive."
    )
    weights_bytes: int = Field(
        4096 * MIB, ge=MIB, description="Maximum size of weights that users send."
    )
    disk_reserve_bytes: int = Field(
        2 * 1024 * MIB,
        ge=0,
        description="Free space that stays on a disk, at most 10 % of the disk: with less, nothing "
        "starts that takes space.",
    )
