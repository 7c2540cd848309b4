"""How many bytes of the store are used for what."""

from collections.abc import Mapping

from sqlalchemy import String, case, cast, func, literal, select, union_all
from sqlalchemy.orm import Session

from app.artifacts.names import STATE, ArtifactKind
from app.artifacts.tables import Artifact
from app.datasets.tables import DatasetVersion
from app.models.tables import Model

DATASETS, MODELS, STATES = "datasets", "models", "training_states"


def stored_bytes(session: Session) -> Mapping[str, int]:
    """Return bytes by what names them: data sets, models, training states, kinds of artifacts.

    Equal bytes count once for each use, however many jobs name them. Reads every row that names
    bytes: for an operator who asks, and for no request.
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
