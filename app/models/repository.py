"""Base models by name, id or architecture, for the caller's projects and the whole instance.

`visible_x` raises `ModelNotFound`, `x_of` returns None.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import ColumnElement, collate, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.core.database import database_now
from app.core.ids import new_id
from app.models.architectures import architecture, architecture_of_pretrained
from app.models.errors import (
    ModelNameTaken,
    ModelNotFound,
    ModelNotHere,
    ModelNotReady,
    ModelRefused,
    UnknownModel,
)
from app.models.tables import Model, ModelSource, ModelState

REFERENCE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}\Z")


@dataclass(frozen=True)
class ResolvedModel:
    """What a spec's `model` stands for: an architecture to begin afresh, or weights to begin from.

    `sha256` names the weights in the artifact store; an architecture has none. `architecture` is
    the shipped yaml that the weights were found to be, or None; `classes` are the weights' own.
    """

    kind: Literal["architecture", "weights"]
    name: str
    task: str
    sha256: str | None
    architecture: str | None = None
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True)
class NewWeights:
    """Weights that are in the artifact store and get a name; `project_id` None: instance-wide.

    `task` is what somebody says that they do; None: whatever their inspection finds.
    """

    name: str
    task: str | None
    source: ModelSource
    sha256: str
    size_bytes: int
    project_id: str | None = None


def resolve_model(session: Session, project_ids: Collection[str], reference: str) -> ResolvedModel:
    """Return what `yolo26n.yaml`, `yolo26n.pt` or `mdl_…` stands for.

    Raises:
        UnknownModel: no such architecture, or no such model in the caller's projects.
        ModelNotHere: nobody brought in weights of this name.
        ModelNotReady: they have not been inspected yet.
        ModelRefused: their inspection found that they cannot be used.
    """
    if reference.endswith(".yaml"):
        shipped = architecture(reference)
        if shipped is None:
            raise UnknownModel(
                "There is no such architecture in this service; GET /v1/models lists them "
                "(for example yolo26n.yaml)."
            )
        return ResolvedModel("architecture", shipped.name, shipped.task, None, shipped.name)
    found = model_of(session, project_ids, reference)
    if found is None and reference.startswith("mdl_"):
        raise UnknownModel("There is no model of this id in your projects.")
    if found is None:
        raise ModelNotHere(_not_brought_in(reference))
    return _ready(found)


def model_of(session: Session, project_ids: Collection[str], reference: str) -> Model | None:
    """Return the visible weights of that id or name."""
    column = Model.id if reference.startswith("mdl_") else Model.name
    statement = select(Model).where(_visible(project_ids), column == reference)
    return session.scalars(statement).one_or_none()


def visible_model(session: Session, project_ids: Collection[str], reference: str) -> Model:
    """Return the visible weights of an id or a name that a caller sent.

    Raises:
        ModelNotFound: there are none.
    """
    found = model_of(session, project_ids, reference) if REFERENCE.match(reference) else None
    if found is None:
        raise ModelNotFound
    return found


def models_after(
    session: Session, project_ids: Collection[str], *, name: str, task: str | None, limit: int
) -> Sequence[Model]:
    """Return up to `limit` visible models beyond `name`, in the order of their names' bytes."""
    by_bytes = collate(Model.name, "C" if _is_postgresql(session) else "BINARY")
    statement = select(Model).where(_visible(project_ids), by_bytes > name)
    if task is not None:
        statement = statement.where(Model.task == task)
    return session.scalars(statement.order_by(by_bytes).limit(limit)).all()


def insert_model(session: Session, weights: NewWeights) -> Model:
    """Give stored weights their name; they are to be inspected.

    Raises:
        ModelNameTaken: another model has the name.
    """
    statement = (
        insert(Model)
        .values(
            id=new_id("mdl"),
            project_id=weights.project_id,
            name=weights.name,
            task=weights.task,
            source=weights.source,
            sha256=weights.sha256,
            size_bytes=weights.size_bytes,
            created_at=database_now(),
        )
        .returning(Model)
    )
    try:
        return session.scalars(statement).one()
    except IntegrityError:
        raise ModelNameTaken(weights.name) from None


def replace_refused(session: Session, model_id: str, weights: NewWeights) -> Model | None:
    """Give a refused model's name to stored weights, which are to be inspected.

    None: it is not refused any more. Its attempts count on, so that none of them is valid again.
    """
    statement = (
        update(Model)
        .where(Model.id == model_id, Model.state == ModelState.REFUSED)
        .values(
            state=ModelState.INSPECTING,
            task=weights.task,
            source=weights.source,
            sha256=weights.sha256,
            size_bytes=weights.size_bytes,
            message=None,
            crashes=0,
            inspected_at=None,
        )
        .returning(Model)
        .execution_options(populate_existing=True)
    )
    return session.scalars(statement).one_or_none()


def _ready(found: Model) -> ResolvedModel:
    if found.state is ModelState.REFUSED:
        raise ModelRefused(found.name, found.message or "")
    if found.state is ModelState.INSPECTING or found.task is None:
        raise ModelNotReady(found.name)
    classes = None if found.classes is None else tuple(found.classes)
    return ResolvedModel(
        "weights", found.name, found.task, found.sha256, found.architecture, classes
    )


def _visible(project_ids: Collection[str]) -> ColumnElement[bool]:
    return or_(Model.project_id.is_(None), Model.project_id.in_(project_ids))


def _is_postgresql(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"


def _not_brought_in(reference: str) -> str:
    """What to do; the name is repeated only where it is one of the official ones."""
    if architecture_of_pretrained(reference) is not None:
        return (
            f"The weights {reference} are not on this instance; its operator brings them in with "
            f"`trainyard models add --official {reference}`."
        )
    return (
        "There are no weights of this name on this instance; its operator brings a file in with "
        "`trainyard models add FILE`."
    )
