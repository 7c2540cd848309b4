"""`/v1/users`: the people who use this instance, for its administrators."""

from datetime import datetime
from typing import Annotated, Any, Final, Self

from fastapi import APIRouter, Depends, Header, Path, Query, Request, Response
from pydantic import BaseModel, Field

from app.accounts import manage_users as manage
from app.accounts.authentication import Principal, authenticate, needs
from app.accounts.browser.sign_in import set_password
from app.accounts.entity_tags import tag_of_user
from app.accounts.http.session_routes import attempts_of
from app.accounts.http.views import PasswordRequest
from app.accounts.requests import UserChange, UserRequest
from app.accounts.tables import User
from app.accounts.user_repository import user_named, user_page
from app.core.context import InContext
from app.core.declared_headers import declared
from app.core.pages import Cursor, Page, PageSize
from app.core.path_prefix import link
from app.core.problems import responses_for
from app.core.strict_json import StrictRoute

router = APIRouter(
    prefix="/v1/users",
    tags=["users"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate)],
    responses=responses_for(400, 401, 403, 406, 422, 503),
)
Reader = Annotated[Principal, Depends(needs("users:read"))]
Writer = Annotated[Principal, Depends(needs("users:write"))]
UserReference = Annotated[
    str, Path(description="Id (usr_…) or name of the user.", examples=["ada"])
]
IfMatch = Annotated[
    str | None, Header(alias="If-Match", description="Change the user only with this ETag.")
]
TAGGED: Final[dict[int | str, dict[str, Any]]] = {200: declared("ETag")}
MADE: Final[dict[int | str, dict[str, Any]]] = {201: declared("ETag", "Location")}
PAGE_KIND: Final = "users:name"


class UserView(BaseModel):
    """A user."""

    id: str = Field(description="Id of the user.", examples=["usr_01JZ8QD3W5X0A1B2C3D4E5F6G7"])
    name: str = Field(description="Unique name of the user.", examples=["ada"])
    administrator: bool = Field(
        description="Whether the user manages users, projects, models and workers.",
        examples=[False],
    )
    has_password: bool = Field(description="false: the user has API keys only.", examples=[True])
    created_at: datetime = Field(description="When the user was created.")
    disabled_at: datetime | None = Field(
        description="Since when the user is refused.", examples=[None]
    )

    @classmethod
    def of(cls, user: User) -> Self:
        """Return the view of a user."""
        return cls(
            id=user.id,
            name=user.name,
            administrator=user.is_admin,
            has_password=user.password_hash is not None,
            created_at=user.created_at,
            disabled_at=user.disabled_at,
        )


class UserListQuery(BaseModel):
    """The page of a list of users."""

    cursor: Cursor = None
    limit: PageSize = 50


@router.get("")
def list_users(
    context: InContext, principal: Reader, query: Annotated[UserListQuery, Query()]
) -> Page[UserView]:
    """List users by name. Administrators only."""
    principal.require_administrator()
    after = context.cursors.open(PAGE_KIND, query.cursor)[0] if query.cursor else None
    with context.database.read() as unit:
        found = user_page(
            unit.session, after=None if after is None else str(after), limit=query.limit + 1
        )
    return Page.of(
        found,
        query.limit,
        seal=lambda user: context.cursors.seal(PAGE_KIND, [user.name]),
        view=UserView.of,
    )


@router.post("", status_code=201, responses=responses_for(409, 413, 415, 507) | MADE)
def create_user(
    body: UserRequest, response: Response, context: InContext, principal: Writer
) -> UserView:
    """Create a user. Administrators only. The user sees nothing before becoming a member."""
    principal.require_administrator()
    user = manage.create_user(context.database, principal.actor(), body)
    response.headers["Location"] = link(f"/v1/users/{user.id}")
    return _view(response, user)


@router.get("/{reference}", responses=responses_for(404) | TAGGED)
def read_user(
    reference: UserReference, response: Response, context: InContext, principal: Reader
) -> UserView:
    """Read a user by id or name. Administrators only."""
    principal.require_administrator()
    with context.database.read() as unit:
        return _view(response, user_named(unit.session, reference))


@router.patch("/{reference}", responses=responses_for(404, 409, 412, 413, 415, 507) | TAGGED)
def change_user(
    reference: UserReference,
    body: UserChange,
    response: Response,
    context: InContext,
    principal: Writer,
    if_match: IfMatch = None,
) -> UserView:
    """Rename, promote, demote, disable or enable a user. Administrators only."""
    principal.require_administrator()
    user = manage.change_user(
        context.database, principal.actor(), reference, body, if_match=if_match
    )
    return _view(response, user)


@router.put("/{reference}/password", status_code=204, responses=responses_for(404, 413, 415, 507))
def set_user_password(
    reference: UserReference,
    body: PasswordRequest,
    request: Request,
    context: InContext,
    principal: Writer,
) -> None:
    """Set the password of a user, and end the user's sessions. Administrators only.

    The session that makes the request does not end.
    """
    principal.require_administrator()
    set_password(
        context.database,
        principal.actor(),
        reference,
        body.password.get_secret_value(),
        attempts=attempts_of(request),
    )


def _view(response: Response, user: User) -> UserView:
    response.headers["ETag"] = tag_of_user(user)
    return UserView.of(user)
