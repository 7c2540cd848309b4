"""Rows of weights as a worker records them, made without a worker."""

from datetime import timedelta

from app.core.database import Database
from app.core.leased_rows import RowHold
from app.models.inspection import (
    INSPECTIONS,
    Findings,
    accept_model,
    refuse_model,
)
from app.models.repository import NewWeights, insert_model
from app.models.tables import Model, ModelSource

SHA256 = "ab" * 32
LEASE = timedelta(seconds=60)
FINDINGS = Findings("detect", "yolo26n.yaml", ("circle", "square"))


def a_model(
    database: Database, name: str, *, task: str | None = None, project_id: str | None = None
) -> Model:
    """Add weights whose inspection is pending; no bytes are stored."""
    with database.write() as unit:
        weights = NewWeights(name, task, ModelSource.FILE, SHA256, 10, project_id)
        return insert_model(unit.session, weights)


def hold_of(database: Database, model_id: str, *, lease: timedelta = LEASE) -> RowHold:
    """Claim the pending inspection of a model."""
    with database.write() as unit:
        claimed = INSPECTIONS.claim(unit.session, lease=lease, rung_for=model_id)
    assert claimed is not None
    assert claimed.id == model_id
    return RowHold.of(claimed)


def a_ready_model(
    database: Database,
    name: str,
    *,
    findings: Findings = FINDINGS,
    project_id: str | None = None,
) -> Model:
    """Add weights that passed their inspection."""
    model = a_model(database, name, project_id=project_id)
    hold = hold_of(database, model.id)
    with database.write() as unit:
        assert accept_model(unit.session, hold, findings)
    return model_now(database, model.id)


def a_refused_model(
    database: Database,
    name: str,
    message: str = "It is cut.",
    *,
    project_id: str | None = None,
) -> Model:
    """Add weights that an inspection refused."""
    model = a_model(database, name, project_id=project_id)
    hold = hold_of(database, model.id)
    with database.write() as unit:
        assert refuse_model(unit.session, hold, message)
    return model_now(database, model.id)


def model_now(database: Database, model_id: str) -> Model:
    """Return the current row of a model."""
    with database.read() as unit:
        found = unit.session.get(Model, model_id)
    assert found is not None
    return found
