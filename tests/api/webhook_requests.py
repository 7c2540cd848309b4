"""Requests that write webhooks, for the tests of every writing route."""

from typing import Final

from app.core.context import Context
from app.webhooks.tables import DeliveryState
from tests.worlds.rows import Rows
from tests.worlds.webhooks import a_delivery, a_webhook

REFUSED: Final = "https://127.0.0.1/"
"""The rules refuse this URL at the send, so nothing is sent."""

WEBHOOK_BODIES: Final = {
    ("POST", "/v1/webhooks"): b'{"url": "https://8.8.8.8/", "events": ["job.*"]}',
    ("PATCH", "/v1/webhooks/{webhook_id}"): b'{"description": "new"}',
    ("DELETE", "/v1/webhooks/{webhook_id}"): b"",
    ("POST", "/v1/webhooks/{webhook_id}/rotate"): b"{}",
    ("POST", "/v1/webhooks/{webhook_id}/test"): b"",
    ("POST", "/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/resend"): b"",
}
"""The body of each request."""


def webhook_path(context: Context, rows: Rows, template: str) -> str:
    """Return the path of a request about a new webhook with a delivery."""
    hook = a_webhook(context.database, rows.project_id, rows.user_id, REFUSED)
    delivery_id = a_delivery(context.database, hook.id, state=DeliveryState.FAILED)
    return template.format(webhook_id=hook.id, delivery_id=delivery_id)
