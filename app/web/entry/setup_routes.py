"""The page of a set-up link, where the first administrator chooses a name and a password."""

from typing import Final

from fastapi import APIRouter, Request, Response

from app.accounts.browser.setup import SETUP_PAGE
from app.accounts.passwords import MAX_LENGTH, MIN_LENGTH
from app.core.strict_json import OpenRoute
from app.web.api import Api, ApiProblem
from app.web.forms import form_of
from app.web.pages import redirect, rendered

TEMPLATE: Final = "entry/set-up.html"
GONE: Final = 410
LIMITS: Final = {"shortest": MIN_LENGTH, "longest": MAX_LENGTH}

router = APIRouter(prefix=SETUP_PAGE, route_class=OpenRoute, include_in_schema=False)


@router.get("/{token}")
async def show_setup(request: Request, token: str) -> Response:
    """Show the form, with the name that the API proposes."""
    try:
        proposed = await Api(request).get(f"/setup/{token}")
    except ApiProblem as refused:
        return await _shown(request, "", refused)
    return await _shown(request, proposed["first_name"])


@router.post("/{token}")
async def set_up(request: Request, token: str) -> Response:
    """Make the first administrator, who is signed in then."""
    form = await form_of(request)
    name = form.one("name")
    given = {"name": name, "password": form.typed("password")}
    try:
        answer = await Api(request).answer("POST", f"/setup/{token}", document=given)
    except ApiProblem as refused:
        return await _shown(request, name, refused)
    response = redirect("/")
    response.headers["Set-Cookie"] = answer.headers["set-cookie"]
    return response


async def _shown(request: Request, name: str, refused: ApiProblem | None = None) -> Response:
    shown = {
        **LIMITS,
        "name": name,
        "problem": refused.problem if refused else None,
        "errors": refused.fields if refused else {},
        "is_closed": refused is not None and refused.status == GONE,
    }
    return await rendered(request, TEMPLATE, shown, status=refused.status if refused else 200)
