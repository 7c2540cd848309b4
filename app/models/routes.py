"""`/v1/models`: the models that a job's `model` can name, besides another job.

The operator adds weights for all (`trainyard models add`), and users send theirs to a project.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field

from app.accounts.authentication import Principal, authenticate, needs
from app.accounts.tables import MemberRole
from app.core.context import TAKES_SPACE, InContext
from app.core.pages import Cursor, Page, PageSize
from app.core.problems import responses_for
from app.core.strict_json import StrictRoute
from app.core.tasks import Task
from app.models.architectures import ARCHITECTURES, Architecture, architecture
from app.models.errors import WeightsMissing
from app.models.receive_weights import SentWeights, add_file, add_known, check_quota, remove_model
from app.models.repository import ModelFilter, models_after, visible_model
from app.models.tables import Model, ModelSource, ModelState
from app.uploads.body import LIMITED_HERE, announced_bytes
from app.uploads.errors import EmptyBody
from app.uploads.receive import spooled

router = APIRouter(
    prefix="/v1/models",
    tags=["models"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate)],
    responses=responses_for(400, 401, 403, 406, 422, 503),
)
Reader = Annotated[Principal, Depends(needs("models:read"))]
Writer = Annotated[Principal, Depends(needs("models:write"))]
ModelReference = Annotated[
    str, Path(description="Name of the model, or id of weights (mdl_…).", examples=["yolo26n.yaml"])
]
Kind = Literal["architecture", "weights"]
PAGE_KIND: Final = "models:name"
WEIGHTS_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "required": False,
        "description": "The file, as written by `torch.save`. Without a body the request asks "
        "whether it is needed.",
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


class ModelView(BaseModel):
    """An architecture to train from scratch, or weights to start from.

    The first `backbone_layers` of an architecture's `layers` are its backbone; the last one is the
    head. Only weights have an id, classes, a source, a size and dates. They are `inspecting` until
    a worker has inspected them, then `ready`, or `refused` with a `message`. Their `architecture`
    is the shipped architecture with the same structure; null if there is none or it is not known
    yet.
    """

    id: str | None = Field(
        description="Id of the weights. null: an architecture.",
        examples=["mdl_01JZ8QD3W5X0A1B2C3D4E5F6G7"],
    )
    name: str = Field(description="Name, as in a job's `model`.", examples=["yolo26n.pt"])
    project: str | None = Field(
        description="The project whose weights they are; null: everyone on this instance sees it.",
        examples=[None, "line-4"],
    )
    kind: Kind = Field(
        description="Whether it is an architecture, or weights.", examples=["weights"]
    )
    state: ModelState = Field(description="Whether a job can use it.", examples=["ready"])
    task: str | None = Field(
        description="The task that it is for. null: not known yet.", examples=["detect"]
    )
    architecture: str | None = Field(
        description="The shipped architecture with the same structure. null: none, or not known "
        "yet.",
        examples=["yolo26n.yaml"],
    )
    classes: list[str] | None = Field(
        description="Names of its classes. null: an architecture, or not known yet.",
        examples=[["person", "bicycle"]],
    )
    message: str | None = Field(
        description="Why it was refused. null: it was not.", examples=[None]
    )
    backbone_layers: int | None = Field(
        description="Number of layers, from the first, that form the backbone.", examples=[11]
    )
    layers: int | None = Field(description="Number of layers.", examples=[24])
    source: ModelSource | None = Field(
        description="Where the weights come from. null: an architecture."
    )
    sha256: str | None = Field(
        description="SHA-256 of the file, in hex. null: an architecture.",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    )
    size_bytes: int | None = Field(
        description="Size of the file. null: an architecture.", examples=[5_544_453]
    )
    vouched: bool | None = Field(
        description="Whether the weights have a digest that was known before they came: false for "
        "official weights whose bytes nothing vouches for, null for a file of the operator.",
        examples=[True],
    )
    created_at: datetime | None = Field(
        description="When the weights were added. null: an architecture."
    )
    inspected_at: datetime | None = Field(
        description="When a worker inspected the weights. null: not yet, or an architecture."
    )


class ModelListQuery(BaseModel):
    """Filters and page of the list of models."""

    kind: Kind | None = Field(default=None, description="Only models of this kind.")
    task: Task | None = Field(default=None, description="Only models for this task.")
    sha256: str | None = Field(
        default=None,
        pattern="^[0-9a-f]{64}$",
        description="Only weights with this SHA-256: whether they are here already.",
    )
    cursor: Cursor = None
    limit: PageSize = 200


@router.get("")
def list_models(
    context: InContext, principal: Reader, query: Annotated[ModelListQuery, Query()]
) -> Page[ModelView]:
    """List architectures and weights together, by name."""
    opened = context.cursors.open(PAGE_KIND, query.cursor) if query.cursor else ("", "")
    after = (str(opened[0]), str(opened[1]))
    with context.database.read() as unit:
        weights = models_after(
            unit.session,
            principal.project_ids,
            after=after,
            filters=ModelFilter(query.task, query.sha256),
            limit=query.limit + 1,
        )
    names = principal.project_names
    offered = [_of_weights(row, names) for row in weights]
    offered += [_of_architecture(shipped) for shipped in ARCHITECTURES.values()]
    found = sorted(
        (view for view in offered if _place(view) > after and _matches(view, query)),
        key=_place,
    )
    return Page.of(
        found,
        query.limit,
        seal=lambda view: context.cursors.seal(PAGE_KIND, [*_place(view)]),
        view=lambda view: view,
    )


@router.get("/{reference}", responses=responses_for(404))
def read_model(context: InContext, principal: Reader, reference: ModelReference) -> ModelView:
    """Read one model by its name, or weights by their id, as in a job's `model`."""
    shipped = architecture(reference)
    if shipped is not None:
        return _of_architecture(shipped)
    with context.database.read() as unit:
        model = visible_model(unit.session, principal.project_ids, reference)
        return _of_weights(model, principal.project_names)


class NewModelQuery(BaseModel):
    """The weights that are sent: their digest, and what jobs call them."""

    name: str = Field(max_length=100, description="Name for jobs; it ends in .pt.")
    sha256: str = Field(
        max_length=64, description="SHA-256 of the file, in hex. Other bytes are refused."
    )
    project: str = Field(default="default", max_length=200, description="The project to add to.")
    task: Task | None = Field(
        default=None,
        description="The task that the weights must have. Default: the one that a worker finds.",
    )


@router.post(
    "",
    status_code=202,
    dependencies=TAKES_SPACE,
    responses=responses_for(409, 413, 507)
    | {200: {"model": ModelView, "description": "The bytes were here; none were read."}},
    openapi_extra=WEIGHTS_BODY,
    max_body_size=LIMITED_HERE,
)
async def create_model(
    request: Request,
    response: Response,
    context: InContext,
    principal: Writer,
    query: Annotated[NewModelQuery, Query()],
) -> ModelView:
    """Add weights to a project. A worker inspects them in its cage before a job can use them.

    Bytes that the project or the instance has already are not read again. Ask without a body
    first: the answer is 409 `weights-missing` if the file has to be sent.
    """
    pointer = "query/project"
    project_id = principal.project_id(query.project, pointer=pointer, role=MemberRole.MEMBER)
    sent = SentWeights.checked(project_id, query.name, query.task, query.sha256)
    names = principal.project_names
    known = await run_in_threadpool(add_known, context, principal, sent)
    if known is not None:
        response.status_code = 200
        return _of_weights(known, names)
    await run_in_threadpool(
        check_quota, context, principal, project_id, announced_bytes(request) or 0
    )
    limit = context.settings.limits.weights_bytes
    try:
        async with spooled(request, context, max_bytes=limit) as file:
            added = await run_in_threadpool(add_file, context, principal, sent, file)
    except EmptyBody:
        raise WeightsMissing from None
    return _of_weights(added, names)


@router.delete("/{reference}", status_code=204, responses=responses_for(404, 409))
def delete_model(context: InContext, principal: Writer, reference: ModelReference) -> None:
    """Remove weights of a project. Jobs that start from them keep the bytes."""
    remove_model(context, principal, reference)


def _matches(view: ModelView, query: ModelListQuery) -> bool:
    is_asked_for = query.kind in {None, view.kind} and query.task in {None, view.task}
    return is_asked_for and query.sha256 in {None, view.sha256}


def _place(view: ModelView) -> tuple[str, str]:
    return view.name, view.id or ""


def _of_weights(row: Model, project_names: Mapping[str, str]) -> ModelView:
    shipped = architecture(row.architecture) if row.architecture else None
    return ModelView(
        id=row.id,
        name=row.name,
        project=None if row.project_id is None else project_names[row.project_id],
        kind="weights",
        state=row.state,
        task=row.task,
        architecture=row.architecture,
        classes=row.classes,
        message=row.message,
        backbone_layers=shipped.backbone_layers if shipped else None,
        layers=shipped.layers if shipped else None,
        source=row.source,
        sha256=row.sha256,
        size_bytes=row.size_bytes,
        vouched=row.vouched,
        created_at=row.created_at,
        inspected_at=row.inspected_at,
    )


def _of_architecture(shipped: Architecture) -> ModelView:
    return ModelView(
        id=None,
        name=shipped.name,
        project=None,
        kind="architecture",
        state=ModelState.READY,
        task=shipped.task,
        architecture=shipped.name,
        classes=None,
        message=None,
        backbone_layers=shipped.backbone_layers,
        layers=shipped.layers,
        source=None,
        sha256=None,
        size_bytes=None,
        vouched=None,
        created_at=None,
        inspected_at=None,
    )
