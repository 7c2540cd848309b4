"""Errors of webhooks."""

from app.core.errors import (
    Conflict,
    FieldError,
    Forbidden,
    Invalid,
    NotFound,
    PreconditionFailed,
)


class WebhookNotFound(NotFound):
    """The caller sees no such webhook."""

    slug, title = "webhook-not-found", "No such webhook"

    def __init__(self) -> None:
        super().__init__("There is no webhook with this id that you may see.")


class DeliveryNotFound(NotFound):
    """The webhook has no such delivery, or it was removed after a while."""

    slug, title = "delivery-not-found", "No such delivery"

    def __init__(self) -> None:
        super().__init__("The webhook has no delivery with this id; old ones are removed.")


class UrlNotAllowed(Invalid):
    """Webhooks may not be sent to this URL."""

    slug, title = "url-not-allowed", "The URL is not allowed"

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence, errors=[FieldError("/url", code, sentence)])


class TooManyWebhooks(Forbidden):
    """The project has as many webhooks as the server allows."""

    slug, title = "too-many-webhooks", "Too many webhooks"

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"A project may have {limit} webhooks. Delete one, or ask an operator to raise "
            "webhooks.per_project.",
            extra={"limit": limit},
        )


class WebhookDisabled(Conflict):
    """Nothing is sent to a disabled webhook."""

    slug, title = "webhook-disabled", "The webhook is disabled"

    def __init__(self) -> None:
        super().__init__("The webhook is disabled; change its state to enabled first.")


class StaleWebhook(PreconditionFailed):
    """The webhook's revision is not the one in `If-Match`."""

    def __init__(self, revision: int) -> None:
        super().__init__(
            f"The webhook is at revision {revision}; read it again and send "
            f'If-Match: "{revision}".',
            extra={"revision": revision},
        )
