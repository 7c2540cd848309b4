"""`/v1/projects`: the owners of jobs and datasets, and their members."""

from datetime import datetime
from typing import Annotated, Any, Final, Self

from fastapi import APIRouter, Depends, Header, Path, Query, Response
from pydantic import BaseModel, Field

from app.accounts import manage_projects as manage
from app.accounts.authentication import Principal, authenticate, needs
from app.accounts.entity_tags import tag_of_project
from app.accounts.errors import MemberNotFound, UserNotFound
from app.accounts.project_repository import (
    Member,
    member_page,
    project_named,
    project_page,
    role_of,
)
from app.accounts.requests import MemberRequest, ProjectChange, ProjectRequest
from app.accounts.tables import MemberRole, Project
from app.accounts.user_repository import user_named
from app.core.context import Context, InContext
from app.core.declared_headers import declared
from app.core.pages import Cursor, Page, PageSize
from app.core.path_prefix import link
from app.core.problems import responses_for
from app.core.strict_json import StrictRoute
from app.projects.contents import ProjectSummary, contents_of

router = APIRouter(
    prefix="/v1/projects",
    tags=["projects"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate)],
    responses=responses_for(400, 401, 403, 406, 422, 503),
)
Reader = Annotated[Principal, Depends(needs("projects:read"))]
Writer = Annotated[Principal, Depends(needs("projects:write"))]
ProjectReference = Annotated[
    str, Path(description="Id (prj_…) or name of the project.", examples=["default"])
]
UserReference = Annotated[
    str, Path(description="Id (usr_…) or name of the user.", examples=["ada"])
]
IfMatch = Annotated[
    str | None, Header(alias="If-Match", description="Change it only if it has this ETag.")
]
TAGGED: Final[dict[int | str, dict[str, Any]]] = {200: declared("ETag")}
MADE: Final[dict[int | str, dict[str, Any]]] = {201: declared("ETag", "Location")}
PAGE_KIND: Final = "projects:name"
MEMBERS: Final = "members:name"


class ProjectView(BaseModel):
    """A project. Jobs, datasets and members are counted up to 10,000."""

    id: str = Field(description="Id of the project.", examples=["prj_01JZ8QD3W5X0A1B2C3D4E5F6G7"])
    name: str = Field(description="Unique name of the project.", examples=["line-4"])
    role: MemberRole | None = Field(
        description="Your role in it. null: you are no member.", examples=["admin"]
    )
    created_at: datetime = Field(description="When it was created.")
    archived_at: datetime | None = Field(
        description="Since when it can only be read.", examples=[None]
    )
    jobs: int = Field(description="Jobs, including those in the trash.", examples=[42])
    datasets: int = Field(description="Datasets of the project.", examples=[3])
    members: int = Field(description="Members of the project.", examples=[5])
    stored_bytes: int = Field(
        description="Bytes of artifacts, dataset packs and uploads.", examples=[81_604_378_624]
    )
    quota_bytes: int | None = Field(
        description="The limit of `stored_bytes`. null: no limit.", examples=[500_000_000_000]
    )

    @classmethod
    def of(cls, project: Project, contents: ProjectSummary, principal: Principal) -> Self:
        """Return the view of a project for a caller."""
        roles = {each.id: each.role for each in principal.projects}
        return cls(
            id=project.id,
            name=project.name,
            role=roles.get(project.id),
            created_at=project.created_at,
            archived_at=project.archived_at,
            **contents._asdict(),
        )


class MemberView(BaseModel):
    """A member of a project."""

    user_id: str = Field(description="Id of the user.", examples=["usr_01JZ8QD3W5X0A1B2C3D4E5F6G7"])
    user: str = Field(description="Name of the user.", examples=["ada"])
    role: MemberRole = Field(description="Role of the user in the project.", examples=["member"])

    @classmethod
    def of(cls, member: Member) -> Self:
        """Return the view of a member."""
        return cls(user_id=member.user_id, user=member.name, role=member.role)


class ProjectListQuery(BaseModel):
    """The page of a list of projects or members."""

    cursor: Cursor = None
    limit: PageSize = 50


@router.get("")
def list_projects(
    context: InContext, principal: Reader, query: Annotated[ProjectListQuery, Query()]
) -> Page[ProjectView]:
    """List your projects by name; an administrator sees all, but not what is in them."""
    after = context.cursors.open(PAGE_KIND, query.cursor)[0] if query.cursor else None
    with context.database.read() as unit:
        found = project_page(
            unit.session,
            manage.seen_projects(principal),
            after=None if after is None else str(after),
            limit=query.limit + 1,
        )
        contents = contents_of(unit.session, [project.id for project in found])
    return Page.of(
        found,
        query.limit,
        seal=lambda project: context.cursors.seal(PAGE_KIND, [project.name]),
        view=lambda project: ProjectView.of(project, contents[project.id], principal),
    )


@router.post("", status_code=201, responses=responses_for(409, 413, 415, 507) | MADE)
def create_project(
    body: ProjectRequest, response: Response, context: InContext, principal: Writer
) -> ProjectView:
    """Create a project, of which you become the admin. Administrators only."""
    principal.require_administrator()
    project = manage.create_project(
        context.database, principal.actor(), name=body.name, admin_id=principal.user_id
    )
    response.headers["Location"] = link(f"/v1/projects/{project.id}")
    view = _view(context, project, principal, response)
    return view.model_copy(update={"role": MemberRole.ADMIN})


@router.get("/{reference}", responses=responses_for(404) | TAGGED)
def read_project(
    reference: ProjectReference, response: Response, context: InContext, principal: Reader
) -> ProjectView:
    """Read a project by its id or name."""
    with context.database.read() as unit:
        project = project_named(unit.session, manage.seen_projects(principal), reference)
    return _view(context, project, principal, response)


@router.patch("/{reference}", responses=responses_for(404, 409, 412, 413, 415, 507) | TAGGED)
def change_project(
    reference: ProjectReference,
    body: ProjectChange,
    response: Response,
    context: InContext,
    principal: Writer,
    if_match: IfMatch = None,
) -> ProjectView:
    """Rename a project, archive it, or put it into use again. Administrators only."""
    with context.database.read() as unit:
        project_named(unit.session, manage.seen_projects(principal), reference)
    principal.require_administrator()
    project = manage.change_project(
        context.database, principal.actor(), reference, body, if_match=if_match
    )
    return _view(context, project, principal, response)


@router.get("/{reference}/members", responses=responses_for(404))
def list_members(
    reference: ProjectReference,
    context: InContext,
    principal: Reader,
    query: Annotated[ProjectListQuery, Query()],
) -> Page[MemberView]:
    """List the members of a project by name."""
    with context.database.read() as unit:
        project = project_named(unit.session, manage.seen_projects(principal), reference)
        kind = f"{MEMBERS}:{project.id}"
        after = context.cursors.open(kind, query.cursor)[0] if query.cursor else None
        found = member_page(
            unit.session,
            project.id,
            after=None if after is None else str(after),
            limit=query.limit + 1,
        )
    return Page.of(
        found,
        query.limit,
        seal=lambda member: context.cursors.seal(kind, [member.name]),
        view=MemberView.of,
    )


@router.get("/{reference}/members/{user}", responses=responses_for(404))
def read_member(
    reference: ProjectReference, user: UserReference, context: InContext, principal: Reader
) -> MemberView:
    """Read the role of one member, named by id or name."""
    with context.database.read() as unit:
        project = project_named(unit.session, manage.seen_projects(principal), reference)
        try:
            found = user_named(unit.session, user)
        except UserNotFound:
            raise MemberNotFound from None  # members do not learn which users there are
        role = role_of(unit.session, project.id, found.id)
    if role is None:
        raise MemberNotFound
    return MemberView(user_id=found.id, user=found.name, role=role)


@router.put("/{reference}/members/{user}", responses=responses_for(404, 409, 413, 415, 507))
def set_member(
    reference: ProjectReference,
    user: UserReference,
    body: MemberRequest,
    context: InContext,
    principal: Writer,
) -> MemberView:
    """Make a user a member, or change their role. Admins of the project, and administrators."""
    return MemberView.of(
        manage.put_member(context.database, principal, (reference, user), body.role)
    )


@router.delete(
    "/{reference}/members/{user}", status_code=204, responses=responses_for(404, 409, 507)
)
def remove_member(
    reference: ProjectReference, user: UserReference, context: InContext, principal: Writer
) -> None:
    """End a membership; what the member made stays. Admins of the project, and administrators."""
    manage.remove_member(context.database, principal, (reference, user))


def _view(
    context: Context, project: Project, principal: Principal, response: Response
) -> ProjectView:
    response.headers["ETag"] = tag_of_project(project)
    with context.database.read() as unit:
        contents = contents_of(unit.session, [project.id])
    return ProjectView.of(project, contents[project.id], principal)
