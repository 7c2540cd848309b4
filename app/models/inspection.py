"""Who inspects weights now, and what was found: claims with a lease, by the database's clock.

Weights are of use to jobs once a trainer process has read them. Any slot may claim a model; what it
writes is guarded by the number of its attempt, so that a late one changes nothing.
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
"""Models that wait for their inspection, whatever project they belong to."""


@dataclass(frozen=True)
class WaitingModel:
    """A model that nobody inspects now; `attempt` counts the inspections that were begun."""

    model_id: str
    attempt: int


@dataclass(frozen=True)
class Findings:
    """What a trainer process read from weights; `architecture` is the shipped yaml that it is."""

    task: str
    architecture: str | None
    classes: tuple[str, ...]


def models_awaiting_inspection(session: Session) -> list[WaitingModel]:
    """Return the models that nobody inspects now, of whatever project, oldest first."""
    statement = select(Model.id, Model.attempt).where(*INSPECTIONS.claimable()).order_by(Model.id)
    return [WaitingModel(model_id, attempt) for model_id, attempt in session.execute(statement)]


def record_crash(session: Session, hold: RowHold, *, reason: str) -> bool:
    """Give a model back, its inspection broken off; the third time it is refused instead.

    `reason` is a part of a sentence, for the operator. False: the hold is not valid any more.
    """
    last = _refused(INSPECTIONS.gave_up(reason))
    return INSPECTIONS.record_crash(session, hold, last=last) is not None


def accept_model(session: Session, hold: RowHold, findings: Findings) -> bool:
    """Write what was found: ready, or refused where the weights do another task than was said.

    False: the hold is not valid any more.
    """
    found = {
        "state": ModelState.READY,
        "task": findings.task,
        "architecture": _offered(findings.architecture),
        "classes": list(findings.classes),
    }
    as_said = or_(Model.task.is_(None), Model.task == findings.task)
    if INSPECTIONS.finish(session, hold, _inspected(found), as_said):
        return True
    said = session.scalars(select(Model.task).where(*INSPECTIONS.held_by(hold))).first()
    message = f"It was brought in for the task {said}, and is a model for {findings.task}."
    return refuse_model(session, hold, message)


def refuse_model(session: Session, hold: RowHold, message: str) -> bool:
    """Write why no job may begin from the weights; False: the hold is not valid any more."""
    return INSPECTIONS.finish(session, hold, _refused(message))


def _offered(architecture: str | None) -> str | None:
    return architecture if architecture in ARCHITECTURES else None


def _refused(message: str) -> dict[str, object]:
    return _inspected({"state": ModelState.REFUSED, "message": message})


def _inspected(values: Mapping[str, object]) -> dict[str, object]:
    return {**values, "inspected_at": database_now()}
