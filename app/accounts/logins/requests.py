"""What programs send to log in."""

from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from app.accounts.keys import KeyScope
from app.accounts.requests import DAY
from app.core.text_fields import plain_text

TRAINING_SCOPES: Final = (
    KeyScope.JOBS_READ,
    KeyScope.JOBS_WRITE,
    KeyScope.DATASETS_READ,
    KeyScope.DATASETS_WRITE,
    KeyScope.ARTIFACTS_READ,
    KeyScope.MODELS_READ,
    KeyScope.MODELS_WRITE,
    KeyScope.PROJECTS_READ,
    KeyScope.WORKERS_READ,
)
"""What a program needs that sends datasets and weights, trains, and reads the results."""


class LoginRequest(BaseModel):
    """A program that asks for a key. The user sees all of this before confirming."""

    model_config = ConfigDict(extra="forbid")

    host: Annotated[str, BeforeValidator(plain_text)] = Field(
        min_length=1,
        max_length=100,
        description="Name of the machine on which the program runs, for the user who confirms.",
        examples=["ada-laptop"],
    )
    scopes: list[KeyScope] = Field(
        default=list(TRAINING_SCOPES),
        min_length=1,
        max_length=len(KeyScope),
        description="What the key may be used for. Default: what training needs.",
        examples=[["jobs:read", "jobs:write"]],
    )
    key_expires_in_seconds: int = Field(
        default=90 * DAY,
        strict=True,
        ge=60,
        le=365 * DAY,
        description="How long the key is valid, at most a year.",
        examples=[90 * DAY],
    )


class LoginPoll(BaseModel):
    """A question whether a login was confirmed."""

    model_config = ConfigDict(extra="forbid")

    device_code: str = Field(
        max_length=200,
        description="The secret of the login, which only the program that began it has.",
        examples=["dvw5dFJc1xTnbi8kZQ0bYvJ6mCqT1oGm0Pp2yQ9sX1A"],
    )
