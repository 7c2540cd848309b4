"""What the routes of sign-in, set-up, passwords and `/v1/me` read and return."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Self

import structlog
from fastapi import Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr

from app.accounts.authentication import Principal
from app.accounts.browser.sessions import Client
from app.accounts.names import Name
from app.accounts.passwords import MAX_LENGTH
from app.accounts.tables import BrowserSession, MemberRole, Theme, User
from app.core.access_log import client_address
from app.core.omitted_fields import change_schema


def _require_text(password: SecretStr) -> SecretStr:
    """Refuse half of a character, which JSON can express, and which has no hash."""
    try:
        password.get_secret_value().encode()
    except UnicodeEncodeError:
        message = "is not text"
        raise ValueError(message) from None
    return password


Typed = Annotated[
    SecretStr, Field(min_length=1, max_length=MAX_LENGTH), AfterValidator(_require_text)
]
"""A password as it was typed; never part of a message or a log line."""


class InstanceRole(StrEnum):
    """What a user may do on the whole instance."""

    ADMINISTRATOR = "administrator"
    USER = "user"


class Credentials(BaseModel):
    """Name and password of a user."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00]*$",
        description="Name of the user.",
        examples=["ada"],
    )
    password: Typed = Field(description="Password of the user.", examples=["correct horse battery"])


class FirstAdministrator(BaseModel):
    """Name and password of the first administrator."""

    model_config = ConfigDict(extra="forbid")

    name: Name = Field(default="admin", examples=["admin"])
    password: Typed = Field(
        description="8 to 200 characters; not the name, and not a common one.",
        examples=["correct horse battery"],
    )


class Me(BaseModel):
    """The caller: the user, and the projects that the credential may be used for."""

    user: str = Field(description="Name of the user.", examples=["ada"])
    role: InstanceRole = Field(description="Role of the user on the whole instance.")
    projects: dict[str, MemberRole] = Field(
        description="Role of the user by name of the project.", examples=[{"default": "member"}]
    )
    theme: Theme = Field(description="Colours of the pages.")
    keys: bool = Field(
        description="Whether the pages react to shortcuts of a single key.", examples=[True]
    )
    has_password: bool = Field(
        description="Whether the user can sign in with a password. false: by keys, or by the link "
        "of `trainyard up`.",
        examples=[True],
    )

    @classmethod
    def of(cls, user: User, principal: Principal) -> Self:
        """Return the view of a caller."""
        return cls(
            user=user.name,
            role=_role(is_administrator=principal.is_administrator),
            projects={project.name: project.role for project in principal.projects},
            theme=user.theme,
            keys=user.single_key_shortcuts,
            has_password=user.password_hash is not None,
        )


class MeChange(BaseModel):
    """Changes of the caller's own user; absent fields stay as they are."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=change_schema({"theme": "dark"}))

    theme: Theme | None = Field(None, description="Colours of the pages.")
    keys: bool | None = Field(
        None, description="Whether the pages react to shortcuts of a single key."
    )


class PasswordRequest(BaseModel):
    """A new password of a user."""

    model_config = ConfigDict(extra="forbid")

    password: Typed = Field(
        description="8 to 200 characters; not the name, and not a common one.",
        examples=["correct horse battery"],
    )


class OwnPasswordRequest(PasswordRequest):
    """A new password of the caller."""

    current_password: Typed | None = Field(
        None,
        description="The password until now; required unless you have none yet.",
        examples=["a password until now"],
    )


class SessionView(BaseModel):
    """A signed-in browser."""

    id: str = Field(description="Id of the session.", examples=["ses_01JZ8QD3W5X0A1B2C3D4E5F6G7"])
    created_at: datetime = Field(description="Time of the sign-in.")
    last_seen_at: datetime = Field(description="Time of the last request, to about a minute.")
    expires_at: datetime = Field(description="Time at which it ends in any case.")
    address: str | None = Field(
        description="Network address of the client at sign-in.", examples=["192.0.2.7"]
    )
    user_agent: str | None = Field(
        description="Program of the client at sign-in.",
        examples=["Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"],
    )
    is_current: bool = Field(description="Whether this request uses it.", examples=[True])

    @classmethod
    def of(cls, row: BrowserSession, current: str | None) -> Self:
        """Return the view of a session."""
        return cls(
            id=row.id,
            created_at=row.created_at,
            last_seen_at=row.last_seen_at,
            expires_at=row.expires_at,
            address=row.address,
            user_agent=row.user_agent,
            is_current=row.id == current,
        )


class SignedIn(BaseModel):
    """A session has started; its token is in the cookie of the response."""

    user: str = Field(description="Name of the user.", examples=["ada"])
    session: str = Field(
        description="Id of the session.", examples=["ses_01JZ8QD3W5X0A1B2C3D4E5F6G7"]
    )


def client_of(request: Request) -> Client:
    """Return the client of a request, as sessions and the audit log record it."""
    return Client(
        address=client_address.get(),
        user_agent=request.headers.get("user-agent"),
        request_id=structlog.contextvars.get_contextvars().get("request_id"),
    )


def _role(*, is_administrator: bool) -> InstanceRole:
    return InstanceRole.ADMINISTRATOR if is_administrator else InstanceRole.USER
