"""Who inspects weights now, and what was found: claims with a lease, by the database's clock.

Weights are of use to jobs once a trainer process has read them. Any slot may claim a model; what it
writes is guarded by the number of its attempt, so that a late one changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, case, or_, select, update
from sqlalchemy.orm import Session

from app.core.database import database_now
from app.models.architectures import ARCHITECTURES
from app.models.tables import Model, ModelState

MAX_CRASHES: Final = 3
"""Inspections that broke off before a model is refused."""


@dataclass(frozen=True)
class InspectionHold:
    """The right to inspect a model: valid while its row has this attempt and is inspecting."""

    model_id: str
    attempt: int


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
    statement = select(Model.id, Model.attempt).where(*_awaiting()).order_by(Model.id)
    return [WaitingModel(model_id, attempt) for model_id, attempt in session.execute(statement)]


def claim_inspection(
    session: Session, *, lease: timedelta, rung_for: str | None = None
) -> Model | None:
    """Take the model that was rung for, or else the oldest that nobody inspects now.

    Its attempt rises and its lease begins. A lease that ran out is a crash: an orderly end of a
    worker gives the model back.
    """
    due = (
        select(Model.id)
        .where(*_awaiting())
        .order_by(Model.id != (rung_for or ""), Model.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    ran_out = case((Model.lease_expires_at.is_(None), 0), else_=1)
    statement = (
        update(Model)
        .where(Model.id == due.scalar_subquery(), *_awaiting())
        .values(
            attempt=Model.attempt + 1,
            crashes=Model.crashes + ran_out,
            lease_expires_at=database_now(lease),
        )
        .returning(Model)
    )
    return session.scalars(statement).first()


def renew_inspection(session: Session, hold: InspectionHold, *, lease: timedelta) -> bool:
    """Prolong the lease; False: the hold is not valid any more."""
    return _guarded_update(session, hold, {"lease_expires_at": database_now(lease)})


def release_inspection(session: Session, hold: InspectionHold) -> bool:
    """Give a model back at once, its inspection interrupted and not at fault."""
    return _guarded_update(session, hold, {"lease_expires_at": None})


def record_crash(session: Session, hold: InspectionHold, *, reason: str) -> bool:
    """Give a model back, its inspection broken off; the third time it is refused instead.

    `reason` is a part of a sentence, for the operator.
    """
    crashes = Model.crashes + 1
    is_last = crashes >= MAX_CRASHES
    message = f"The inspection broke off {MAX_CRASHES} times: {reason}."
    values = {
        "lease_expires_at": None,
        "crashes": crashes,
        "state": case((is_last, ModelState.REFUSED.value), else_=ModelState.INSPECTING.value),
        "message": case((is_last, message), else_=None),
        "inspected_at": case((is_last, database_now()), else_=None),
    }
    return _guarded_update(session, hold, values)


def accept_model(session: Session, hold: InspectionHold, findings: Findings) -> bool:
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
    if _guarded_update(session, hold, _ended(found), as_said):
        return True
    said = session.scalars(select(Model.task).where(*_held_by(hold))).first()
    message = f"It was brought in for the task {said}, and is a model for {findings.task}."
    return refuse_model(session, hold, message)


def refuse_model(session: Session, hold: InspectionHold, message: str) -> bool:
    """Write why no job may begin from the weights; False: the hold is not valid any more."""
    values = {"state": ModelState.REFUSED, "message": message}
    return _guarded_update(session, hold, _ended(values))


def _offered(architecture: str | None) -> str | None:
    return architecture if architecture in ARCHITECTURES else None


def _ended(values: Mapping[str, Any]) -> dict[str, Any]:
    return {**values, "lease_expires_at": None, "inspected_at": database_now()}


def _awaiting() -> tuple[ColumnElement[bool], ...]:
    lease = Model.lease_expires_at
    return (Model.state == ModelState.INSPECTING, or_(lease.is_(None), lease < database_now()))


def _held_by(hold: InspectionHold) -> tuple[ColumnElement[bool], ...]:
    return (
        Model.id == hold.model_id,
        Model.attempt == hold.attempt,
        Model.state == ModelState.INSPECTING,
    )


def _guarded_update(
    session: Session,
    hold: InspectionHold,
    values: Mapping[str, Any],
    *further: ColumnElement[bool],
) -> bool:
    statement = (
        update(Model)
        .where(*_held_by(hold), *further)
        .values(values)
        .returning(Model.id)
        .execution_options(synchronize_session=False)
    )
    return session.scalars(statement).first() is not None
