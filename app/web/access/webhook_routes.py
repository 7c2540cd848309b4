"""Webhooks and their deliveries: for admins of a project."""

import re
from typing import Any, Final

from fastapi import APIRouter, Response

from app.core.strict_json import StrictRoute
from app.web.api import ApiProblem
from app.web.forms import Form, form_of
from app.web.pages import InPage, Page

router = APIRouter(route_class=StrictRoute, include_in_schema=False)

WEBHOOKS: Final = "/access/webhooks"
CHANGES: Final = {"enable": {"state": "enabled"}, "disable": {"state": "disabled"}}


@router.get("/access/webhooks")
async def show_webhooks(page: InPage) -> Response:
    """Show the webhooks of the projects that the user administers."""
    return await _webhooks_page(page)


@router.post("/access/webhooks")
async def create_webhook(page: InPage) -> Response:
    """Create a webhook, and show its secret once."""
    form = await form_of(page.request)
    wanted = {
        "project": form.one("project"),
        "url": form.one("url"),
        "events": re.findall(r"[^\s,]+", form.one("events")),
        "description": form.one("description"),
    }
    try:
        made = await page.api.send("POST", "/v1/webhooks", wanted)
    except ApiProblem as refused:
        return await _webhooks_page(page, refused=refused, form=form)
    return await _webhooks_page(page, made=made)


@router.get("/access/webhooks/{webhook_id}")
async def show_webhook(page: InPage, webhook_id: str) -> Response:
    """Show one webhook with what was sent to it."""
    return await _webhook_page(page, webhook_id)


@router.post("/access/webhooks/{webhook_id}/{action}")
async def control_webhook(page: InPage, webhook_id: str, action: str) -> Response:
    """Enable, disable, test, rotate or delete a webhook."""
    path = f"/v1/webhooks/{webhook_id}"
    try:
        if action == "rotate":
            made = await page.api.send("POST", f"{path}/rotate", {})
            return await _webhook_page(page, webhook_id, made=made)
        if action == "delete":
            await page.api.send("DELETE", path)
            return page.redirect(WEBHOOKS)
        if action == "test":
            await page.api.send("POST", f"{path}/test")
        else:
            await page.api.send("PATCH", path, CHANGES.get(action, {}))
    except ApiProblem as refused:
        return await _webhook_page(page, webhook_id, refused=refused)
    return page.redirect(f"{WEBHOOKS}/{webhook_id}")


@router.post("/access/webhooks/{webhook_id}/deliveries/{delivery_id}/resend")
async def send_again(page: InPage, webhook_id: str, delivery_id: str) -> Response:
    """Send an event again."""
    path = f"/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/resend"
    try:
        await page.api.send("POST", path)
    except ApiProblem as refused:
        return await _webhook_page(page, webhook_id, refused=refused)
    return page.redirect(f"{WEBHOOKS}/{webhook_id}")


async def _webhooks_page(
    page: Page,
    *,
    refused: ApiProblem | None = None,
    made: dict[str, Any] | None = None,
    form: Form | None = None,
) -> Response:
    listed = await page.api.get("/v1/webhooks", {"cursor": page.query.get("cursor"), "limit": 100})
    return await page.render(
        "access/webhooks.html",
        status=refused.status if refused else 200,
        is_secret=made is not None,
        refused=refused.problem if refused else None,
        made=made,
        form=form,
        listed=listed,
    )


async def _webhook_page(
    page: Page,
    webhook_id: str,
    *,
    refused: ApiProblem | None = None,
    made: dict[str, Any] | None = None,
) -> Response:
    path = f"/v1/webhooks/{webhook_id}"
    query = {"state": page.query.get("state"), "cursor": page.query.get("cursor"), "limit": 50}
    return await page.render(
        "access/webhook.html",
        status=refused.status if refused else 200,
        is_secret=made is not None,
        refused=refused.problem if refused else None,
        made=made,
        webhook=await page.api.get(path),
        deliveries=await page.api.get(f"{path}/deliveries", query),
        state=page.query.get("state", ""),
    )
