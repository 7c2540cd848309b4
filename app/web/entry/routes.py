"""The home page, signing in and signing out."""

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from app.core.path_prefix import link
from app.core.strict_json import OpenRoute, StrictRoute
from app.web.api import Api, ApiProblem
from app.web.forms import form_of
from app.web.pages import InPage, redirect, rendered

HOME: Final = "/jobs"
Next = Annotated[str, Query(alias="next", max_length=2000)]

for_users = APIRouter(route_class=StrictRoute, include_in_schema=False)
for_strangers = APIRouter(route_class=OpenRoute, include_in_schema=False)


@for_users.get("/")
async def show_home(page: InPage) -> Response:
    """Open the list of jobs."""
    return page.redirect(HOME)


@for_strangers.get("/sign-in")
async def show_sign_in(request: Request, to: Next = "") -> Response:
    """Show the form for name and password."""
    return await rendered(request, "entry/sign-in.html", {"to": to, "name": "", "problem": None})


@for_strangers.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """Sign in, and open the page that the browser asked for first."""
    form = await form_of(request)
    name, to = form.one("name"), form.one("next")
    credentials = {"name": name, "password": form.typed("password")}
    try:
        answer = await Api(request).answer("POST", "/session", document=credentials)
    except ApiProblem as refused:
        shown = {"to": to, "name": name, "problem": refused.problem}
        return await rendered(request, "entry/sign-in.html", shown, status=refused.status)
    response = redirect(HOME) if not _is_own_path(to) else _opened(to)
    response.headers["Set-Cookie"] = answer.headers["set-cookie"]
    return response


@for_strangers.get("/sign-in/link/{token}")
async def show_sign_in_link(request: Request, token: str) -> Response:
    """Show the button that signs in by the link of `trainyard up`."""
    try:
        await Api(request).answer("GET", f"/session/links/{token}")
    except ApiProblem as closed:
        return await _closed_link(request, closed)
    return await rendered(request, "entry/link.html", {"problem": None})


@for_strangers.post("/sign-in/link/{token}")
async def use_sign_in_link(request: Request, token: str) -> Response:
    """Sign in by the link, and offer to set a password."""
    try:
        answer = await Api(request).answer("POST", f"/session/links/{token}")
    except ApiProblem as closed:
        return await _closed_link(request, closed)
    response = redirect(HOME)
    response.headers["Set-Cookie"] = answer.headers["set-cookie"]
    return response


async def _closed_link(request: Request, closed: ApiProblem) -> Response:
    shown = {"problem": closed.problem}
    return await rendered(request, "entry/link.html", shown, status=closed.status)


@for_users.post("/sign-out")
async def sign_out(page: InPage) -> Response:
    """End the session."""
    answer = await page.api.answer("DELETE", "/session")
    response = page.redirect("/sign-in")
    response.headers["Set-Cookie"] = answer.headers["set-cookie"]
    return response


def _is_own_path(to: str) -> bool:
    """Return whether an address is a page of this server; `//host` would be another one."""
    return to.startswith(link("/")) and not to.startswith(("//", "/\\")) and to.isprintable()


def _opened(to: str) -> Response:
    return Response(status_code=303, headers={"Location": to})
