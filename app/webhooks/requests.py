"""What callers send to make, change and list webhooks."""

from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from app.core.omitted_fields import change_schema
from app.core.pages import Cursor, PageSize
from app.core.text_fields import plain_text
from app.webhooks.destinations import MAX_URL
from app.webhooks.event_types import EventChoice
from app.webhooks.tables import DeliveryState, WebhookState

DAY: Final = 24 * 60 * 60


def _without_repetition(choices: list[EventChoice]) -> list[EventChoice]:
    return list(dict.fromkeys(choices))


Url = Annotated[
    str,
    Field(
        min_length=1,
        max_length=MAX_URL,
        description="Where events are posted: https, a public host, port 443, 80 or above 1023.",
        examples=["https://chat.example/hooks/trainyard"],
    ),
    BeforeValidator(plain_text),
]
Events = Annotated[
    list[EventChoice],
    Field(
        min_length=1,
        max_length=len(EventChoice),
        description="Types of events, or beginnings such as job.*; * is every event.",
        examples=[["job.succeeded", "job.failed", "dataset.*"]],
    ),
    AfterValidator(_without_repetition),
]
Description = Annotated[
    str,
    Field(max_length=200, description="Its purpose, for people.", examples=["Chat room"]),
    BeforeValidator(plain_text),
]


class WebhookRequest(BaseModel):
    """A webhook to create."""

    model_config = ConfigDict(extra="forbid")

    project: str = Field(
        default="default",
        max_length=200,
        description="Name of the project whose events are sent.",
        examples=["default"],
    )
    url: Url
    events: Events
    description: Description = ""


class WebhookChange(BaseModel):
    """What is different about a webhook; omitted fields keep their value."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra=change_schema({"events": ["job.failed"], "state": "enabled"}),
    )

    url: Url | None = Field(default=None, description="Where events are posted, as at creation.")
    events: Events | None = Field(
        default=None, description="All types of events, or beginnings such as job.*, from now on."
    )
    description: Description | None = Field(default=None, description="Its purpose, for people.")
    state: WebhookState | None = Field(
        default=None,
        description="enabled: events are sent from now on; those since it was disabled are not.",
    )


class SecretRotation(BaseModel):
    """How the secret of a webhook is replaced."""

    model_config = ConfigDict(extra="forbid")

    overlap_seconds: int = Field(
        default=DAY,
        strict=True,
        ge=0,
        le=30 * DAY,
        description="How long messages have a signature of the previous secret, too.",
        examples=[3600],
    )


class WebhookListQuery(BaseModel):
    """The page of a list of webhooks."""

    project: str | None = Field(
        default=None, max_length=200, description="Only webhooks of this project."
    )
    cursor: Cursor = None
    limit: PageSize = 50


class DeliveryListQuery(BaseModel):
    """Filter and page of a list of deliveries."""

    state: DeliveryState | None = Field(default=None, description="Only deliveries in this state.")
    cursor: Cursor = None
    limit: PageSize = 50
