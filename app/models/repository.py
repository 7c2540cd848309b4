"""Queries and writes of base models, which belong to a project or to the whole instance.

`visible_x` raises `ModelNotFound`, `x_of` returns None.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import ColumnElement, collate, delete, insert, or_, select, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from app.core.database import database_now
from app.core.ids import new_id
from app.models.architectures import architecture, architecture_of_pretrained, nearest_model
from app.models.errors import (
    AmbiguousModelName,
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
    """The model that a spec's `model` names: an architecture to train from scratch, or weights.

    `sha256` is the key of the weights in the artifact store, and None for an architecture.
    `architecture` is the shipped yaml that the weights have the structure of, or None. `classes`
    are the class names of the weights.
    """

    kind: Literal["architecture", "weights"]
    name: str
    task: str
    sha256: str | None
    architecture: str | None = None
    classes: tuple[str, ...] | None = None


@dataclass(frozen=True)
class NewWeights:
    """Weights in the artifact store that get a name.

    `project_id` and `owner_id`, the user who sent them, are None for the whole instance.

    `task` is the declared task; None accepts the task that the inspection finds. `vouched` is
    whether a digest that was known before matches; None for a file of the operator without one.
    """

    name: str
    task: str | None
    source: ModelSource
    sha256: str
    size_bytes: int
    project_id: str | None = None
    vouched: bool | None = None
    owner_id: str | None = None


@dataclass(frozen=True)
class ModelFilter:
    """The filters of a list of weights. None selects all."""

    task: str | None = None
    sha256: str | None = None


NO_FILTER: Final = ModelFilter()


def resolve_model(session: Session, project_ids: Collection[str], reference: str) -> ResolvedModel:
    """Return the model that `yolo26n.yaml`, `yolo26n.pt` or `mdl_…` names.

    Raises:
        UnknownModel: there is no such architecture, or no visible model with this id.
        ModelNotHere: there are no visible weights with this name.
        ModelNotReady: the weights have not been inspected yet.
        ModelRefused: the inspection refused the weights.
        AmbiguousModelName: several projects of the caller have weights with this name.
    """
    if reference.endswith(".yaml"):
        shipped = architecture(reference)
        if shipped is None:
            raise UnknownModel(
                f"This service has no such architecture.{_meant(reference)} GET /v1/models lists "
                "them (for example yolo26n.yaml)."
            )
        return ResolvedModel("architecture", shipped.name, shipped.task, None, shipped.name)
    found = model_of(session, project_ids, reference)
    if found is None and reference.startswith("mdl_"):
        raise UnknownModel("There is no model with this id in your projects.")
    if found is None:
        raise ModelNotHere(_how_to_add(reference))
    return _ready(found)


def model_of(session: Session, project_ids: Collection[str], reference: str) -> Model | None:
    """Return the visible weights with this id or name, or None.

    A name means the weights of the caller's project before those of the whole instance.

    Raises:
        AmbiguousModelName: several of the projects have weights with this name.
    """
    column = Model.id if reference.startswith("mdl_") else Model.name
    statement = select(Model).where(_visible(project_ids), column == reference)
    # Of two projects that have it, one is as good as the other: both ids are asked for below.
    found = session.scalars(statement.order_by(Model.project_id.is_(None)).limit(2)).all()
    if len(found) > 1 and found[1].project_id is not None:
        raise AmbiguousModelName
    return found[0] if found else None


def model_in_project(session: Session, project_id: str, name: str) -> Model | None:
    """Return the project's own weights with this name, or None."""
    statement = select(Model).where(Model.project_id == project_id, Model.name == name)
    return session.scalars(statement).one_or_none()


def bytes_at_hand(session: Session, project_id: str, sha256: str) -> int | None:
    """Return the size of bytes that weights of the project or the instance have, or None."""
    statement = select(Model.size_bytes).where(_visible([project_id]), Model.sha256 == sha256)
    return session.scalars(statement.limit(1)).one_or_none()


def delete_model(session: Session, model_id: str) -> None:
    """Delete weights. Jobs that start from them keep the bytes."""
    session.execute(delete(Model).where(Model.id == model_id))


def visible_model(session: Session, project_ids: Collection[str], reference: str) -> Model:
    """Return the visible weights with an id or a name that a caller sent.

    Raises:
        ModelNotFound: there are no such weights.
    """
    found = model_of(session, project_ids, reference) if REFERENCE.match(reference) else None
    if found is None:
        raise ModelNotFound
    return found


def models_after(
    session: Session,
    project_ids: Collection[str],
    *,
    after: tuple[str, str],
    filters: ModelFilter = NO_FILTER,
    limit: int,
) -> Sequence[Model]:
    """Return up to `limit` visible models after a name and id, in the byte order of their names."""
    by_bytes = collate(Model.name, "C" if _is_postgresql(session) else "BINARY")
    statement = select(Model).where(_visible(project_ids), tuple_(by_bytes, Model.id) > after)
    if filters.task is not None:
        statement = statement.where(Model.task == filters.task)
    if filters.sha256 is not None:
        statement = statement.where(Model.sha256 == filters.sha256)
    return session.scalars(statement.order_by(by_bytes, Model.id).limit(limit)).all()


def insert_model(session: Session, weights: NewWeights) -> Model:
    """Insert the row of stored weights; they wait for inspection.

    Raises:
        ModelNameTaken: another model has the name.
    """
    statement = (
        insert(Model)
        .values(
            id=new_id("mdl"),
            project_id=weights.project_id,
            owner_id=weights.owner_id,
            name=weights.name,
            task=weights.task,
            source=weights.source,
            sha256=weights.sha256,
            size_bytes=weights.size_bytes,
            vouched=weights.vouched,
            created_at=database_now(),
        )
        .returning(Model)
    )
    try:
        return session.scalars(statement).one()
    except IntegrityError:
        raise ModelNameTaken(weights.name) from None


def replace_refused(session: Session, model_id: str, weights: NewWeights) -> Model | None:
    """Replace the weights of a refused model; they wait for inspection.

    Return None if the model is no longer refused. The attempt number is not reset, so that no
    earlier hold becomes valid again.
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
            vouched=weights.vouched,
            message=None,
            crashes=0,
            inspected_at=None,
        )
        .returning(Model)
        .execution_options(populate_existing=True)
    )
    return session.scalars(statement).one_or_none()


def vouch(session: Session, model_id: str, *, sha256: str) -> Model | None:
    """Note that the operator knows the digest of these weights; None: they have another one."""
    statement = (
        update(Model)
        .where(Model.id == model_id, Model.sha256 == sha256)
        .values(vouched=True)
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


def _how_to_add(reference: str) -> str:
    """Return a message with the command to use; it repeats the name only of official weights."""
    if architecture_of_pretrained(reference) is not None:
        return (
            f"The weights {reference} are not on this instance; its operator can add them with "
            f"`trainyard models add --official {reference}`."
        )
    return (
        f"There are no weights with this name on this instance.{_meant(reference)} Official "
        "weights are those of YOLO26, YOLO11 and YOLOv8. Send a file with POST /v1/models, or let "
        "the operator add it with `trainyard models add FILE`."
    )


def _meant(reference: str) -> str:
    guess = nearest_model(reference)
    return f' Did you mean "{guess}"?' if guess else ""
