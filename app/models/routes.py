"""`/v1/models`: the models that a job's `model` can name, besides another job.

Only the operator adds weights (`trainyard models add`); they cannot be uploaded by HTTP.
"""

from datetime import datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field

from app.accounts.authentication import Principal, authenticate, needs
from app.core.context import InContext
from app.core.pages import Page, PageSize
from app.core.problems import responses_for
from app.core.strict_json import StrictRoute
from app.core.tasks import Task
from app.models.architectures import ARCHITECTURES, Architecture, architecture
from app.models.repository import models_after, visible_model
from app.models.tables import Model, ModelSource, ModelState

router = APIRouter(
    prefix="/v1/models",
    tags=["models"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate)],
    responses=responses_for(400, 401, 403, 406, 422, 503),
)
Reader = Annotated[Principal, Depends(needs("models:read"))]
Kind = Literal["architecture", "weights"]
PAGE_KIND: Final = "models:name"


class ModelView(BaseModel):
    """An architecture to train from scratch, or weights to start from.

    The first `backbone_layers` of an architecture's `layers` are its backbone; the last one is the
    head. Only weights have an id, classes, a source, a size and dates. They are `inspecting` until
    a worker has inspected them, then `ready`, or `refused` with a `message`. Their `architecture`
    is the shipped architecture with the same structure; null if there is none or it is not known
    yet.
    """

    id: str | None
    name: str
    kind: Kind
    state: ModelState
    task: str | None
    architecture: str | None
    classes: list[str] | None
    message: str | None
    backbone_layers: int | None
    layers: int | None
    source: ModelSource | None
    sha256: str | None
    size_bytes: int | None
    vouched: bool | None = Field(
        description="Whether the weights have a digest that was known before they came: false for "
        "official weights whose bytes nothing vouches for, null for a file of the operator."
    )
    created_at: datetime | None
    inspected_at: datetime | None


class ModelListQuery(BaseModel):
    """Filters and page of the list of models."""

    model_config = ConfigDict(extra="forbid")

    kind: Kind | None = None
    task: Task | None = None
    cursor: str | None = Field(default=None, max_length=2000)
    limit: PageSize = 200


@router.get("")
def list_models(
    context: InContext, principal: Reader, query: Annotated[ModelListQuery, Query()]
) -> Page[ModelView]:
    """List architectures and weights together, by name."""
    after = context.cursors.open(PAGE_KIND, query.cursor) if query.cursor else None
    beyond = "" if after is None else str(after[0])
    with context.database.read() as unit:
        weights = models_after(
            unit.session,
            principal.project_ids,
            name=beyond,
            task=query.task,
            limit=query.limit + 1,
        )
    offered = [_of_weights(row) for row in weights]
    offered += [_of_architecture(shipped) for shipped in ARCHITECTURES.values()]
    found = sorted(
        (view for view in offered if view.name > beyond and _matches(view, query)),
        key=lambda view: view.name,
    )
    return Page.of(
        found,
        query.limit,
        seal=lambda view: context.cursors.seal(PAGE_KIND, [view.name]),
        view=lambda view: view,
    )


@router.get("/{reference}", responses=responses_for(404))
def show_model(context: InContext, principal: Reader, reference: str) -> ModelView:
    """Read one model by its name, or weights by their id, as in a job's `model`."""
    shipped = architecture(reference)
    if shipped is not None:
        return _of_architecture(shipped)
    with context.database.read() as unit:
        return _of_weights(visible_model(unit.session, principal.project_ids, reference))


def _matches(view: ModelView, query: ModelListQuery) -> bool:
    return query.kind in {None, view.kind} and query.task in {None, view.task}


def _of_weights(row: Model) -> ModelView:
    shipped = architecture(row.architecture) if row.architecture else None
    return ModelView(
        id=row.id,
        name=row.name,
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
