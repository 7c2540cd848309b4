"""`/v1/trainers`: the trainer plugins of all workers."""

from typing import Annotated, Self

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field, JsonValue

from app.accounts.authentication import Principal, authenticate, needs
from app.core.context import InContext
from app.core.pages import WholeList
from app.core.problems import responses_for
from app.core.strict_json import StrictRoute
from app.fleet.repository import KnownPlugin, known_plugins

router = APIRouter(
    prefix="/v1",
    tags=["workers"],
    route_class=StrictRoute,
    dependencies=[Depends(authenticate)],
    responses=responses_for(400, 401, 403, 406, 422, 503),
)
Reader = Annotated[Principal, Depends(needs("workers:read"))]


class TrainerView(BaseModel):
    """A trainer plugin that a job can name, as reported by the slots that have it."""

    name: str = Field(
        description="The value for trainer.name of a job.", examples=["weighted_boxes"]
    )
    versions: list[str] = Field(
        description="Installed versions. The first one defines tasks and options_schema.",
        examples=[["1.2.0"]],
    )
    tasks: list[str] = Field(description="Tasks that it can train.", examples=[["detect"]])
    options_schema: dict[str, JsonValue] = Field(
        description="JSON Schema that trainer.options must satisfy.",
        examples=[{"type": "object", "properties": {"gain": {"type": "number"}}}],
    )
    slots: int = Field(
        description="Number of live slots that have it; if 0, jobs wait.", examples=[2]
    )

    @classmethod
    def of(cls, known: KnownPlugin) -> Self:
        """Return the view of one plugin."""
        return cls(
            name=known.name,
            versions=list(known.versions),
            tasks=list(known.tasks),
            options_schema=known.options_schema,
            slots=known.slots,
        )


@router.get("/trainers")
def list_trainers(context: InContext, _: Reader) -> WholeList[TrainerView]:
    """List the trainer plugins that workers have reported. The operator installs them there."""
    silent = context.settings.timing.worker_silence
    with context.database.read() as unit:
        known = known_plugins(unit.session, silent=silent)
    return WholeList(data=[TrainerView.of(plugin) for plugin in known.values()])
