"""`/session/links/{token}`: the one-time link of `trainyard up`, which needs no password."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response

from app.accounts.browser.cookies import set_cookie
from app.accounts.browser.errors import OnlyFromThisMachine
from app.accounts.browser.origins import is_on_loopback
from app.accounts.browser.sign_in_links import require_open_sign_in_link
from app.accounts.browser.sign_in_links import use_sign_in_link as sign_in_by_link
from app.accounts.http.session_routes import attempts_of, from_own_page
from app.accounts.http.views import SignedIn, client_of
from app.core.access_log import client_address
from app.core.addresses import is_loopback
from app.core.context import InContext
from app.core.declared_headers import declared
from app.core.problems import responses_for
from app.core.strict_json import OpenRoute

router = APIRouter(prefix="/session/links", tags=["sessions"], route_class=OpenRoute)
Token = Annotated[str, Path(max_length=200, description="The token in the sign-in link.")]


@router.get("/{token}", status_code=204, responses=responses_for(400, 403, 410, 422, 429, 503))
def read_sign_in_link(token: Token, request: Request, context: InContext) -> None:
    """Check that a sign-in link of `trainyard up` can be used. It stays usable."""
    _require_this_machine(request)
    attempts_of(request).setup(client_address.get())
    require_open_sign_in_link(context.database, token)


@router.post(
    "/{token}",
    dependencies=[Depends(from_own_page)],
    responses={
        200: declared("Set-Cookie"),
        **responses_for(400, 403, 406, 410, 413, 422, 429, 503),
    },
)
def use_sign_in_link(
    token: Token, request: Request, response: Response, context: InContext
) -> SignedIn:
    """Sign in as the first administrator by the link of `trainyard up`.

    A link works once, for 10 minutes, on the server's machine, while no administrator has a
    password.
    """
    _require_this_machine(request)
    attempts_of(request).setup(client_address.get())
    lifetime = context.settings.accounts.session_lifetime
    name, started = sign_in_by_link(context.database, token, client_of(request), lifetime=lifetime)
    set_cookie(request, response, started.token, max_age=lifetime.total_seconds())
    return SignedIn(user=name, session=started.id)


def _require_this_machine(request: Request) -> None:
    address = client_address.get()
    if not is_on_loopback(request) or address is None or not is_loopback(address):
        raise OnlyFromThisMachine
