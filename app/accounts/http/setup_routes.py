"""`/setup/{token}`: the one-time link that makes the first administrator."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from app.accounts.browser.cookies import set_cookie
from app.accounts.browser.errors import SetupClosed
from app.accounts.browser.setup import NewAdministrator, complete_setup, require_open_link
from app.accounts.http.bodies import body_of, body_schema
from app.accounts.http.session_routes import attempts_of, from_own_page
from app.accounts.http.setup_page import form_page, text_page
from app.accounts.http.views import FirstAdministrator, SignedIn, client_of
from app.core.access_log import client_address
from app.core.context import InContext
from app.core.declared_headers import declared
from app.core.errors import Invalid
from app.core.media_types import preferred
from app.core.problems import responses_for
from app.core.strict_json import OpenRoute

JSON: Final = "application/json"
HTML: Final = "text/html"

router = APIRouter(prefix="/setup", tags=["sessions"], route_class=OpenRoute)
Token = Annotated[str, Path(max_length=200, description="The token in the set-up link.")]


class SetupView(BaseModel):
    """An open set-up link."""

    first_name: str = Field(
        description="The proposed name of the first administrator.", examples=["admin"]
    )


def _page_content() -> dict[str, Any]:
    return {"content": {HTML: {"schema": {"type": "string"}}}}


@router.get(
    "/{token}",
    response_model=SetupView,
    responses={200: _page_content(), **responses_for(400, 406, 410, 422, 429, 503)},
)
def read_setup(token: Token, request: Request, context: InContext) -> Response:
    """Show the form that makes the first administrator; as JSON, only that the link is open."""
    attempts_of(request).setup(client_address.get())
    try:
        require_open_link(context.database, token)
    except SetupClosed as closed:
        return _closed_page(request, closed)
    return form_page() if _wants_page(request) else JSONResponse({"first_name": "admin"})


@router.post(
    "/{token}",
    response_model=SignedIn,
    dependencies=[Depends(from_own_page)],
    openapi_extra=body_schema(FirstAdministrator),
    responses={
        200: {**declared("Set-Cookie"), **_page_content()},
        **responses_for(400, 403, 406, 410, 413, 415, 422, 429, 503),
    },
)
async def use_setup(token: Token, request: Request, context: InContext) -> Response:
    """Set name and password of the first administrator, and sign in.

    A link works once, for 30 minutes, and not after an administrator has a password.
    """
    await run_in_threadpool(attempts_of(request).setup, client_address.get())
    try:
        return await _completed(token, request, context)
    except SetupClosed as closed:
        return _closed_page(request, closed)
    except Invalid as invalid:
        if not _wants_page(request):
            raise
        return form_page(problem=invalid.detail)


async def _completed(token: str, request: Request, context: InContext) -> Response:
    given = await body_of(request, FirstAdministrator)
    lifetime = context.settings.accounts.session_lifetime
    new = NewAdministrator(given.name, given.password.get_secret_value())
    started = await run_in_threadpool(
        complete_setup, context.database, token, new, client_of(request), lifetime=lifetime
    )
    response = (
        text_page("Trainyard is set up", f"You are signed in as {given.name}.", 200)
        if _wants_page(request)
        else JSONResponse({"user": given.name, "session": started.id})
    )
    set_cookie(request, response, started.token, max_age=lifetime.total_seconds())
    return response


def _closed_page(request: Request, closed: SetupClosed) -> Response:
    """Return the page of a closed link; a client that wants JSON gets the problem."""
    if not _wants_page(request):
        raise closed
    request.state.problem = closed.slug  # for the security log
    return text_page(closed.title, closed.detail, 410)


def _wants_page(request: Request) -> bool:
    """Return whether the client prefers a page to JSON, as browsers do."""
    return preferred(", ".join(request.headers.getlist("accept")), [JSON, HTML]) == HTML
