"""`/v1/datasets/from-upload`: a dataset from a finished resumable upload."""

from fastapi import APIRouter, Depends, Response
from pydantic import ConfigDict, Field

from app.accounts.authentication import authenticate
from app.accounts.tables import MemberRole
from app.core.context import TAKES_SPACE, InContext
from app.core.problems import responses_for
from app.core.strict_json import StrictRoute
from app.datasets.http.routes import NAME_PATTERN, DatasetName, Writer, answer, made_answers
from app.datasets.http.views import DatasetView
from app.datasets.reports.report import ImportOptions
from app.datasets.submit_version import submit_upload
from app.uploads.chunks import NamedUpload

router = APIRouter(
    prefix="/v1/datasets",
    tags=["datasets"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate)],
    responses=responses_for(400, 401, 403, 406, 422, 503),
)


class FromUploadBody(ImportOptions):
    """A finished upload, the dataset that it becomes a version of, and how it is read."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"upload": "upl_01JZ8QD3W5X0A1B2C3D4E5F6G7", "name": "night", "splits": "80:20"}
            ]
        }
    )

    upload: str = Field(
        max_length=40,
        description="Id of a finished upload (upl_…).",
        examples=["upl_01JZ8QD3W5X0A1B2C3D4E5F6G7"],
    )
    name: DatasetName = Field(
        min_length=1,
        max_length=200,
        pattern=NAME_PATTERN,
        description="Name of the dataset. An existing dataset gets a new version.",
        examples=["night"],
    )
    project: str | None = Field(
        default=None,
        max_length=200,
        description="Project that owns the dataset. Default: that of the upload.",
        examples=["default"],
    )

    def options(self) -> ImportOptions:
        """Return how the archive is read."""
        named = {"upload", "name", "project"}
        return ImportOptions.model_validate(self.model_dump(exclude=named))


@router.post(
    "/from-upload",
    status_code=202,
    dependencies=TAKES_SPACE,
    responses=responses_for(409, 410, 413, 415, 507)
    | made_answers("A valid version already has these bytes."),
)
def create_dataset_from_upload(
    body: FromUploadBody, response: Response, context: InContext, principal: Writer
) -> DatasetView:
    """Create a version from a finished upload, without sending or copying its bytes again."""
    project_id = None
    if body.project is not None:
        project_id = principal.project_id(body.project, role=MemberRole.MEMBER)
    named = NamedUpload(body.upload, principal)
    submitted = submit_upload(
        context, named, name=body.name, project_id=project_id, options=body.options()
    )
    return answer(response, submitted, principal)
