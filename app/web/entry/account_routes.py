"""The user's own account: the password, the look of the pages, and the signed-in browsers."""

from typing import Any, Final

from fastapi import APIRouter, Response

from app.core.strict_json import StrictRoute
from app.web.api import ApiProblem
from app.web.forms import form_of
from app.web.pages import InPage, Page

router = APIRouter(route_class=StrictRoute, include_in_schema=False)

ACCOUNT: Final = "/account"


@router.get("/account")
async def show_account(page: InPage) -> Response:
    """Show the account."""
    return await _account_page(page)


@router.post("/account/password")
async def set_own_password(page: InPage) -> Response:
    """Set the password; the other browsers of the user are signed out."""
    form = await form_of(page.request)
    wanted = {"password": form.typed("password")}
    if page.me["has_password"]:
        wanted["current_password"] = form.typed("current_password")
    return await _sent(page, "PUT", "/v1/me/password", wanted, done="password")


@router.post("/account/look")
async def set_look(page: InPage) -> Response:
    """Choose the colours of the pages, and whether single keys are shortcuts."""
    form = await form_of(page.request)
    look = {"theme": form.one("theme"), "keys": form.has("keys")}
    return await _sent(page, "PATCH", "/v1/me", look)


@router.post("/account/sessions/{session_id}/end")
async def end_own_session(page: InPage, session_id: str) -> Response:
    """Sign out one of the user's browsers."""
    return await _sent(page, "DELETE", f"/v1/me/sessions/{session_id}", None)


async def _sent(
    page: Page, method: str, path: str, document: dict[str, Any] | None, *, done: str | None = None
) -> Response:
    try:
        await page.api.send(method, path, document)
    except ApiProblem as refused:
        return await _account_page(page, refused)
    return page.redirect(ACCOUNT, {"done": done})


async def _account_page(page: Page, refused: ApiProblem | None = None) -> Response:
    sessions = await page.api.get("/v1/me/sessions")
    return await page.render(
        "entry/account.html",
        status=refused.status if refused else 200,
        refused=refused.problem if refused else None,
        errors=refused.fields if refused else {},
        sessions=sessions["data"],
        done=page.query.get("done"),
    )
