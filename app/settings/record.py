"""What is recorded, and for how long."""

from datetime import timedelta

from pydantic import BaseModel, ConfigDict, Field


class RecordSettings(BaseModel):
    """What is recorded of requests and changes, and for how long."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    access_log: bool = Field(
        default=True, description="Write a log line for each request, without its query."
    )
    audit_days: float | None = Field(
        None,
        ge=1,
        le=36_500,
        description="Days for which records of the audit log are kept. Default: for ever.",
    )

    @property
    def audit_lifetime(self) -> timedelta | None:
        """`audit_days` as a duration."""
        return None if self.audit_days is None else timedelta(days=self.audit_days)
