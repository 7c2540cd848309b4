"""The page on which a signed-in user confirms the short code of a program that wants a key."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response

from app.core.strict_json import StrictRoute
from app.web.api import ApiProblem, path_below
from app.web.forms import form_of
from app.web.pages import InPage, Page

router = APIRouter(route_class=StrictRoute, include_in_schema=False)

DECISIONS: Final = ("confirm", "refuse")
Code = Annotated[str, Query(max_length=100)]


@router.get("/login")
async def show_login(page: InPage, code: Code = "") -> Response:
    """Ask for the short code; with one, show which program wants what."""
    typed = code.strip()
    if not typed:
        return await _shown(page)
    try:
        login = await page.api.get(path_below("/v1/logins", typed))
    except ApiProblem as refused:
        return await _shown(page, typed=typed, refused=refused)
    return await _shown(page, login=login)


@router.post("/login")
async def decide_login(page: InPage) -> Response:
    """Confirm or refuse the login whose code the user has compared."""
    form = await form_of(page.request)
    code, decision = form.one("code"), form.one("decision")
    if decision not in DECISIONS:
        return page.redirect("/login", {"code": code})
    try:
        await page.api.send("POST", f"{path_below('/v1/logins', code)}/{decision}")
    except ApiProblem as refused:
        return await _shown(page, typed=code, refused=refused)
    return await _shown(page, done=decision)


async def _shown(
    page: Page,
    *,
    typed: str = "",
    login: dict[str, Any] | None = None,
    done: str | None = None,
    refused: ApiProblem | None = None,
) -> Response:
    return await page.render(
        "entry/login.html",
        status=refused.status if refused else 200,
        refused=refused.problem if refused else None,
        typed=typed,
        login=login,
        done=done,
    )
