"""Inspections of weights: claims with a lease by the database's clock, and their results.

Jobs can use weights only after a trainer process has read them. Any slot may claim a model. Its
writes are guarded by the attempt number, so a slot that has lost its claim changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from app.core.database import database_now
from app.core.leased_rows import LeasedRows, RowHold
from app.models.architectures import ARCHITECTURES
from app.models.tables import Model, ModelState

INSPECTIONS: Final = LeasedRows(
    Model,
    work="inspection",
    id_field="model_id",
    waiting=Model.state == ModelState.INSPECTING,
)
"""The models that wait for inspection, of all projects."""


@dataclass(frozen=True)
class WaitingModel:
    """A model that waits to be claimed; `attempt` counts the inspections started so far."""

    model_id: str
    attempt: int


@dataclass(frozen=True)
class Findings:
    """The contents of weights as a trainer process read them.

    `architecture` is the name of the shipped yaml with the same structure, or None.
    """

    task: str
    architecture: str | None
    classes: tuple[str, ...]


def models_awaiting_inspection(session: Session) -> list[WaitingModel]:
    """Return the models that can be claimed for inspection, of all projects, oldest first."""
    statement = select(Model.id, Model.attempt).where(*INSPECTIONS.claimable()).order_by(Model.id)
    return [WaitingModel(model_id, attempt) for model_id, attempt in session.execute(statement)]


def record_crash(session: Session, hold: RowHold, *, reason: str) -> bool:
    """Count a crash of an inspection and make the model claimable; refuse it the third time.

    `reason` is the end of a sentence, for the operator. Return False if the hold is no longer
    valid.
    """
    last = _refused(INSPECTIONS.gave_up(reason))
    return INSPECTIONS.record_crash(session, hold, last=last) is not None


def accept_model(session: Session, hold: RowHold, findings: Findings) -> bool:
    """Record the findings: the model is ready, or refused if its declared task is another one.

    Return False if the hold is no longer valid.
    """
    found = {
        "state": ModelState.READY,
        "task": findings.task,
        "architecture": _offered(findings.architecture),
        "classes": list(findings.classes),
    }
    task_matches = or_(Model.task.is_(None), Model.task == findings.task)
    if INSPECTIONS.finish(session, hold, _inspected(found), task_matches):
        return True
    declared = session.scalars(select(Model.task).where(*INSPECTIONS.held_by(hold))).first()
    message = f"It was added for the task {declared}, but is a model for {findings.task}."
    return refuse_model(session, hold, message)


def refuse_model(session: Session, hold: RowHold, message: str) -> bool:
    """Refuse the weights with a message. Return False if the hold is no longer valid."""
    return INSPECTIONS.finish(session, hold, _refused(message))


def _offered(architecture: str | None) -> str | None:
    return architecture if architecture in ARCHITECTURES else None


def _refused(message: str) -> dict[str, object]:
    return _inspected({"state": ModelState.REFUSED, "message": message})


def _inspected(values: Mapping[str, object]) -> dict[str, object]:
    return {**values, "inspected_at": database_now()}
