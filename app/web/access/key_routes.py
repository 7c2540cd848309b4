"""Keys: the list, a new key that is shown once, rotation and revocation."""

from typing import Any, Final

from fastapi import APIRouter, Response

from app.accounts.keys import ALL_SCOPES
from app.core.strict_json import StrictRoute
from app.web.api import ApiProblem
from app.web.forms import Form, form_of
from app.web.pages import InPage, Page
from app.web.typed_numbers import whole_number

router = APIRouter(route_class=StrictRoute, include_in_schema=False)

KEYS: Final = "/access/keys"
DAY: Final = 24 * 60 * 60
LIFETIMES: Final = ((30, "30 days"), (90, "90 days"), (365, "A year"), (0, "It never expires"))
FIRST_SCOPES: Final = frozenset(
    {"jobs:read", "jobs:write", "datasets:read", "datasets:write", "artifacts:read", "models:read"}
)
"""What a key for programs that train usually needs; ticked in the empty form."""


@router.get("/access/keys")
async def show_keys(page: InPage) -> Response:
    """Show the keys that the user may see."""
    return await _keys_page(page)


@router.post("/access/keys")
async def create_key(page: InPage) -> Response:
    """Create a key, and show its text once."""
    form = await form_of(page.request)
    days = whole_number(form.one("days"), otherwise=0)
    wanted = {
        "label": form.one("label"),
        "scopes": form.all("scope"),
        "project": form.one("project") or None,
        "expires_in_seconds": days * DAY if days else None,
    }
    try:
        made = await page.api.send("POST", "/v1/keys", wanted)
    except ApiProblem as refused:
        return await _keys_page(page, refused=refused, form=form)
    return await _keys_page(page, made=made)


@router.post("/access/keys/{key_id}/rotate")
async def rotate_key(page: InPage, key_id: str) -> Response:
    """Replace a key by a new one, which is shown once; the old one is valid for another day."""
    try:
        made = await page.api.send("POST", f"/v1/keys/{key_id}/rotate", {})
    except ApiProblem as refused:
        return await _keys_page(page, refused=refused)
    return await _keys_page(page, made=made)


@router.post("/access/keys/{key_id}/revoke")
async def revoke_key(page: InPage, key_id: str) -> Response:
    """Revoke a key at once."""
    try:
        await page.api.send("DELETE", f"/v1/keys/{key_id}")
    except ApiProblem as refused:
        return await _keys_page(page, refused=refused)
    return page.redirect(KEYS)


async def _keys_page(
    page: Page,
    *,
    refused: ApiProblem | None = None,
    made: dict[str, Any] | None = None,
    form: Form | None = None,
) -> Response:
    listed = await page.api.get("/v1/keys", {"cursor": page.query.get("cursor"), "limit": 100})
    return await page.render(
        "access/keys.html",
        status=refused.status if refused else 200,
        is_secret=made is not None,
        refused=refused.problem if refused else None,
        made=made,
        form=form,
        listed=listed,
        scopes=ALL_SCOPES,
        chosen_scopes=set(form.all("scope")) if form else FIRST_SCOPES,
        lifetimes=LIFETIMES,
    )
