"""What the roles of a project may do."""

from pydantic import BaseModel, ConfigDict, Field


class QuotaSettings(BaseModel):
    """Ceilings of priority by role. Administrators of the instance may use any priority."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    member_priority: int = Field(
        50, ge=-100, le=100, description="Highest priority of the jobs of a project's members."
    )
    admin_priority: int = Field(
        100, ge=-100, le=100, description="Highest priority of the jobs of a project's admins."
    )
