"""`/setup/{token}`: the one-time link that makes the first administrator."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from app.accounts.browser.cookies import set_cookie
from app.accounts.browser.setup import NewAdministrator, complete_setup, require_open_link
from app.accounts.http.bodies import body_of, body_schema
from app.accounts.http.session_routes import attempts_of, from_own_page
from app.accounts.http.views import FirstAdministrator, SignedIn, client_of
from app.core.access_log import client_address
from app.core.context import InContext
from app.core.declared_headers import declared
from app.core.problems import responses_for
from app.core.strict_json import OpenRoute

router = APIRouter(prefix="/setup", tags=["sessions"], route_class=OpenRoute)
Token = Annotated[str, Path(max_length=200, description="The token in the set-up link.")]


class SetupView(BaseModel):
    """An open set-up link."""

    first_name: str = Field(
        description="The proposed name of the first administrator.", examples=["admin"]
    )


@router.get("/{token}", responses=responses_for(400, 406, 410, 422, 429, 503))
def read_setup(token: Token, request: Request, context: InContext) -> SetupView:
    """Check that a set-up link can be used, and propose a name. It stays usable."""
    attempts_of(request).setup(client_address.get())
    require_open_link(context.database, token)
    return SetupView(first_name="admin")


@router.post(
    "/{token}",
    dependencies=[Depends(from_own_page)],
    openapi_extra=body_schema(FirstAdministrator),
    responses={
        200: declared("Set-Cookie"),
        **responses_for(400, 403, 406, 410, 413, 415, 422, 429, 503),
    },
)
async def use_setup(
    token: Token, request: Request, response: Response, context: InContext
) -> SignedIn:
    """Set name and password of the first administrator, and sign in.

    A link works once, for 30 minutes, and not after an administrator has a password.
    """
    await run_in_threadpool(attempts_of(request).setup, client_address.get())
    given = await body_of(request, FirstAdministrator)
    lifetime = context.settings.accounts.session_lifetime
    new = NewAdministrator(given.name, given.password.get_secret_value())
    started = await run_in_threadpool(
        complete_setup, context.database, token, new, client_of(request), lifetime=lifetime
    )
    set_cookie(request, response, started.token, max_age=lifetime.total_seconds())
    return SignedIn(user=given.name, session=started.id)
