"""`/v1/logins`: a program gets a key after a signed-in user has confirmed a short code."""

from datetime import datetime
from typing import Annotated, Self

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import BaseModel, Field

from app.accounts.authentication import Principal, signed_in
from app.accounts.http.key_routes import NewKeyView
from app.accounts.http.session_routes import attempts_of
from app.accounts.http.views import client_of
from app.accounts.logins import log_in
from app.accounts.logins.requests import LoginPoll, LoginRequest
from app.accounts.tables import Login
from app.core.access_log import client_address
from app.core.context import InContext
from app.core.declared_headers import declared
from app.core.path_prefix import link
from app.core.problems import responses_for
from app.core.strict_json import OpenRoute, StrictRoute

for_programs = APIRouter(prefix="/v1/logins", tags=["sessions"], route_class=OpenRoute)
for_users = APIRouter(
    prefix="/v1/logins",
    tags=["sessions"],
    route_class=StrictRoute,
    dependencies=[Depends(signed_in)],
    responses=responses_for(400, 401, 403, 404, 422, 429, 503),
)
User = Annotated[Principal, Depends(signed_in)]
Code = Annotated[
    str,
    Path(
        max_length=40,
        description="The short code that the program shows, with or without the hyphen.",
        examples=["BCDF-1234"],
    ),
]


class BegunLoginView(BaseModel):
    """A login that waits to be confirmed by a signed-in user."""

    device_code: str = Field(
        description="The secret by which the program asks for its key. Keep it secret.",
        examples=["dvw5dFJc1xTnbi8kZQ0bYvJ6mCqT1oGm0Pp2yQ9sX1A"],
    )
    user_code: str = Field(
        description="What the user compares with, or types on, the page.", examples=["BCDF-1234"]
    )
    verification_url: str = Field(
        description="The page on which the user types the code.",
        examples=["https://trainyard.example/login"],
    )
    verification_url_complete: str = Field(
        description="The same page with the code filled in.",
        examples=["https://trainyard.example/login?code=BCDF-1234"],
    )
    expires_in: int = Field(
        description="Seconds until the login can no longer be confirmed.", examples=[600]
    )
    interval: int = Field(description="Seconds between two questions.", examples=[5])


class LoginView(BaseModel):
    """What the user sees of a login before confirming it."""

    user_code: str = Field(description="Its short code.", examples=["BCDF-1234"])
    host: str = Field(
        description="Name of the machine, as the program says.", examples=["ada-laptop"]
    )
    address: str | None = Field(
        description="Network address of the program.", examples=["192.0.2.7"]
    )
    scopes: list[str] = Field(
        description="What the key may be used for.", examples=[["jobs:read", "jobs:write"]]
    )
    key_expires_in_seconds: int = Field(
        description="How long the key is valid.", examples=[7_776_000]
    )
    created_at: datetime = Field(description="When the program asked.")
    expires_at: datetime = Field(description="When the login can no longer be confirmed.")

    @classmethod
    def of(cls, login: Login, user_code: str) -> Self:
        """Return the view of a login."""
        return cls(
            user_code=user_code,
            host=login.host,
            address=login.address,
            scopes=login.scopes,
            key_expires_in_seconds=login.key_seconds,
            created_at=login.created_at,
            expires_at=login.expires_at,
        )


@for_programs.post(
    "", status_code=201, responses=responses_for(400, 406, 413, 415, 422, 429, 503, 507)
)
def create_login(
    body: LoginRequest, request: Request, response: Response, context: InContext
) -> BegunLoginView:
    """Begin the login of a program: it shows the short code, and asks for its key until it comes.

    The login is valid for 10 minutes.
    """
    attempts_of(request).login(client_address.get())
    begun = log_in.begin_login(context.database, body, client_of(request))
    response.headers["Cache-Control"] = "no-store"
    page = f"{request.url.scheme}://{request.url.netloc}{link('/login')}"
    return BegunLoginView(
        device_code=begun.device_code,
        user_code=begun.user_code,
        verification_url=page,
        verification_url_complete=f"{page}?code={begun.user_code}",
        expires_in=int(log_in.LIFETIME.total_seconds()),
        interval=log_in.POLL_SECONDS,
    )


@for_programs.post(
    "/poll",
    responses=responses_for(400, 403, 406, 410, 413, 415, 422, 429, 503, 507)
    | {409: responses_for(409)[409] | declared("Retry-After")},
)
def poll_login(
    body: LoginPoll, request: Request, response: Response, context: InContext
) -> NewKeyView:
    """Ask for the key of a login. It is shown once, after a signed-in user has confirmed the code.

    Until then the answer is 409 `authorization-pending`.
    """
    attempts_of(request).login_poll(client_address.get())
    issued = log_in.take_key(context.database, body.device_code, client_of(request))
    response.headers["Cache-Control"] = "no-store"
    return NewKeyView.issued(issued)


@for_users.get("/{user_code}", responses=responses_for(406))
def read_login(user_code: Code, request: Request, context: InContext) -> LoginView:
    """Read a login that waits to be confirmed, by its short code."""
    attempts_of(request).login(client_address.get())
    login, code = log_in.waiting_login(context.database, user_code)
    return LoginView.of(login, code)


@for_users.post("/{user_code}/confirm", status_code=204, responses=responses_for(507))
def confirm_login(user_code: Code, request: Request, context: InContext, principal: User) -> None:
    """Let the program have a key that acts for you, with the scopes and for the time it asked."""
    attempts_of(request).login(client_address.get())
    log_in.confirm_login(context.database, principal, user_code)


@for_users.post("/{user_code}/refuse", status_code=204, responses=responses_for(507))
def refuse_login(user_code: Code, request: Request, context: InContext, principal: User) -> None:
    """Refuse a login, so that the program gets no key."""
    attempts_of(request).login(client_address.get())
    log_in.refuse_login(context.database, principal, user_code)
