"""What the routes of webhooks return."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, Field

from app.webhooks.manage_webhooks import WithSecret
from app.webhooks.repository import ListedWebhook
from app.webhooks.tables import (
    DeliveryState,
    DisabledReason,
    SendError,
    WebhookDelivery,
    WebhookState,
)


class WebhookView(BaseModel):
    """A webhook, without its secret."""

    id: str = Field(examples=["whk_01JDZ8M4N5P6Q7R8S9T0V1W2X3"], description="Id of the webhook.")
    project: str = Field(
        description="Name of the project whose events are sent.", examples=["default"]
    )
    url: str = Field(
        examples=["https://chat.example/hooks/trainyard"], description="Where events are posted."
    )
    events: list[str] = Field(
        description="Types of events, or beginnings such as job.*.", examples=[["job.*"]]
    )
    description: str = Field(description="Its purpose, for people.", examples=["Chat room"])
    state: WebhookState = Field(
        description="Nothing is sent to a disabled webhook.", examples=["enabled"]
    )
    disabled_reason: DisabledReason | None = Field(
        description="by_member: someone disabled it. gone: it answered 410. failing: nothing but "
        "failures came back for days. null: it is enabled.",
        examples=[None],
    )
    failing_since: datetime | None = Field(
        description="First failed attempt after the last success. null: the last one succeeded.",
        examples=[None],
    )
    previous_secret_ends_at: datetime | None = Field(
        description="Until then, messages are signed with the previous secret, too.",
        examples=[None],
    )
    created_by: str | None = Field(description="Name of the user who created it.", examples=["ada"])
    created_at: datetime = Field(description="When it was created.")
    revision: int = Field(
        description="Send it as If-Match to change only this state.", examples=[3]
    )

    @classmethod
    def of(cls, listed: ListedWebhook, projects: Mapping[str, str]) -> Self:
        """Return the view of a webhook; `projects` are the caller's names by id."""
        return cls(**_fields(listed, projects))


class WebhookWithSecret(WebhookView):
    """A webhook with its secret, which is never shown again."""

    secret: str = Field(
        description="Verifies the signatures; whsec_ and the key in base64.",
        examples=["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    )

    @classmethod
    def shown_once(cls, made: WithSecret, projects: Mapping[str, str]) -> Self:
        """Return the view of a new webhook, or of one with a new secret."""
        return cls(**_fields(made.listed, projects), secret=made.secret)


class DeliveryView(BaseModel):
    """An event that is, was or will be sent to a webhook."""

    id: str = Field(
        description="The header webhook-id, the same in every attempt.",
        examples=["msg_01JDZ8M4N5P6Q7R8S9T0V1W2X3"],
    )
    type: str = Field(examples=["job.succeeded"], description="Type of the event.")
    state: DeliveryState = Field(description="Whether it was sent, or will be.")
    attempts: int = Field(
        description="Number of attempts that began, without those that a stopping server "
        "interrupted. It starts again at 0 when the delivery is sent again by request.",
        examples=[2],
    )
    created_at: datetime = Field(description="When the event was recorded for this webhook.")
    next_attempt_at: datetime | None = Field(description="null: no attempt follows.")
    last_attempt_at: datetime | None = Field(description="End of the last attempt.")
    last_status: int | None = Field(description="HTTP status of the last answer.", examples=[503])
    last_error: SendError | None = Field(
        description="Why the last attempt failed. status: the answer was not 2xx. expired: no "
        "attempt was possible within 24 hours. null: it succeeded, or there was none."
    )
    last_duration_ms: int | None = Field(
        description="Duration of the last attempt.", examples=[148]
    )
    last_answer: str | None = Field(
        description="Beginning of the last answer, at most 1 KiB.",
        examples=["upstream unavailable"],
    )

    @classmethod
    def of(cls, row: WebhookDelivery) -> Self:
        """Return the view of a delivery."""
        return cls(
            id=row.id,
            type=row.type,
            state=row.state,
            attempts=row.attempts,
            created_at=row.created_at,
            next_attempt_at=row.next_attempt_at if row.state is DeliveryState.PENDING else None,
            last_attempt_at=row.last_attempt_at,
            last_status=row.last_status,
            last_error=row.last_error,
            last_duration_ms=row.last_duration_ms,
            last_answer=row.last_answer,
        )


def _fields(listed: ListedWebhook, projects: Mapping[str, str]) -> dict[str, Any]:
    row = listed.row
    return {
        "id": row.id,
        "project": projects[row.project_id],
        "url": row.url,
        "events": row.events,
        "description": row.description,
        "state": row.state,
        "disabled_reason": row.disabled_reason,
        "failing_since": row.failing_since,
        "previous_secret_ends_at": row.previous_secret_ends_at,
        "created_by": listed.created_by,
        "created_at": row.created_at,
        "revision": row.revision,
    }
