"""`/v1/projects/{id}/quotas` and `/v1/users/{id}/quotas`."""

from typing import Annotated, Self

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, ConfigDict, Field

from app.accounts.authentication import Principal, authenticate, needs
from app.core.context import Context, InContext
from app.core.problems import responses_for
from app.core.strict_json import StrictRoute
from app.quotas import set_quotas
from app.quotas.repository import MAX_BYTES, MAX_NUMBER, Quota, QuotaUse

router = APIRouter(
    prefix="/v1",
    tags=["quotas"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate)],
    responses=responses_for(400, 401, 403, 404, 406, 422, 503),
)
ProjectReader = Annotated[Principal, Depends(needs("projects:read"))]
ProjectWriter = Annotated[Principal, Depends(needs("projects:write"))]
UserReader = Annotated[Principal, Depends(needs("users:read"))]
UserWriter = Annotated[Principal, Depends(needs("users:write"))]
SubjectId = Annotated[str, Path(description="Id of the project or the user.")]
Jobs = Annotated[int | None, Field(ge=0, le=MAX_NUMBER)]
Bytes = Annotated[int | None, Field(ge=0, le=MAX_BYTES)]


class QuotasBody(BaseModel):
    """The quotas of a project or user. null, or a field that is left out: no limit."""

    model_config = ConfigDict(extra="forbid", strict=True)

    queued_jobs: Jobs = Field(
        default=None, description="Waiting jobs; 429 above it.", examples=[100]
    )
    running_jobs: Jobs = Field(
        default=None, description="Running jobs; more jobs wait.", examples=[4]
    )
    stored_bytes: Bytes = Field(
        default=None,
        description="Bytes of artifacts, dataset packs and uploads.",
        examples=[500_000_000_000],
    )
    uploaded_bytes: Bytes = Field(
        default=None,
        description="Announced bytes of the uploads that are kept.",
        examples=[100_000_000_000],
    )
    verifier_seconds: Jobs = Field(
        default=None,
        description="Processor seconds of verifications in a day of UTC.",
        examples=[36_000],
    )


class QuotaView(BaseModel):
    """One quota."""

    limit: int | None = Field(description="null: no limit.", examples=[100])
    used: int = Field(description="What is used now.", examples=[7])


class QuotasView(BaseModel):
    """The quotas of a project or user, and what it uses."""

    queued_jobs: QuotaView = Field(description="Waiting jobs.")
    running_jobs: QuotaView = Field(description="Running jobs.")
    stored_bytes: QuotaView = Field(description="Bytes of artifacts, dataset packs and uploads.")
    uploaded_bytes: QuotaView = Field(description="Announced bytes of the uploads that are kept.")
    verifier_seconds: QuotaView = Field(
        description="Processor seconds of verifications since midnight UTC."
    )

    @classmethod
    def of(cls, measured: dict[Quota, QuotaUse]) -> Self:
        """Return the view of all quotas."""
        views = {
            quota.value: QuotaView(limit=it.limit, used=it.used) for quota, it in measured.items()
        }
        return cls.model_validate(views)


@router.get("/projects/{project_id}/quotas")
def read_project_quotas(
    project_id: SubjectId, context: InContext, principal: ProjectReader
) -> QuotasView:
    """Read the quotas of a project. Members and administrators see them."""
    return _read(context, principal, project_id)


@router.put("/projects/{project_id}/quotas", responses=responses_for(413, 415, 507))
def set_project_quotas(
    project_id: SubjectId,
    body: QuotasBody,
    context: InContext,
    principal: ProjectWriter,
) -> QuotasView:
    """Set all quotas of a project. Requires an administrator of the instance."""
    principal.require_administrator()
    limits = {Quota(name): limit for name, limit in body.model_dump().items()}
    actor = principal.actor()
    return QuotasView.of(set_quotas.set_project_quotas(context.database, actor, project_id, limits))


@router.get("/users/{user_id}/quotas")
def read_user_quotas(user_id: SubjectId, context: InContext, principal: UserReader) -> QuotasView:
    """Read the quotas of a user. The user and administrators see them."""
    return _read(context, principal, user_id)


@router.put("/users/{user_id}/quotas", responses=responses_for(413, 415, 507))
def set_user_quotas(
    user_id: SubjectId,
    body: QuotasBody,
    context: InContext,
    principal: UserWriter,
) -> QuotasView:
    """Set all quotas of a user. Requires an administrator of the instance."""
    principal.require_administrator()
    limits = {Quota(name): limit for name, limit in body.model_dump().items()}
    actor = principal.actor()
    return QuotasView.of(set_quotas.set_user_quotas(context.database, actor, user_id, limits))


def _read(context: Context, principal: Principal, subject_id: str) -> QuotasView:
    with context.database.read() as unit:
        return QuotasView.of(set_quotas.read_quotas(unit.session, principal, subject_id))
