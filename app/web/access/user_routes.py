"""Users: for administrators of the instance."""

from typing import Final

from fastapi import APIRouter, Response

from app.core.strict_json import StrictRoute
from app.web.api import ApiProblem, path_below
from app.web.forms import Form, form_of
from app.web.pages import InPage, Page

router = APIRouter(route_class=StrictRoute, include_in_schema=False)

USERS: Final = "/access/users"
CHANGES: Final = {
    "disable": {"disabled": True},
    "enable": {"disabled": False},
    "promote": {"administrator": True},
    "demote": {"administrator": False},
}
"""What each button changes about a user."""


@router.get("/access/users")
async def show_users(page: InPage) -> Response:
    """Show all users."""
    return await _users_page(page)


@router.post("/access/users")
async def create_user(page: InPage) -> Response:
    """Create a user, who then needs a password or a key."""
    form = await form_of(page.request)
    wanted = {"name": form.one("name"), "administrator": form.has("administrator")}
    try:
        await page.api.send("POST", "/v1/users", wanted)
    except ApiProblem as refused:
        return await _users_page(page, refused, form)
    return page.redirect(USERS)


@router.post("/access/users/password")
async def set_password(page: InPage) -> Response:
    """Set the password of a user, who is signed out everywhere."""
    form = await form_of(page.request)
    try:
        path = f"{path_below('/v1/users', form.one('user'))}/password"
        await page.api.send("PUT", path, {"password": form.typed("password")})
    except ApiProblem as refused:
        return await _users_page(page, refused)
    return page.redirect(USERS)


@router.post("/access/users/{user_id}/{change}")
async def change_user(page: InPage, user_id: str, change: str) -> Response:
    """Disable, enable, promote or demote a user."""
    try:
        await page.api.send("PATCH", f"/v1/users/{user_id}", CHANGES.get(change, {}))
    except ApiProblem as refused:
        return await _users_page(page, refused)
    return page.redirect(USERS)


async def _users_page(
    page: Page, refused: ApiProblem | None = None, form: Form | None = None
) -> Response:
    listed = await page.api.get("/v1/users", {"cursor": page.query.get("cursor"), "limit": 100})
    return await page.render(
        "access/users.html",
        status=refused.status if refused else 200,
        refused=refused.problem if refused else None,
        form=form,
        listed=listed,
    )
