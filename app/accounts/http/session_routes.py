"""`/session`: sign in with name and password, and sign out."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from fastapi.concurrency import run_in_threadpool

from app.accounts.authentication import Principal, signed_in
from app.accounts.browser.attempts import Attempts
from app.accounts.browser.cookies import (
    delete_cookie,
    require_usable_connection,
    set_cookie,
    token_in,
)
from app.accounts.browser.origins import refuse_other_source
from app.accounts.browser.sign_in import SignIn, end_session, sign_in
from app.accounts.http.bodies import body_of, body_schema
from app.accounts.http.views import Credentials, SignedIn, client_of
from app.core.context import InContext
from app.core.declared_headers import declared
from app.core.head_checks import HeadCheck
from app.core.problems import responses_for
from app.core.strict_json import OpenRoute, StrictRoute

opening = APIRouter(tags=["sessions"], route_class=OpenRoute)
closing = APIRouter(tags=["sessions"], route_class=StrictRoute)


class _OwnPage(HeadCheck):
    """Refuses, by the head alone, a request that a page of another site caused."""

    async def __call__(self, request: Request) -> None:
        """Refuse the request."""
        await self.check_head(request)

    async def check_head(self, request: Request) -> None:
        """Refuse the request, also where a browser would not keep the session."""
        refuse_other_source(request)
        require_usable_connection(request)


from_own_page = _OwnPage()


def attempts_of(request: Request) -> Attempts:
    """Return the counters of attempts."""
    attempts: Attempts = request.app.state.attempts
    return attempts


@opening.post(
    "/session",
    dependencies=[Depends(from_own_page)],
    openapi_extra=body_schema(Credentials),
    responses={
        200: declared("Set-Cookie"),
        **responses_for(400, 401, 403, 406, 413, 415, 422, 429, 503),
    },
)
async def create_session(request: Request, response: Response, context: InContext) -> SignedIn:
    """Sign in with name and password, as JSON or as a form. The answer sets the session cookie.

    The session that the browser had before ends. After too many attempts the answer is 429.
    """
    credentials = await body_of(request, Credentials)
    attempt = SignIn(
        name=credentials.name,
        password=credentials.password.get_secret_value(),
        client=client_of(request),
        replaced=token_in(request),
    )
    lifetime = context.settings.accounts.session_lifetime
    started = await run_in_threadpool(
        sign_in, context.database, attempts_of(request), attempt, lifetime=lifetime
    )
    set_cookie(request, response, started.token, max_age=lifetime.total_seconds())
    return SignedIn(user=credentials.name, session=started.id)


@closing.delete(
    "/session",
    status_code=204,
    responses=responses_for(400, 401, 403, 422, 429, 503) | {204: declared("Set-Cookie")},
)
def delete_session(
    request: Request,
    response: Response,
    context: InContext,
    principal: Annotated[Principal, Depends(signed_in)],
) -> None:
    """Sign out: end the session of this request, on every server, and delete its cookie."""
    end_session(context.database, principal.actor(), principal.user_id, principal.credential)
    delete_cookie(request, response)
