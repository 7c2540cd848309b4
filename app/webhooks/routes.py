"""`/v1/webhooks`: URLs to which the events of a project are sent."""

from datetime import timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response

from app.accounts.authentication import Principal, authenticate, needs
from app.core.context import InContext
from app.core.declared_headers import declared
from app.core.pages import Page
from app.core.path_prefix import link
from app.core.problems import responses_for
from app.core.ranges import revision_of
from app.core.strict_json import StrictRoute
from app.webhooks import manage_webhooks as manage
from app.webhooks.repository import delivery_page, webhook_page
from app.webhooks.requests import (
    DeliveryListQuery,
    SecretRotation,
    WebhookChange,
    WebhookListQuery,
    WebhookRequest,
)
from app.webhooks.sender import Sender
from app.webhooks.views import DeliveryView, WebhookView, WebhookWithSecret

router = APIRouter(
    prefix="/v1/webhooks",
    tags=["webhooks"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate)],
    responses=responses_for(400, 401, 403, 406, 422, 503),
)
Reader = Annotated[Principal, Depends(needs("webhooks:read"))]
Writer = Annotated[Principal, Depends(needs("webhooks:write"))]
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        description='Change it only if it still has this revision, for example `"3"`.',
    ),
]
WebhookId = Annotated[
    str, Path(description="Id of the webhook (whk_…).", examples=["whk_01JZ8QD3W5X0A1B2C3D4E5F6G7"])
]
DeliveryId = Annotated[
    str,
    Path(description="Id of the delivery (msg_…).", examples=["msg_01JZ8QD3W5X0A1B2C3D4E5F6G7"]),
]
TAGGED: Final[dict[int | str, dict[str, Any]]] = {200: declared("ETag")}
MADE: Final[dict[int | str, dict[str, Any]]] = {201: declared("ETag", "Location")}
PAGE_KIND: Final = "webhooks:-created"
DELIVERIES: Final = "deliveries:-created"


async def get_sender(request: Request) -> Sender:
    """Return the sender of this server. It is `async` so that it does not occupy a thread."""
    sender: Sender = request.app.state.sender
    return sender


InSender = Annotated[Sender, Depends(get_sender)]


@router.get("")
def list_webhooks(
    context: InContext, principal: Reader, query: Annotated[WebhookListQuery, Query()]
) -> Page[WebhookView]:
    """List the webhooks of the projects that you administer, newest first."""
    project_ids = manage.administered_projects(principal, query.project)
    after = context.cursors.open(PAGE_KIND, query.cursor)[0] if query.cursor else None
    with context.database.read() as unit:
        found = webhook_page(
            unit.session,
            project_ids,
            after=None if after is None else str(after),
            limit=query.limit + 1,
        )
    return Page.of(
        found,
        query.limit,
        seal=lambda listed: context.cursors.seal(PAGE_KIND, [listed.row.id]),
        view=lambda listed: WebhookView.of(listed, principal.project_names),
    )


@router.post("", status_code=201, responses=responses_for(409, 413, 415, 507) | MADE)
def create_webhook(
    body: WebhookRequest,
    response: Response,
    context: InContext,
    principal: Writer,
    sender: InSender,
) -> WebhookWithSecret:
    """Create a webhook of a project that you administer. Its secret is shown only now."""
    made = manage.create_webhook(
        context.database,
        principal,
        body,
        sender.rules,
        limit=context.settings.webhooks.per_project,
    )
    response.headers["Location"] = link(f"/v1/webhooks/{made.listed.row.id}")
    return _shown_once(response, principal, made)


@router.get("/{webhook_id}", responses=responses_for(404) | TAGGED)
def read_webhook(
    webhook_id: WebhookId, response: Response, context: InContext, principal: Reader
) -> WebhookView:
    """Read a webhook of a project that you administer."""
    with context.database.read() as unit:
        found = manage.readable_webhook(unit.session, principal, webhook_id)
    response.headers["ETag"] = f'"{found.row.revision}"'
    return WebhookView.of(found, principal.project_names)


@router.patch("/{webhook_id}", responses=responses_for(404, 409, 412, 413, 415, 507) | TAGGED)
def change_webhook(
    webhook_id: WebhookId,
    body: WebhookChange,
    response: Response,
    principal: Writer,
    sender: InSender,
    if_match: IfMatch = None,
) -> WebhookView:
    """Change the URL, the events, the description or the state of a webhook."""
    changed = manage.change_webhook(
        sender.database, principal, webhook_id, body, sender.rules, revision=revision_of(if_match)
    )
    response.headers["ETag"] = f'"{changed.row.revision}"'
    return WebhookView.of(changed, principal.project_names)


@router.delete("/{webhook_id}", status_code=204, responses=responses_for(404, 409, 507))
def delete_webhook(webhook_id: WebhookId, context: InContext, principal: Writer) -> None:
    """Delete a webhook with its deliveries. Nothing more is sent to it."""
    manage.delete_webhook(context.database, principal, webhook_id)


@router.post("/{webhook_id}/rotate", responses=responses_for(404, 409, 413, 415, 507) | TAGGED)
def rotate_webhook_secret(
    webhook_id: WebhookId,
    body: SecretRotation,
    response: Response,
    context: InContext,
    principal: Writer,
) -> WebhookWithSecret:
    """Replace the secret of a webhook; the new one is shown only now.

    For a while, messages have two signatures: of the new secret and of the previous one.
    """
    overlap = timedelta(seconds=body.overlap_seconds)
    made = manage.rotate_secret(context.database, principal, webhook_id, overlap=overlap)
    return _shown_once(response, principal, made)


@router.post("/{webhook_id}/test", status_code=202, responses=responses_for(404, 409, 507))
def send_test_event(
    webhook_id: WebhookId, context: InContext, principal: Writer, sender: InSender
) -> DeliveryView:
    """Send the event `webhook.test`, whatever events the webhook asks for."""
    delivery = manage.send_test(context.database, principal, webhook_id)
    sender.wake()
    return DeliveryView.of(delivery)


@router.get("/{webhook_id}/deliveries", responses=responses_for(404))
def list_webhook_deliveries(
    webhook_id: WebhookId,
    context: InContext,
    principal: Reader,
    query: Annotated[DeliveryListQuery, Query()],
) -> Page[DeliveryView]:
    """List the deliveries of a webhook, newest first. Old ones are removed after a while."""
    kind = f"{DELIVERIES}:{webhook_id}:{query.state}"
    after = context.cursors.open(kind, query.cursor)[0] if query.cursor else None
    with context.database.read() as unit:
        manage.readable_webhook(unit.session, principal, webhook_id)
        found = delivery_page(
            unit.session,
            webhook_id,
            query.state,
            after=None if after is None else str(after),
            limit=query.limit + 1,
        )
    return Page.of(
        found,
        query.limit,
        seal=lambda row: context.cursors.seal(kind, [row.id]),
        view=DeliveryView.of,
    )


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/resend",
    status_code=202,
    responses=responses_for(404, 409, 507),
)
def resend_delivery(
    webhook_id: WebhookId,
    delivery_id: DeliveryId,
    context: InContext,
    principal: Writer,
    sender: InSender,
) -> DeliveryView:
    """Send a delivery again, with the same id and the same body."""
    delivery = manage.resend_delivery(context.database, principal, webhook_id, delivery_id)
    sender.wake()
    return DeliveryView.of(delivery)


def _shown_once(
    response: Response, principal: Principal, made: manage.WithSecret
) -> WebhookWithSecret:
    response.headers["ETag"] = f'"{made.listed.row.revision}"'
    response.headers["Cache-Control"] = "no-store"
    return WebhookWithSecret.shown_once(made, principal.project_names)
