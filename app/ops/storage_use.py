"""The bytes in the store by use."""

from collections.abc import Mapping

from sqlalchemy import String, case, cast, func, literal, select, union_all
from sqlalchemy.orm import Session

from app.artifacts.names import STATE, ArtifactKind
from app.artifacts.tables import Artifact
from app.datasets.tables import DatasetVersion
from app.models.tables import Model

DATASETS, MODELS, STATES = "datasets", "models", "training_states"


def stored_bytes(session: Session) -> Mapping[str, int]:
    """Return stored bytes by use: datasets, models, training states, and each kind of artifact.

    Equal bytes count once for each use, no matter how many jobs reference them. Reads every row
    that references bytes, so use it for an operator's command and not for requests.
    """
    is_state = (Artifact.kind == ArtifactKind.CHECKPOINT) & (Artifact.name == STATE)
    use = case((is_state, STATES), else_=cast(Artifact.kind, String))
    versions = DatasetVersion
    named = union_all(
        select(use.label("use"), Artifact.sha256, Artifact.size_bytes).distinct(),
        select(literal(MODELS), Model.sha256, Model.size_bytes).distinct(),
        select(literal(DATASETS), versions.archive_sha256, versions.archive_bytes).distinct(),
        select(literal(DATASETS), versions.pack_sha256, versions.pack_bytes)
        .where(versions.pack_sha256.is_not(None))
        .distinct(),
    ).subquery()
    total = func.sum(named.c.size_bytes)
    rows = session.execute(select(named.c.use, total).group_by(named.c.use).order_by(named.c.use))
    return {use: int(size) for use, size in rows}
