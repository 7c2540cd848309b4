"""What callers and operators send to make or change users, projects and keys."""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from app.accounts.keys import KeyScope
from app.accounts.names import Label, Name
from app.accounts.tables import MemberRole
from app.core.omitted_fields import change_schema

DAY: Final = 24 * 60 * 60
Lifetime = Annotated[int, Field(strict=True, ge=60, le=10 * 365 * DAY)]


class KeyRequest(BaseModel):
    """A key to create. It never has more rights than the key that creates it."""

    model_config = ConfigDict(extra="forbid")

    label: Label = Field(examples=["ci-nightly"])
    scopes: list[KeyScope] = Field(
        min_length=1,
        max_length=len(KeyScope),
        description="What the key may be used for; only scopes that your credential has.",
        examples=[["jobs:read", "jobs:write"]],
    )
    project: str | None = Field(
        default=None,
        max_length=200,
        description="Name of the one project that the key may be used for. null: all of yours, or "
        "that of the key that creates it.",
        examples=["default"],
    )
    expires_in_seconds: Lifetime | None = Field(
        default=None,
        description="How long the key is valid. null: until it is revoked. It never outlives the "
        "key that creates it.",
        examples=[7_776_000],
    )


class RotationRequest(BaseModel):
    """How a key is replaced by a new one."""

    model_config = ConfigDict(extra="forbid")

    overlap_seconds: int = Field(
        default=DAY,
        strict=True,
        ge=0,
        le=30 * DAY,
        description="How long the old key is valid beside the new one. 0: it ends at once.",
        examples=[3600],
    )


class KeyReport(BaseModel):
    """A key that others may know, to be revoked."""

    model_config = ConfigDict(extra="forbid")

    key: str = Field(
        max_length=200,
        description="The whole text of the key.",
        examples=["trainyard_user_3fK9x2Lm7Qa1_…"],
    )


class UserRequest(BaseModel):
    """A user to create."""

    model_config = ConfigDict(extra="forbid")

    name: Name = Field(examples=["ada"])
    administrator: bool = Field(
        default=False,
        strict=True,
        description="Whether the user manages users, projects, models and workers.",
    )


class UserChange(BaseModel):
    """What is different about a user; omitted fields keep their value."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=change_schema({"disabled": True}))

    name: Name | None = Field(default=None, description="New name of the user.", examples=["ada"])
    administrator: bool | None = Field(
        default=None,
        strict=True,
        description="Whether the user manages users, projects, models and workers.",
        examples=[True],
    )
    disabled: bool | None = Field(
        default=None,
        strict=True,
        description="true: keys and sessions of the user are refused. What they made stays.",
        examples=[False],
    )


class ProjectRequest(BaseModel):
    """A project to create."""

    model_config = ConfigDict(extra="forbid")

    name: Name = Field(examples=["line-4"])


class ProjectChange(BaseModel):
    """What is different about a project; omitted fields keep their value."""

    model_config = ConfigDict(extra="forbid", json_schema_extra=change_schema({"archived": True}))

    name: Name | None = Field(
        default=None, description="New name of the project.", examples=["line-4"]
    )
    archived: bool | None = Field(
        default=None,
        strict=True,
        description="true: the project can be read, but not changed.",
        examples=[True],
    )


class MemberRequest(BaseModel):
    """The role of a user in a project."""

    model_config = ConfigDict(extra="forbid")

    role: MemberRole = Field(description="Role of the user in the project.", examples=["member"])
